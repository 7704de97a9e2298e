"""ONNX: products with a known matrix, the graph run with operators, and networks compiled."""

from __future__ import annotations

from importlib import import_module

from maddjit.integrations.extras import missing

try:
    import_module("onnx")
    import_module("onnxruntime")
except ImportError as error:
    raise missing("onnx and onnxruntime", "onnx") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.networks.compiled import CompiledNetwork
from maddjit.integrations.networks.converting import Converted
from maddjit.integrations.networks.graph import UnsupportedLayerError
from maddjit.integrations.networks.report import ConversionReport
from maddjit.integrations.onnx.loading import Feed, Source
from maddjit.integrations.onnx.networks import compile_network, convert_network
from maddjit.integrations.onnx.replacing import run_replaced
from maddjit.integrations.onnx.taking import KnownProduct, initialisers, take

__all__ = [
    "CompiledNetwork",
    "ConversionReport",
    "Converted",
    "Feed",
    "KnownProduct",
    "ReplacementError",
    "Source",
    "UnsupportedLayerError",
    "compile_network",
    "convert_network",
    "initialisers",
    "run_replaced",
    "take",
]
