"""Ways to compute a layer (exactly, in 8 bits, by low rank, by look-ups) or to name its winner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from first_minute.layers import Floats, Layer

Call = Callable[[], NDArray[Any]]
HAS_ONNX = all(find_spec(name) for name in ("onnx", "onnxruntime"))


@dataclass(frozen=True)
class Way:
    """One way to compute a layer.

    Attributes
    ----------
    family, size : str
        The kind of way, which is a line of the picture, and its size, which is a point on it.
    name : str
        The name in the table, made of both.
    prepare : callable
        ``prepare(rows)`` returns a call that computes the layer's outputs for these rows, or
        their winners.
    """

    family: str
    size: str
    name: str
    prepare: Callable[[Floats], Call]


def product(layer: Layer) -> Way:
    """Return the exact product, without the bias that the other ways add."""

    def prepare(rows: Floats) -> Call:
        out = np.empty((len(rows), len(layer.bias)), np.float32)
        return lambda: np.matmul(rows, layer.B, out=out)

    return Way("exact", "", "exact: numpy.matmul", prepare)


def product_and_bias(layer: Layer) -> Way:
    """Return the exact layer, with the bias, without which the largest output is not known."""

    def prepare(rows: Floats) -> Call:
        out = np.empty((len(rows), len(layer.bias)), np.float32)
        return lambda: np.add(np.matmul(rows, layer.B, out=out), layer.bias, out=out)

    return Way("exact", "", "exact: numpy.matmul", prepare)


def rival() -> str:
    """Return which library multiplies in 8 bits, and how."""
    if not HAS_ONNX:
        return "left out, onnxruntime is not installed"
    from first_minute import onnx_product

    if onnx_product.saturates():
        return "onnxruntime, with weights of 7 bits, as this CPU would clamp sums"
    return "onnxruntime"


def eight_bit(layer: Layer) -> Iterator[Way]:
    """Yield the 8-bit product, if onnxruntime is installed."""
    if HAS_ONNX:
        from first_minute import onnx_product

        prepare = onnx_product.prepared(layer.B, layer.bias)
        yield Way("8 bits", "", "8 bits: onnxruntime", prepare)


def low_rank(layer: Layer, rank: int) -> Way:
    """Return the two thin products with the smallest squared error on the rows to learn from."""
    outputs = layer.learn @ layer.B
    mean = outputs.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(outputs, rowvar=False))
    right = np.ascontiguousarray(directions[:, -rank:].T, np.float32)
    left = layer.B @ right.T
    offset = mean - mean @ right.T @ right + layer.bias

    def prepare(rows: Floats) -> Call:
        thin = np.empty((len(rows), rank), np.float32)
        out = np.empty((len(rows), len(offset)), np.float32)

        def run() -> Floats:
            np.matmul(np.matmul(rows, left, out=thin), right, out=out)
            return np.add(out, offset, out=out)

        return run

    return Way("low rank", str(rank), f"low rank: {rank} of {min(layer.B.shape)}", prepare)


def look_ups(layer: Layer, n_codebooks: int, rank: int = 0) -> Way:
    """Fit and compile look-ups, `n_codebooks` for each output.

    Two thin exact products may take over the `rank` directions in which the outputs vary most.
    """
    model = maddjit.fit(layer.learn, layer.B, n_codebooks, bias=layer.bias, core_rank=rank)
    op = maddjit.compile(model)

    def prepare(rows: Floats) -> Call:
        out = np.empty((len(rows), len(layer.bias)), np.float32)
        return lambda: op(rows, out=out)

    if rank:
        size = f"{n_codebooks} + rank {rank}"
        return Way("look-ups and rank", size, f"look-ups: {size}", prepare)
    return Way("look-ups", str(n_codebooks), f"look-ups: {n_codebooks} an output", prepare)


def winner(way: Way) -> Way:
    """Return `way` followed by NumPy's arg-max."""

    def prepare(rows: Floats) -> Call:
        run = way.prepare(rows)
        return lambda: run().argmax(axis=1)

    return Way(way.family, way.size, f"{way.name}, argmax", prepare)


def exact_winners(layer: Layer, n_codebooks: int, coverages: Sequence[float]) -> Iterator[Way]:
    """Yield operators that name the largest output: look-ups first, then exact products.

    Look-ups leave few classes in doubt, and exact products settle those. For a share of at least
    `coverage` of the rows, the exact winner is named.
    """
    model = maddjit.fit(layer.learn, layer.B, n_codebooks, bias=layer.bias)
    model = maddjit.calibrate(model, layer.calibrate, layer.B, bias=layer.bias)
    for coverage in coverages:
        top = maddjit.compile(model, result="argmax", coverage=coverage)

        def prepare(rows: Floats, top: maddjit.WinnerOperator = top) -> Call:
            return lambda: top(rows)

        size = f"{100 * coverage:g}%"
        yield Way("exact winners", size, f"exact winners: {size} promised", prepare)
