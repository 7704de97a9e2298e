"""Other ways to the winners: float32, 8 bits, and faiss where the best k are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import eight_bit
import numpy as np
from data import Product
from measuring import Candidate
from numpy.typing import NDArray
from tasks.scores import top

Floats = NDArray[np.float32]
Winners = NDArray[np.int64]

EXACT = "numpy.matmul + arg-max"
ALONE, CHOOSING, WHOLE, INDEX = (
    "8-bit product alone",
    "8-bit product and arg-max",
    "8-bit product and arg-max, quantising A",
    "index",
)
FLAT, REFINED = "faiss IndexFlatIP", "faiss PQ fast-scan"
UNAVAILABLE = (ImportError, OSError, AttributeError, RuntimeError)
"""What a library that is missing or lacks a function raises."""
_SUBSPACES, _FACTORS = (4, 2), (2, 8, 32)
"""Columns of a subspace, and how many times k are refined."""


@dataclass(frozen=True)
class Rival:
    """A candidate of a kind; `answer` names the winners of any rows, where that is to be judged."""

    kind: str
    candidate: Candidate
    answer: Callable[[Floats], Winners] | None = None


def rivals(A: Floats, B: Floats, k: int, optional: bool, left_out: dict[str, str]) -> list[Rival]:
    """Return what can be had here. Biases are left out of the work, which spares rivals a pass."""
    product = Product(A, B, np.empty((len(A), B.shape[1]), np.float32))
    found = [Rival("float32", _exact(product, k))]
    if not optional:
        return found
    makers: dict[str, Callable[[], Iterable[Rival]]] = {
        "torch int8": partial(_torch, product, k),
        "torch linear_dynamic": partial(_torch_linear, product, k),
        "onnxruntime": partial(_onnxruntime, product, k),
    }
    if k > 1:
        makers |= {
            "torch topk": partial(_torch_topk, product, k),
            "faiss": partial(_faiss, product, k),
        }
    for name, make in makers.items():
        try:
            found += make()
        except UNAVAILABLE as error:
            left_out[name] = _words(error)
    return found


def _exact(product: Product, k: int) -> Candidate:
    given = {
        "matmul": np.matmul,
        "A": product.A,
        "B": product.B,
        "Y": product.Y,
        "top": top,
        "k": k,
    }
    choose = "Y.argmax(axis=1)" if k == 1 else "top(Y, k)"
    return Candidate(EXACT, "float32", f"matmul(A, B, out=Y); {choose}", given)


def _choosing(name: str, kind: str, run: Callable[[], NDArray[Any]], k: int) -> list[Rival]:
    """Return ways to choose among the sums that `run` returns, by NumPy and by torch."""
    import torch

    if k == 1:
        return [Rival(kind, Candidate(f"{name} + numpy argmax", "8-bit", lambda: run().argmax(1)))]

    def by_torch() -> object:
        return torch.topk(torch.from_numpy(run()), k)

    return [
        Rival(kind, Candidate(f"{name} + numpy argpartition", "8-bit", lambda: top(run(), k))),
        Rival(kind, Candidate(f"{name} + torch topk", "8-bit", by_torch)),
    ]


def _torch_topk(product: Product, k: int) -> Iterable[Rival]:
    """The float32 product as before, and torch's choice of the k best, which is the faster one."""
    import torch

    Y = torch.from_numpy(product.Y)

    def run() -> object:
        np.matmul(product.A, product.B, out=product.Y)
        return torch.topk(Y, k)

    return [Rival("float32", Candidate("numpy.matmul + torch topk", "float32", run))]


def _torch(product: Product, k: int) -> Iterable[Rival]:
    """`_int_mm`: alone, with arg-max, and with the quantising of A besides."""
    import torch

    A = torch.from_numpy(product.A)
    integers, _ = eight_bit.weights(product, False, eight_bit.WHOLE_BYTE)
    B, rows = torch.from_numpy(integers), torch.empty(A.shape, dtype=torch.int8)
    sums, steps = torch.empty(product.Y.shape, dtype=torch.int32), torch.empty_like(A)
    seen: NDArray[Any] = sums.numpy()

    def quantise() -> None:
        low, high = torch.aminmax(A)
        step = max(-float(low), float(high)) / 127
        rows.copy_(torch.mul(A, 1 / step, out=steps).round_())

    def multiply() -> NDArray[Any]:
        torch._int_mm(rows, B, out=sums)
        return seen

    def whole() -> NDArray[Any]:
        quantise()
        return multiply()

    quantise()
    name = "torch _int_mm"
    return [
        Rival(ALONE, Candidate(name, "8-bit", multiply)),
        *_choosing(name, CHOOSING, multiply, k),
        *_choosing(f"{name}, quantising A", WHOLE, whole, k),
    ]


def _torch_linear(product: Product, k: int) -> Iterable[Rival]:
    """`linear_dynamic`, which quantises A by itself and gives floats."""
    import torch

    A, (multiply, packed) = torch.from_numpy(product.A), eight_bit.packed_linear(product.B)

    def whole() -> NDArray[Any]:
        outputs: NDArray[Any] = multiply(A, packed).numpy()
        return outputs

    return _choosing("torch linear_dynamic", WHOLE, whole, k)


def _onnxruntime(product: Product, k: int) -> Iterable[Rival]:
    """MatMulInteger alone, and for one winner with ArgMax or NumPy's."""
    plain = eight_bit.with_onnxruntime(product)[0]
    found = [Rival(ALONE, plain)]
    if k == 1:
        found += [
            Rival(WHOLE if "quantising" in candidate.name else CHOOSING, candidate)
            for candidate in eight_bit.argmax_with_onnxruntime(product)
        ]
    return found


def _faiss(product: Product, k: int) -> Iterable[Rival]:
    """The exact index, and 4-bit codes whose best are refined by exact products."""
    import faiss

    faiss.omp_set_num_threads(1)
    n_features, n_items = product.B.shape
    items = np.ascontiguousarray(product.B.T)
    flat = faiss.IndexFlatIP(n_features)
    flat.add(items)
    found = [_searched(FLAT, flat, product.A, k)]
    for width in _SUBSPACES:
        if n_features % width:
            continue
        inner = faiss.IndexPQFastScan(
            n_features, n_features // width, 4, faiss.METRIC_INNER_PRODUCT
        )
        inner.train(items)
        inner.add(items)
        for factor in _FACTORS:
            if factor * k <= n_items:
                index = faiss.IndexRefineFlat(inner, faiss.swig_ptr(items))
                index.k_factor = factor
                name = f"{REFINED}, {n_features // width} codes, {factor * k} refined"
                found.append(_searched(name, index, product.A, k, (inner, items)))
    return found


def _searched(name: str, index: Any, A: Floats, k: int, kept: object = None) -> Rival:
    names = {"index": index, "A": A, "k": k, "kept": kept}
    return Rival(
        INDEX,
        Candidate(name, "float32", "index.search(A, k)", names),
        lambda rows: index.search(np.ascontiguousarray(rows), k)[1].astype(np.int64),
    )


def eight_bit_answers(
    B: Floats, bias: Floats, k: int, left_out: dict[str, str]
) -> dict[str, Callable[[Floats], Winners]]:
    """Return what 8-bit products name at their best: each output has its scale, the bias is added.

    A is quantised by blocks of the rows that are given.
    """
    from methods import installed
    from methods.exact import METHODS

    found: dict[str, Callable[[Floats], Winners]] = {}
    for method in installed([m for m in METHODS if m.name.startswith("8-bit")], left_out):
        try:
            multiply = method.fit(B, B, 0, 0)
        except UNAVAILABLE as error:
            left_out[method.name] = _words(error)
            continue
        found[method.name] = partial(_answer, multiply, bias, k)
    return found


def _answer(multiply: Callable[[Floats], Floats], bias: Floats, k: int, rows: Floats) -> Winners:
    return top(multiply(np.array(rows)) + bias, k)  # a copy: torch wants to write


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0]
