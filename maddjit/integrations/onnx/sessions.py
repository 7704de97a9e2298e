"""ONNX: sessions of onnxruntime, with and without its rewriting of graphs."""

from __future__ import annotations

import math
from typing import Any

import onnx
import onnxruntime
from onnx import helper

_LARGEST = 2**31 - 2**20
"""Bytes of weights that fit into a message of protobuf, less room for the graph itself."""


def session(proto: Any, options: Any = None) -> Any:
    """Return what runs a model, by onnxruntime on the CPU."""
    check_weights(proto)
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def plain(proto: Any, options: Any = None) -> Any:
    """Return what runs a model node by node, as it is written: nothing is fused or reordered."""
    own = onnxruntime.SessionOptions() if options is None else options
    changed = {
        "graph_optimization_level": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "optimized_model_filepath": "",
        "enable_profiling": False,
        "log_severity_level": 3,  # it would warn of weights that nothing reads
    }
    kept = {name: getattr(own, name) for name in changed}
    try:
        for name, value in changed.items():
            setattr(own, name, value)
        return session(proto, own)
    finally:
        for name, value in kept.items():
            setattr(own, name, value)


def failures() -> tuple[type[Exception], ...]:
    """Return what onnxruntime raises if it cannot load or run a model, or return what it makes."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
        RuntimeError,  # of types that NumPy lacks
    )


def check_weights(proto: Any) -> None:
    """Refuse models that are too large to be changed and handed over, or lack their weights.

    Raises
    ------
    ValueError
    """
    n_bytes = 0
    for each in proto.graph.initializer:
        check_loaded(each)
        n_bytes += math.prod(each.dims) * helper.tensor_dtype_to_np_dtype(each.data_type).itemsize
    if n_bytes > _LARGEST:
        raise ValueError(
            f"the weights of the model take {n_bytes / 2**30:.3g} GB, and only models of less than "
            "2 GB can be changed and handed to onnxruntime"
        )


def check_loaded(tensor: Any) -> None:
    """Refuse a tensor whose values are in a file beside the model that was not read.

    Raises
    ------
    ValueError
    """
    if onnx.external_data_helper.uses_external_data(tensor):
        raise ValueError(
            f"the values of {tensor.name!r} are in a file beside the model that was not loaded: "
            "give the path of the model, or load it by onnx.load(path)"
        )
