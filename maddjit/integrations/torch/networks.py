"""`compile_network`: from a trained PyTorch module to a compiled network over planes of int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from maddjit.integrations.networks import settings
from maddjit.integrations.networks.activations import Ranges
from maddjit.integrations.networks.compiled import CompiledNetwork
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


def compile_network(
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
    threads: int = 1,
    random_state: int = 0,
    progress: Progress = False,
) -> CompiledNetwork:
    """Compile a trained network for images: activations in int8, layers exact or by look-ups.

    The module is traced in evaluation mode. Each convolution becomes look-ups or an exact 8-bit
    convolution with a scale for each output. Batch-norms and constant factors are folded into
    convolutions, and ReLU and other clamps are part of the layer before them. Linear layers are
    exact, the last layer gives float32.

    Without `codebooks` and limits all layers are exact. With limits, each convolution is tried as
    look-ups by itself, for the loss on images kept back and the predicted time. Then layers become
    look-ups one by one, those first that save most time for what they lose, as long as the limits
    allow. Trees are fitted to the int8 input of their layer. Tables are regressed on what the exact
    network gives at that place, so that later layers make up for earlier ones.

    What is supported: Conv2d with zero padding, Linear, BatchNorm2d, ReLU, ReLU6, Hardtanh, clamps
    by numbers, MaxPool2d, AvgPool2d with its padding counted, AdaptiveAvgPool2d with windows of one
    size, means of whole planes, sums, concatenations along the channels, flattening, zero padding
    before convolutions, constant factors and terms, and layers that do nothing in evaluation; the
    functions of PyTorch for them, too. A layer that is called twice becomes two layers. Anything
    else is an error: compile the part of the module that is supported.

    Parameters
    ----------
    module : nn.Module
        It takes images (N, C, H, W) and gives one tensor.
    calibration : (N, C, H, W) tensor or array, or iterable of such batches
        Images like those that will come, some hundreds: float32, or uint8 if the module takes
        their values as floating-point numbers. The network takes images of that shape and dtype.
    codebooks : float or dict of str to float, optional
        Codebooks for each input plane of a convolution: 1, 2, 0.5 … A number is for all
        convolutions but the first one. A dict has names of layers, with wildcards; layers that it
        does not name, or for which it has None, are exact. Depthwise layers are exact unless they
        are named.
    max_loss : float, optional
        The most that the network may lose on the images kept back: the share of images whose
        winner is not that of `module`. For single outputs and planes it is the squared error over
        the variance.
    max_time : float, optional
        The predicted nanoseconds for an image, at most. With `max_loss` as well, time comes first.
    multiples : sequence of float
        The codebooks for each input plane that are tried, with limits.
    layers : sequence of str, optional
        Names of layers that are tried, with wildcards. By default these are all convolutions but
        the first one and depthwise ones.
    ranges : {"mse", "minmax"} or float
        How the range of int8 numbers is chosen: for the least squared error, as the whole range, or
        so as to hold that percentage of the numbers.
    held_out : float
        The share of the calibration images that are kept back to measure losses on.
    n_patches : int
        How many outputs of a convolution look-ups are learned from, at most.
    target : str, optional
        The feature level, as for `maddjit.compile`.
    threads : int
        As for `maddjit.compile`.
    random_state : int
        The seed of samples and fits.
    progress : bool or callable
        As in `maddjit.fit`.

    Returns
    -------
    CompiledNetwork
        ``print(compiled.report)`` says for each layer what it is, what it costs and loses.

    Raises
    ------
    UnsupportedLayerError
        If the forward decides by values, or has a layer that is not supported. It is a ValueError
        and names the layer.
    ValueError
        If an option or the shape of the images does not fit, a name fits no layer, calibration or
        weights are not finite, the module is compiled by torch.compile, images are too few to
        choose by, no network is predicted to be as fast as `max_time`, or a layer cannot be
        look-ups with so few codebooks.
    TypeError
        If calibration does not hold real numbers, or its batches hold more than images.
    """
    made = convert_network(
        module,
        calibration,
        codebooks=codebooks,
        max_loss=max_loss,
        max_time=max_time,
        multiples=multiples,
        layers=layers,
        ranges=ranges,
        held_out=held_out,
        n_patches=n_patches,
        target=target,
        random_state=random_state,
        progress=progress,
    )
    return CompiledNetwork.of(made, target, threads)


def convert_network(
    module: nn.Module, calibration: Any, *, target: str | None = None, **options: Any
) -> Converted:
    """Return the network of a module and its report without compiling it.

    Parameters
    ----------
    module, calibration, target, **options
        As for `compile_network`. The target is the level that times are predicted for, and need not
        be one that this machine can run.

    Returns
    -------
    Converted
        With the `Network` as `network`, and `report`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from maddjit.integrations.torch import convert_network
    >>> _ = torch.manual_seed(0)
    >>> layers = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(288, 10)
    >>> converted = convert_network(nn.Sequential(*layers), torch.randn(100, 1, 8, 8))
    >>> converted.network
    Network(1 × 8 × 8: 1 Quantise, 1 Exact, 1 Dense)
    """
    refuse_compiled(module)
    found = as_calibration(_arrays(calibration))
    channels, height, width = found.shape[1:]
    graph = graph_of(module, (channels, height, width))
    return converted(graph, found, Options(**options), target)


def _arrays(calibration: Any) -> Any:
    """Return tensors as arrays, in batches if there are any."""
    if isinstance(calibration, torch.Tensor):
        is_bfloat16 = calibration.dtype == torch.bfloat16
        return (calibration.float() if is_bfloat16 else calibration).numpy(force=True)
    if hasattr(calibration, "__array__") or isinstance(calibration, Mapping | str | float | int):
        return calibration
    return [_arrays(batch) for batch in calibration]
