"""ONNX: sessions of onnxruntime, with and without its rewriting of graphs."""

from __future__ import annotations

from typing import Any

import onnxruntime

from maddjit.integrations.onnx.loading import check_weights


def session(proto: Any, options: Any = None) -> Any:
    """Return a session of onnxruntime that runs a model on the CPU."""
    check_weights(proto)
    return onnxruntime.InferenceSession(
        proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def unfused_session(proto: Any, options: Any = None) -> Any:
    """Return a session that runs a model node by node, as it is written, and fuses nothing.

    Options, if they are given, are as before when this returns.
    """
    own = onnxruntime.SessionOptions() if options is None else options
    changed = {
        "graph_optimization_level": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
        "optimized_model_filepath": "",
        "enable_profiling": False,
        "log_severity_level": 3,  # or it warns of weights that no node reads
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
    """Return the errors by which onnxruntime says that it cannot load, run or answer a model."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    return (
        state.Fail,
        state.InvalidArgument,
        state.InvalidGraph,
        state.InvalidProtobuf,
        state.NotImplemented,
        state.RuntimeException,
        RuntimeError,  # it answers with a type that NumPy lacks
    )
