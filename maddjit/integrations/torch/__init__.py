"""PyTorch: layers replaced by compiled operators and fine-tuned, and whole networks compiled."""

from __future__ import annotations

from importlib import import_module

from maddjit.integrations.extras import missing

try:
    import_module("torch")
except ImportError as error:
    raise missing("PyTorch 2.5 or newer", "torch") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.networks.compiled import CompiledNetwork
from maddjit.integrations.networks.converting import Converted
from maddjit.integrations.networks.graph import UnsupportedLayerError
from maddjit.integrations.networks.report import ConversionReport
from maddjit.integrations.torch.compiling import CompiledLayers, compile_layers
from maddjit.integrations.torch.conversion_report import Conversion, ConvertedLayer, Costs
from maddjit.integrations.torch.converting import convert
from maddjit.integrations.torch.distilling import Distillation, Progress, Schedule, distil
from maddjit.integrations.torch.fine_tuning import fine_tune, requantise
from maddjit.integrations.torch.look_up_convolution import LookUpConv2d
from maddjit.integrations.torch.look_up_network import LookUpNetwork, PlanePool
from maddjit.integrations.torch.look_up_replacing import with_look_ups
from maddjit.integrations.torch.look_up_trees import compile_look_ups
from maddjit.integrations.torch.modules import MaddnessConv1x1, MaddnessLinear
from maddjit.integrations.torch.networks import compile_network, convert_network
from maddjit.integrations.torch.plane_modules import ExactConv2d, ExactLinear, Scale
from maddjit.integrations.torch.replacing import replace_linear
from maddjit.integrations.torch.report import Replacement, Report
from maddjit.integrations.torch.strassen_tile import StrassenTileLinear
from maddjit.integrations.torch.strassen_tile_convolution import StrassenTileConv1x1
from maddjit.integrations.torch.strassen_tile_counts import TileMacs, parameter_groups

__all__ = [
    "CompiledLayers",
    "CompiledNetwork",
    "Conversion",
    "ConversionReport",
    "Converted",
    "ConvertedLayer",
    "Costs",
    "Distillation",
    "ExactConv2d",
    "ExactLinear",
    "LookUpConv2d",
    "LookUpNetwork",
    "MaddnessConv1x1",
    "MaddnessLinear",
    "PlanePool",
    "Progress",
    "Replacement",
    "ReplacementError",
    "Report",
    "Scale",
    "Schedule",
    "StrassenTileConv1x1",
    "StrassenTileLinear",
    "TileMacs",
    "UnsupportedLayerError",
    "compile_layers",
    "compile_look_ups",
    "compile_network",
    "convert",
    "convert_network",
    "distil",
    "fine_tune",
    "parameter_groups",
    "replace_linear",
    "requantise",
    "with_look_ups",
]
