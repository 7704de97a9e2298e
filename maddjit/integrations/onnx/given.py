"""ONNX: check the feeds and operators that callers hand in, and apply an operator to rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from maddjit.integrations.onnx.graph import Graph
from maddjit.integrations.onnx.stages import Replaced
from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.winners import WinnerOperator

_PLAIN = frozenset(range(TensorProto.FLOAT, TensorProto.UINT64 + 1)) - {TensorProto.STRING}
"""ONNX's types that NumPy has, too."""


@dataclass(frozen=True)
class GraphInputs:
    """The inputs of a model, and which of them a feed must have.

    Attributes
    ----------
    required : frozenset of str
        The inputs that a feed must have.
    dtypes : dict of str to numpy.dtype or None
        All inputs with their dtypes; None if an input is not a plain tensor.
    """

    required: frozenset[str]
    dtypes: dict[str, np.dtype[Any] | None]


def inputs_of(graph: Graph, needed: Collection[str] | None = None) -> GraphInputs:
    """Return the inputs of a model; a feed must have all of them, or those in `needed`."""
    infos = [each for each in graph.proto.graph.input if each.name not in graph.stored]
    required = {each.name for each in infos} - graph.free
    kinds = {each.name: each.type.tensor_type.elem_type for each in infos}
    return GraphInputs(
        frozenset(required if needed is None else required & set(needed)),
        {
            name: np.dtype(helper.tensor_dtype_to_np_dtype(kind)) if kind in _PLAIN else None
            for name, kind in kinds.items()
        },
    )


def check_feed(feed: object, inputs: GraphInputs) -> None:
    """Refuse a feed that lacks inputs, has other names, or has arrays of another dtype.

    Raises
    ------
    TypeError
        If the feed is not a mapping, or a value is not an array or has another dtype.
    ValueError
        If an input is missing, or a name is not that of an input.
    """
    if not isinstance(feed, Mapping):
        raise TypeError(
            f"feeds must be mappings of input names to arrays, not {type(feed).__name__}"
        )
    dtypes = inputs.dtypes
    if not inputs.required <= feed.keys() <= dtypes.keys():
        missing = [repr(name) for name in dtypes if name in inputs.required - feed.keys()]
        unknown = [repr(name) for name in feed if name not in dtypes]
        wrong = [f"{', '.join(missing)} is missing"] if missing else []
        wrong += [f"{', '.join(unknown)} is no input"] if unknown else []
        known = [f"{name!r}" + (f" ({dtype})" if dtype else "") for name, dtype in dtypes.items()]
        raise ValueError(
            "a feed must have an array for each of the model's inputs, by its name: "
            f"{' and '.join(wrong)}; they are {', '.join(known)}"
        )
    for name, value in feed.items():
        dtype = dtypes[name]
        if dtype is None:
            continue
        if not isinstance(value, np.ndarray):
            raise TypeError(
                f"the feed {name!r} must be an array of {dtype}, not {type(value).__name__}: "
                f"np.asarray(…, np.{dtype}) makes one"
            )
        if value.dtype != dtype:
            raise TypeError(
                f"the feed {name!r} must be of {dtype}, not {value.dtype}: "
                f".astype(np.{dtype}) converts it"
            )


def check_operator(name: str, operator: Any, shape: tuple[int, int]) -> None:
    """Refuse an operator that cannot stand for a product of the shape (D, M), as far as is known.

    Raises
    ------
    TypeError
        If it is a model, returns winners, or cannot be called.
    ValueError
        If it has another size.
    """
    start = f"the operator for {name!r}"
    if isinstance(operator, MaddnessModel | StrassenTileModel):
        raise TypeError(
            f"{start} is a model, a {type(operator).__name__}, which must be compiled first: "
            "maddjit.compile(model)"
        )
    exported = getattr(operator, "description", {})
    what = exported.get("what", "outputs") if isinstance(exported, Mapping) else "outputs"
    if isinstance(operator, WinnerOperator) or what != "outputs":
        raise TypeError(
            f"{start} returns the indices of winners, but the graph needs all {shape[1]} outputs: "
            'compile the model with result="outputs", or take winners of the rows that '
            "`take` returns, outside of the graph"
        )
    if not callable(operator):
        raise TypeError(
            f"{start} must be callable, from (N, {shape[0]}) to (N, {shape[1]}), "
            f"not a {type(operator).__name__}"
        )
    model = getattr(operator, "model", operator)
    found = getattr(model, "n_features", None), getattr(model, "n_outputs", None)
    found = found[0], found[1] if found[1] is not None else getattr(operator, "width", None)
    if None not in found and found != shape:
        raise ValueError(
            f"{start} must take {shape[0]} columns and return {shape[1]}, "
            f"not {found[0]} and {found[1]}"
        )


def outputs_of(replaced: Replaced, x: NDArray[Any]) -> NDArray[Any]:
    """Return an operator's outputs (…, M) for x of shape (…, D), in the dtype of x.

    Look-ups make ordinary numbers of NaN and infinities. Rows that have any get NaN instead.

    Raises
    ------
    ValueError
        If x has another number of columns, or the operator returns another shape.
    TypeError
        If the operator returns anything but an array of floating-point numbers.
    """
    D, M = replaced.product.B.shape
    rows = flat_rows(replaced.name, x, D)
    y = _called(replaced.operator, x, rows)
    start = f"the operator for {replaced.name!r} must return an array of shape ({len(rows)}, {M})"
    if not isinstance(y, np.ndarray):
        raise TypeError(f"{start}, not {type(y).__name__}")
    if y.shape != (len(rows), M):
        raise ValueError(f"{start}, not {y.shape}")
    if y.dtype.kind in "biu":
        raise TypeError(f"{start} of floating-point numbers, not {y.dtype}")
    flat = rows.reshape(-1)
    with np.errstate(all="ignore"):  # if the squares overflow, each row is looked at
        if not np.isfinite(np.dot(flat, flat)):
            bad = ~np.isfinite(rows).all(axis=1, keepdims=True)
            y = np.where(bad & np.isfinite(y), np.asarray(np.nan, y.dtype), y)
    answer: NDArray[Any] = y.astype(x.dtype, copy=False).reshape(*x.shape[:-1], M)
    return answer


def _called(operator: Any, x: NDArray[Any], rows: NDArray[Any]) -> Any:
    """Return what an operator returns for rows, which were x (…, D).

    One whose tiles are made of neighbouring rows is told which rows are one sequence.
    """
    described = getattr(operator, "description", {})
    layout = described.get("rows") if isinstance(described, Mapping) else None
    if x.ndim < 3:
        return operator(rows)
    if getattr(getattr(operator, "model", None), "rows", None) == "tokens":
        return operator(x).reshape(len(rows), -1)
    if layout == "tokens" and len(rows):
        sequences = x.reshape(-1, *x.shape[-2:])
        return np.concatenate([operator(sequence) for sequence in sequences])
    return operator(rows)


def flat_rows(name: str, x: NDArray[Any], n_columns: int) -> NDArray[Any]:
    """Return an array that reaches a product as rows: all axes but the last become one.

    Raises
    ------
    ValueError
        If it has another number of columns.
    """
    if not x.ndim or x.shape[-1] != n_columns:
        raise ValueError(
            f"the rows that reach {name!r} must have {n_columns} columns, but their shape is "
            f"{x.shape}"
        )
    return x.reshape(-1, n_columns)
