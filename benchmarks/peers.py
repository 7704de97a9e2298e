"""Other ways to the same product: NumPy, MKL, torch in float32 and bfloat16, MADDNESS by hand."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from typing import Any

import eight_bit
import numpy as np
from data import Product
from measuring import Candidate

import maddjit

Peer = Callable[[Product], list[Candidate]]


def with_numpy(product: Product) -> list[Candidate]:
    """`numpy.matmul` into memory that is there."""
    A, B, Y = product.A, product.B, product.Y
    names = {"matmul": np.matmul, "A": A, "B": B, "Y": Y}
    return [Candidate("numpy.matmul", "float32", "matmul(A, B, out=Y)", names, lambda: Y)]


@cache
def _mkl() -> Any:
    """Load MKL from its pip package; the suite has told it to use one thread."""
    files = metadata.files("mkl") or []
    path = next((file.locate() for file in files if "mkl_rt" in file.name), None)
    if path is None:
        raise ImportError("the package mkl holds no libmkl_rt")
    sgemm = ctypes.CDLL(str(path)).cblas_sgemm
    size, pointer = ctypes.c_int, ctypes.c_void_p
    matrices = [ctypes.c_float, pointer, size, pointer, size, ctypes.c_float, pointer, size]
    sgemm.argtypes, sgemm.restype = [size] * 6 + matrices, None
    return sgemm


def with_mkl(product: Product) -> list[Candidate]:
    """MKL's `cblas_sgemm` through ctypes."""
    sgemm, Y = _mkl(), product.Y
    (n_rows, n_features), n_outputs = product.A.shape, product.B.shape[1]
    row_major, as_it_is = 101, 111
    A, B, out = product.A.ctypes.data, product.B.ctypes.data, Y.ctypes.data
    sizes = (row_major, as_it_is, as_it_is, n_rows, n_outputs, n_features)
    matrices = (1.0, A, n_features, B, n_outputs, 0.0, out, n_outputs)
    names = {"sgemm": sgemm, "arguments": sizes + matrices, "kept": product}
    return [Candidate("MKL sgemm", "float32", "sgemm(*arguments)", names, lambda: Y)]


def with_torch(product: Product) -> list[Candidate]:
    """The float32 product of torch, and its bfloat16 product with the cast of A."""
    import torch

    A, B, Y = (torch.from_numpy(array) for array in (product.A, product.B, product.Y))
    B16, Y16 = B.bfloat16(), torch.empty(Y.shape, dtype=torch.bfloat16)
    return [
        Candidate("torch float32", "float32", lambda: torch.mm(A, B, out=Y), {}, lambda: product.Y),
        Candidate(
            "torch bfloat16, casting A",
            "bfloat16",
            lambda: torch.mm(A.bfloat16(), B16, out=Y16),
            {},
            lambda: Y16.float().numpy(),
        ),
    ]


def with_numba(product: Product, model: maddjit.MaddnessModel, sum_bits: int) -> list[Candidate]:
    """MADDNESS as one would write it by hand, with the model that maddjit compiled."""
    from by_hand import maddness

    tables = (model.split_dims, model.thresholds, model.tables, model.scale, model.offset)
    sums = np.empty(model.n_outputs, {8: np.uint8, 16: np.uint16}.get(sum_bits, np.uint32))

    def run() -> None:
        maddness(product.A, *tables, sums, product.Y)

    return [Candidate("numba, MADDNESS by hand", "by hand", run, {}, lambda: product.Y)]


ALWAYS: dict[str, Peer] = {"numpy": with_numpy}
FLOATS: dict[str, Peer] = {"MKL": with_mkl, "torch": with_torch}
EIGHT_BIT: dict[str, Peer] = {
    "torch int8": eight_bit.with_torch,
    "torch linear_dynamic": eight_bit.with_torch_linear,
    "onnxruntime": eight_bit.with_onnxruntime,
}
OPTIONAL = FLOATS | EIGHT_BIT


def gather(
    makers: dict[str, Callable[[], list[Candidate]]], left_out: dict[str, str]
) -> Iterable[Candidate]:
    """Yield the candidates of all peers that work here, and note why others are left out."""
    for name, make in makers.items():
        try:
            candidates = make()
        except (ImportError, OSError, AttributeError, RuntimeError) as error:
            left_out[name] = f"{type(error).__name__}: {error}".splitlines()[0]
        else:
            yield from candidates
