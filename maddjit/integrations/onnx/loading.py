"""ONNX: models from files, and those that lack their weights or are too large."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import helper

Feed = Mapping[str, NDArray[Any]]
"""Inputs of a model by name."""

Source = str | os.PathLike[str] | Any
"""A path, or an `onnx.ModelProto`."""

_LARGEST = 2**31 - 2**20
"""The most bytes of weights that protobuf's messages hold, less room for the graph itself."""


def loaded(model: Source) -> Any:
    """Return a model that is given, or read it from a file.

    Raises
    ------
    TypeError
        If `model` is neither a path nor an `onnx.ModelProto`.
    ValueError
        If the file holds no ONNX model.
    OSError
        If the file cannot be read.
    """
    if isinstance(model, onnx.ModelProto):
        return model
    if not isinstance(model, str | os.PathLike):
        raise TypeError(
            f"model must be a path or an onnx.ModelProto, not {type(model).__name__}; "
            "onnx.load_from_string makes one of bytes"
        )
    path = os.fspath(model)
    try:
        return onnx.load(path)
    except OSError:
        raise
    except Exception as error:  # protobuf has its own, and other suffixes have others
        raise ValueError(f"{path} is no ONNX model: {error}") from error


def check_weights(proto: Any) -> None:
    """Refuse a model that is too large to be changed and handed over, or lacks its weights.

    Raises
    ------
    ValueError
        If the weights take more than 2 GB, or are in a file that was not loaded.
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
    """Refuse a tensor whose values are in a file beside the model that was not loaded.

    Raises
    ------
    ValueError
        If they are.
    """
    if onnx.external_data_helper.uses_external_data(tensor):
        raise ValueError(
            f"the values of {tensor.name!r} are in a file beside the model that was not loaded: "
            "give the path of the model, or load it by onnx.load(path)"
        )
