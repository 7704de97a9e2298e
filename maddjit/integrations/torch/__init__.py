"""PyTorch: linear layers and 1 × 1 convolutions replaced by compiled operators, and fine-tuned."""

from __future__ import annotations

from importlib import import_module

from maddjit.integrations.extras import missing

try:
    import_module("torch")
except ImportError as error:
    raise missing("PyTorch 2.5 or newer", "torch") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.torch.fine_tuning import fine_tune, requantise
from maddjit.integrations.torch.modules import MaddnessConv1x1, MaddnessLinear
from maddjit.integrations.torch.replacing import replace_linear
from maddjit.integrations.torch.report import Replacement, Report
from maddjit.integrations.torch.strassen_tile import StrassenTileLinear
from maddjit.integrations.torch.strassen_tile_convolution import StrassenTileConv1x1
from maddjit.integrations.torch.strassen_tile_counts import TileMacs, parameter_groups

__all__ = [
    "MaddnessConv1x1",
    "MaddnessLinear",
    "Replacement",
    "ReplacementError",
    "Report",
    "StrassenTileConv1x1",
    "StrassenTileLinear",
    "TileMacs",
    "fine_tune",
    "parameter_groups",
    "replace_linear",
    "requantise",
]
