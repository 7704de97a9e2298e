"""`compile_network`: from a trained PyTorch module to a network over planes of int8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from maddjit.integrations.networks import settings
from maddjit.integrations.networks.activations import Ranges
from maddjit.integrations.networks.converting import (
    Codebooks,
    Converted,
    Options,
    as_calibration,
    converted,
)
from maddjit.integrations.torch.layers import refuse_compiled
from maddjit.integrations.torch.network_graph import graph_of
from maddjit.learning.progress import Progress


def convert_network(
    module: nn.Module,
    calibration: Any,
    *,
    codebooks: Codebooks | None = None,
    max_loss: float | None = None,
    max_time: float | None = None,
    multiples: Sequence[float] = (0.5, 1.0, 2.0),
    layers: Sequence[str] | None = None,
    ranges: Ranges = "mse",
    held_out: float = settings.HELD_OUT,
    n_patches: int = settings.N_PATCHES,
    target: str | None = None,
    random_state: int = 0,
    progress: Progress = False,
) -> Converted:
    """Doc."""
    refuse_compiled(module)
    images = calibration.numpy(force=True) if isinstance(calibration, torch.Tensor) else calibration
    found = as_calibration(np.asarray(images))
    options = Options(
        codebooks=codebooks,
        max_loss=max_loss,
        max_time=max_time,
        multiples=multiples,
        layers=layers,
        ranges=ranges,
        held_out=held_out,
        n_patches=n_patches,
        random_state=random_state,
        progress=progress,
    )
    channels, height, width = found.shape[1:]
    graph = graph_of(module, (channels, height, width))
    return converted(graph, found, options, target)
