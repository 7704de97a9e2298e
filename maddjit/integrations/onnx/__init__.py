"""ONNX: products with a known matrix in a graph, their rows, and the graph run with operators."""

from __future__ import annotations

from importlib import import_module

from maddjit.integrations.extras import missing

try:
    import_module("onnx")
    import_module("onnxruntime")
except ImportError as error:
    raise missing("onnx and onnxruntime", "onnx") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.onnx.loading import Feed, Source
from maddjit.integrations.onnx.replacing import run_replaced
from maddjit.integrations.onnx.taking import KnownProduct, initialisers, take

__all__ = [
    "Feed",
    "KnownProduct",
    "ReplacementError",
    "Source",
    "initialisers",
    "run_replaced",
    "take",
]
