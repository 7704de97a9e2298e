"""Every other way to one given product, timed into memory that is there, and MADDNESS by hand."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable, Mapping
from functools import cache, partial
from importlib import metadata
from typing import Any

import numpy as np

import maddjit
from benchmarks.harness.machine import Missing, first_line
from benchmarks.harness.timing import Candidate
from benchmarks.rivals.eight_bit import (
    ALONE,
    WHOLE,
    OnnxInt8,
    TorchInt8,
    refuse_slow_bfloat16,
    torch_linear,
)
from benchmarks.tasks.rows import Product

NUMPY = "numpy.matmul"
UNAVAILABLE = (Missing, ImportError, OSError, AttributeError, RuntimeError, NotImplementedError)
"""What a library raises that is missing or lacks a function."""


def with_numpy(product: Product) -> list[Candidate]:
    """Use `numpy.matmul`."""
    A, B, Y = product.A, product.B, product.Y
    names = {"matmul": np.matmul, "A": A, "B": B, "Y": Y}
    return [Candidate(NUMPY, "float32", "matmul(A, B, out=Y)", names, lambda: Y)]


@cache
def _mkl() -> Any:
    """Load MKL from its pip package; the environment has told it to use one thread."""
    files = metadata.files("mkl") or []
    path = next((file.locate() for file in files if "mkl_rt" in file.name), None)
    if path is None:
        raise ImportError("the package mkl holds no libmkl_rt")
    sgemm = ctypes.CDLL(str(path)).cblas_sgemm
    size, pointer = ctypes.c_int, ctypes.c_void_p
    matrices = [ctypes.c_float, pointer, size, pointer, size, ctypes.c_float, pointer, size]
    sgemm.argtypes, sgemm.restype = [size] * 6 + matrices, None
    return sgemm


def _with_mkl(product: Product) -> list[Candidate]:
    """Use MKL's `cblas_sgemm` through ctypes."""
    sgemm, Y = _mkl(), product.Y
    (n_rows, n_features), n_outputs = product.A.shape, product.B.shape[1]
    row_major, as_it_is = 101, 111
    A, B, out = product.A.ctypes.data, product.B.ctypes.data, Y.ctypes.data
    sizes = (row_major, as_it_is, as_it_is, n_rows, n_outputs, n_features)
    matrices = (1.0, A, n_features, B, n_outputs, 0.0, out, n_outputs)
    names = {"sgemm": sgemm, "arguments": sizes + matrices, "kept": product}
    return [Candidate("MKL sgemm", "float32", "sgemm(*arguments)", names, lambda: Y)]


def _with_torch(product: Product) -> list[Candidate]:
    """Use torch in float32."""
    import torch

    A, B, Y = (torch.from_numpy(array) for array in (product.A, product.B, product.Y))
    exact = partial(torch.mm, A, B, out=Y)
    return [Candidate("torch float32", "float32", exact, {}, lambda: product.Y)]


def _with_bfloat16(product: Product) -> list[Candidate]:
    """Use torch in bfloat16, with casts and without."""
    import torch

    refuse_slow_bfloat16()
    A, B, Y = (torch.from_numpy(array) for array in (product.A, product.B, product.Y))
    A16, B16, Y16 = A.bfloat16(), B.bfloat16(), torch.empty(Y.shape, dtype=torch.bfloat16)

    def casting() -> Any:
        return torch.mm(A.bfloat16(), B16, out=Y16)

    runs = {
        "torch bfloat16": partial(torch.mm, A16, B16, out=Y16),
        "torch bfloat16, casting A": casting,
        "torch bfloat16, casting A and Y": lambda: Y.copy_(casting()),
    }
    return [
        Candidate(name, "bfloat16", run, {}, lambda: Y16.float().numpy())
        for name, run in runs.items()
    ]


def _with_packed_bfloat16(product: Product) -> list[Candidate]:
    """Use oneDNN with B in the layout that it likes, as torch's compiler does."""
    import torch

    A16, right = (torch.from_numpy(array).bfloat16() for array in (product.A, product.B))
    packed = torch.ops.mkldnn._reorder_linear_weight(right.t().contiguous(), len(product.A))

    def run() -> Any:
        return torch.ops.mkldnn._linear_pointwise(A16, packed, None, "none", [], "")

    run()
    name = "torch bfloat16, packed B"
    return [Candidate(name, "bfloat16", run, {}, lambda: run().float().numpy())]


def _with_bytes(kind: type[TorchInt8 | OnnxInt8], product: Product) -> list[Candidate]:
    A, Y = product.A, product.Y
    made = kind(product.B, len(A))
    scale = made.quantise(A) * made.scale
    return [
        Candidate(made.name, ALONE, made.alone, {}, lambda: made.alone() * scale),
        Candidate(f"{made.name}, quantising A", WHOLE, made.floats(A, Y), {}, lambda: Y),
    ]


def _with_torch_linear(product: Product) -> list[Candidate]:
    run = partial(torch_linear(product.B), product.A)
    return [Candidate("torch linear_dynamic, quantising A", WHOLE, run, {}, run)]


RIVALS: dict[str, Callable[[Product], list[Candidate]]] = {
    "MKL": _with_mkl,
    "torch": _with_torch,
    "torch bfloat16": _with_bfloat16,
    "torch, packed": _with_packed_bfloat16,
    "torch int8": partial(_with_bytes, TorchInt8),
    "torch linear_dynamic": _with_torch_linear,
    "onnxruntime": partial(_with_bytes, OnnxInt8),
}
"""What is compared with beside NumPy, where the packages are installed."""


def rivals(product: Product, optional: bool, left_out: dict[str, str]) -> list[Candidate]:
    """Return NumPy's product and, if wanted, those of all packages that are here."""
    made = {name: partial(make, product) for name, make in RIVALS.items()} if optional else {}
    return [*with_numpy(product), *gather(made, left_out)]


def by_hand(product: Product, model: maddjit.MaddnessModel, sum_bits: int) -> list[Candidate]:
    """Return MADDNESS as one would write it by hand, with the model that maddjit compiled."""
    from benchmarks.rivals.loops import maddness

    tables = (model.split_dims, model.thresholds, model.tables, model.scale, model.offset)
    sums = np.empty(model.n_outputs, {8: np.uint8, 16: np.uint16}.get(sum_bits, np.uint32))
    run = partial(maddness, product.A, *tables, sums, product.Y)
    return [Candidate("numba, MADDNESS by hand", "by hand", run, {}, lambda: product.Y)]


def gather(
    makers: Mapping[str, Callable[[], Iterable[Any]]], left_out: dict[str, str]
) -> list[Any]:
    """Return what all makers that work here make, and note why others are left out."""
    found: list[Any] = []
    for name, make in makers.items():
        try:
            found += make()
        except UNAVAILABLE as error:
            left_out[name] = first_line(error)
    return found
