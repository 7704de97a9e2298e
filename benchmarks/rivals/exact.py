"""The exact product, and the nearly exact one in bfloat16, for any rows."""

from __future__ import annotations

import numpy as np

from benchmarks.rivals.method import Apply, Floats, Method


def float32(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """Use NumPy's matmul in float32."""
    right = np.ascontiguousarray(B, np.float32)
    return lambda A: A @ right


def bfloat16(_: Floats, B: Floats, __: int, ___: int) -> Apply:
    """Use torch's mm in bfloat16, with the casts of A and of the outputs."""
    import torch

    right = torch.from_numpy(np.array(B, np.float32)).bfloat16()
    return lambda A: torch.mm(torch.from_numpy(A).bfloat16(), right).float().numpy()


METHODS = (
    Method("exact", "", float32),
    Method("bfloat16", "", bfloat16, needs=("torch",)),
)
