"""What else multiplies: NumPy, MKL, torch in float32 and bfloat16, 8-bit products."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import peers
from data import Floats, Product
from measuring import Candidate

UNAVAILABLE = (ImportError, OSError, AttributeError, RuntimeError, NotImplementedError)
NUMPY = "numpy.matmul"
TORCH_BFLOAT16 = "torch bfloat16"

EIGHT_BIT = {
    "torch _int_mm, quantising A": "8-bit, torch _int_mm",
    "torch linear_dynamic, quantising A": "8-bit, torch linear_dynamic",
    "onnxruntime u8s8, quantising A": "8-bit, onnxruntime",
}
"""Timed candidates, and the methods that tell what they compute for any rows."""


def of_product(product: Product, optional: bool, left_out: dict[str, str]) -> list[Candidate]:
    """Return NumPy's product and those of the packages that are here."""
    makers: dict[str, Callable[[], list[Candidate]]] = {
        name: partial(make, product) for name, make in peers.ALWAYS.items()
    }
    if optional:
        makers |= {name: partial(make, product) for name, make in peers.OPTIONAL.items()}
        makers[TORCH_BFLOAT16] = partial(_bfloat16, product)
        makers[f"{TORCH_BFLOAT16}, packed B"] = partial(_packed_bfloat16, product)
    return list(peers.gather(makers, left_out))


def _bfloat16(product: Product) -> list[Candidate]:
    """Products by torch of an A that is in bfloat16 already, and from float32 to float32."""
    import torch

    A, B, Y = (torch.from_numpy(array) for array in (product.A, product.B, product.Y))
    A16, B16 = A.bfloat16(), B.bfloat16()
    Y16 = torch.empty(Y.shape, dtype=torch.bfloat16)

    def whole() -> None:
        torch.mm(A.bfloat16(), B16, out=Y16)
        Y.copy_(Y16)

    return [
        Candidate(
            TORCH_BFLOAT16,
            "bfloat16",
            lambda: torch.mm(A16, B16, out=Y16),
            {},
            lambda: Y16.float().numpy(),
        ),
        Candidate(f"{TORCH_BFLOAT16}, casting A and Y", "bfloat16", whole, {}, lambda: product.Y),
    ]


def _packed_bfloat16(product: Product) -> list[Candidate]:
    """The product of oneDNN with B in the layout that it likes, as torch's compiler has it."""
    import torch

    A16, right = (torch.from_numpy(array).bfloat16() for array in (product.A, product.B))
    packed = torch.ops.mkldnn._reorder_linear_weight(right.t().contiguous(), len(product.A))

    def run() -> Any:
        return torch.ops.mkldnn._linear_pointwise(A16, packed, None, "none", [], "")

    run()
    name = f"{TORCH_BFLOAT16}, packed B"
    return [Candidate(name, "bfloat16", run, {}, lambda: run().float().numpy())]


def layer_in_bfloat16(
    A: Floats, B: Floats, bias: Floats, Y: Floats
) -> tuple[Candidate, Callable[[Floats], Floats]]:
    """Return the layer with its ReLU by torch in bfloat16, float32 in and out; and its outputs."""
    import torch

    rows, answer = torch.from_numpy(A), torch.from_numpy(Y)
    B16, bias16 = torch.from_numpy(B).bfloat16(), torch.from_numpy(bias).bfloat16()
    Y16 = torch.empty(answer.shape, dtype=torch.bfloat16)

    def run() -> None:
        torch.addmm(bias16, rows.bfloat16(), B16, out=Y16)
        answer.copy_(Y16.relu_())

    def outputs(given: Floats) -> Floats:
        found: Floats = torch.addmm(bias16, torch.from_numpy(given).bfloat16(), B16).float().numpy()
        return found

    return Candidate(TORCH_BFLOAT16, "bfloat16", run), outputs


def eight_bit(
    A: Floats, B: Floats, left_out: dict[str, str]
) -> list[tuple[Candidate, Callable[[Floats], Floats]]]:
    """Return 8-bit products that quantise A, and what they give for other rows."""
    from methods import installed
    from methods.exact import METHODS

    product = Product(A, B, np.empty((len(A), B.shape[1]), np.float32))
    makers = {name: partial(make, product) for name, make in peers.EIGHT_BIT.items()}
    timed = {c.name: c for c in peers.gather(makers, left_out)}
    known = {method.name: method for method in installed(list(METHODS), left_out)}
    found = []
    for name, method in EIGHT_BIT.items():
        if name in timed and method in known:
            try:
                found.append((timed[name], known[method].fit(B, B, 0, 0)))
            except UNAVAILABLE as error:
                left_out[name] = words(error)
    return found


def words(error: Any) -> str:
    """Return the first line of what an error says."""
    return f"{type(error).__name__}: {error}".splitlines()[0]
