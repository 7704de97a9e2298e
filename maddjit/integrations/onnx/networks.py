"""`compile_network`: from an ONNX model to a compiled network over planes of int8."""

from __future__ import annotations

from typing import Any

from maddjit.integrations.networks.compiled import CompiledNetwork
from maddjit.integrations.networks.converting import Converted, Options, as_calibration, converted
from maddjit.integrations.onnx.loading import Source, check_weights, loaded
from maddjit.integrations.onnx.network_graph import graph_of


def compile_network(
    model: Source,
    calibration: Any,
    *,
    target: str | None = None,
    threads: int = 1,
    **options: Any,
) -> CompiledNetwork:
    """Compile an ONNX network for images: activations in int8, layers exact or by look-ups.

    `maddjit.torch.compile_network` says what becomes of layers and how look-ups are chosen. The
    nodes that are supported are Conv, BatchNormalization, Relu, Clip, MaxPool, AveragePool with its
    padding counted, GlobalAveragePool, ReduceMean over rows and columns, Add, Concat, Flatten,
    Reshape to (N, −1), Gemm, MatMul, Pad by zeros, Identity, Dropout, and Add, Sub, Mul and Div
    with constants. QuantizeLinear and DequantizeLinear clamp to the range of the 8-bit numbers;
    their steps are not taken, but calibrated anew.

    Parameters
    ----------
    model : path or onnx.ModelProto
        With one input and one output.
    calibration : (N, C, H, W) array_like, or iterable of such batches
    target : str, optional
    threads : int
        As for `maddjit.compile`.
    **options
        ``codebooks``, ``max_loss``, ``max_time``, ``multiples``, ``layers``, ``ranges``,
        ``held_out``, ``n_patches``, ``random_state`` and ``progress``, as for
        `maddjit.torch.compile_network`. Layers have the names of nodes, or of their first output.

    Returns
    -------
    CompiledNetwork

    Raises
    ------
    UnsupportedLayerError
        If there is a node that is not supported. It is a ValueError and names the node.
    ValueError, TypeError
        As for `maddjit.torch.compile_network`; also if there is no such model in the file, or its
        weights are not there.
    OSError
        If the file cannot be read.
    """
    made = convert_network(model, calibration, target=target, **options)
    return CompiledNetwork.of(made, target, threads)


def convert_network(
    model: Source, calibration: Any, *, target: str | None = None, **options: Any
) -> Converted:
    """Return the network of a model and its report without compiling it.

    Parameters
    ----------
    model, calibration, target, **options
        As for `compile_network`.

    Returns
    -------
    Converted
        With the `Network` as `network`, and `report`.
    """
    proto = loaded(model)
    check_weights(proto)
    images = as_calibration(calibration)
    channels, height, width = images.shape[1:]
    return converted(graph_of(proto, (channels, height, width)), images, Options(**options), target)
