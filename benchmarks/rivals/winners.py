"""Other ways to the winners: float32, 8 bits, and faiss where the k best are asked for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.timing import Candidate
from benchmarks.rivals import eight_bit
from benchmarks.rivals.candidates import NUMPY, gather
from benchmarks.rivals.method import Floats, installed
from benchmarks.tasks.rows import Product
from benchmarks.tasks.scores import top

Winners = NDArray[np.int64]

EXACT = f"{NUMPY} + arg-max"
ALONE = "8-bit product alone"
CHOOSING = "8-bit product and arg-max"
WHOLE = "8-bit product and arg-max, quantising A"
INDEX = "index"
FLAT, REFINED = "faiss IndexFlatIP", "faiss PQ fast-scan"
_SUBSPACES, _FACTORS = (4, 2), (2, 8, 32)
"""Columns of a subspace, and how many times k are refined."""


def rivals(
    A: Floats, B: Floats, k: int, optional: bool, left_out: dict[str, str]
) -> list[Candidate]:
    """Return the rivals that are here. They are spared the bias, which saves them a pass."""
    product = Product.of(A, B)
    makers = {"numpy": partial(_exact, product, k)}
    if optional:
        makers |= {
            "torch int8": partial(_bytes, eight_bit.TorchInt8, product, k),
            "torch linear_dynamic": partial(_torch_linear, product, k),
            "onnxruntime": partial(_bytes, eight_bit.OnnxInt8, product, k),
        }
        if k > 1:
            makers |= {
                "torch topk": partial(_torch_topk, product, k),
                "faiss": partial(_faiss, product, k),
            }
    return gather(makers, left_out)


def _exact(product: Product, k: int) -> list[Candidate]:
    A, B, Y = product.A, product.B, product.Y

    def run() -> Any:
        np.matmul(A, B, out=Y)
        return Y.argmax(axis=1) if k == 1 else top(Y, k)

    return [Candidate(EXACT, "float32", run, {}, run)]


def _choosing(name: str, kind: str, run: Callable[[], NDArray[Any]], k: int) -> list[Candidate]:
    """Return ways to choose among the sums that `run` returns: by NumPy and, if there, by torch."""
    if k == 1:

        def best() -> Any:
            return run().argmax(axis=1)

        return [Candidate(f"{name} + numpy argmax", kind, best, {}, best)]
    found = [Candidate(f"{name} + numpy argpartition", kind, lambda: top(run(), k))]
    if find_spec("torch"):
        import torch

        def by_torch() -> object:
            return torch.topk(torch.from_numpy(run()), k)

        found.append(Candidate(f"{name} + torch topk", kind, by_torch))
    return found


def _torch_topk(product: Product, k: int) -> list[Candidate]:
    """Use the float32 product, and torch to choose the k best, which is faster than NumPy."""
    import torch

    Y = torch.from_numpy(product.Y)

    def run() -> object:
        np.matmul(product.A, product.B, out=product.Y)
        return torch.topk(Y, k)

    return [Candidate("numpy.matmul + torch topk", "float32", run)]


def _bytes(
    kind: type[eight_bit.TorchInt8 | eight_bit.OnnxInt8], product: Product, k: int
) -> list[Candidate]:
    """Multiply in 8 bits: alone, with arg-max, and with the quantising of A besides."""
    made = kind(product.B, len(product.A), per_output=False)
    made.quantise(product.A)
    return [
        Candidate(made.name, ALONE, made.alone),
        *_choosing(made.name, CHOOSING, made.alone, k),
        *_choosing(f"{made.name}, quantising A", WHOLE, made.integers(product.A), k),
    ]


def _torch_linear(product: Product, k: int) -> list[Candidate]:
    """Use `linear_dynamic`, which quantises A by itself and gives floats."""
    run = partial(eight_bit.torch_linear(product.B), product.A)
    return _choosing("torch linear_dynamic", WHOLE, run, k)


def _faiss(product: Product, k: int) -> list[Candidate]:
    """Use the exact index, and 4-bit codes whose best are refined by exact products."""
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


def _searched(name: str, index: Any, A: Floats, k: int, kept: object = None) -> Candidate:
    def answer(rows: Floats) -> Winners:
        return index.search(np.ascontiguousarray(rows), k)[1].astype(np.int64)

    names = {"index": index, "A": A, "k": k, "kept": kept}
    return Candidate(name, INDEX, "index.search(A, k)", names, answer=answer)


def eight_bit_answers(
    B: Floats, bias: Floats, k: int, left_out: dict[str, str]
) -> dict[str, Callable[[Floats], Winners]]:
    """Return what 8-bit products name at their best: a scale for each output, and the bias.

    A is quantised by blocks of the rows that are given.
    """

    def made(method: Any) -> list[tuple[str, Callable[[Floats], Winners]]]:
        multiply = method.fit(B, B, 0, 0)
        return [(method.name, lambda rows: top(multiply(np.array(rows)) + bias, k))]

    methods = installed(eight_bit.METHODS, left_out)
    return dict(gather({method.name: partial(made, method) for method in methods}, left_out))
