"""Additive codes by a definition of their own, element by element, in whole numbers of Python."""

from __future__ import annotations

import numpy as np
import pytest

from maddjit import reference
from maddjit.models.encoders import AdditiveCodes
from tests.random_models import random_additive


def clipped(score: int) -> int:
    """Return a number of 16 bits."""
    return min(max(score, -(2**15)), 2**15 - 1)


def slow_codes(codes: AdditiveCodes, row: list[float]) -> list[int]:
    """Return the codes of one row of float32 numbers."""
    q = []
    for a, scale, offset in zip(row, codes.row_scale, codes.row_offset, strict=True):
        with np.errstate(over="ignore", invalid="ignore"):
            real = np.float32(np.float32(a) * scale) + offset
        q.append(0 if np.isnan(real) else round(float(min(max(real, 0), 255))))
    u = q
    if codes.projection is not None:
        u = []
        for j in range(codes.rank):
            column = codes.projection.matrix[:, j].tolist()
            total = sum(x * y for x, y in zip(q, column, strict=True))
            total = (total + int(codes.projection.added[j])) >> int(codes.projection.shifts[j])
            u.append(min(max(total, 0), 255))
    chosen: list[int] = []
    for c in range(codes.n_codebooks):
        scores = []
        for k in range(codes.n_prototypes):
            own = codes.prototypes[c, k].tolist()
            score = int(codes.norms[c, k]) - sum(x * y for x, y in zip(u, own, strict=True))
            score = clipped(score >> int(codes.shifts[c]))
            for b, code in enumerate(chosen):
                score = clipped(score + int(codes.gram[b, code, c, k]))
            scores.append(score)
        chosen.append(scores.index(min(scores)))
    return chosen


@pytest.mark.parametrize("rank", [None, 6])
@pytest.mark.parametrize("n_prototypes", [2, 16])
def test_additive_codes(rank: int | None, n_prototypes: int) -> None:
    model = random_additive(
        1, n_features=11, rank=rank, n_codebooks=5, n_prototypes=n_prototypes, n_outputs=1
    )
    A = np.random.default_rng(0).standard_normal((120, 11)).astype(np.float32)
    A[0, :4] = np.nan, np.inf, -np.inf, 3e38
    assert isinstance(model.encoder, AdditiveCodes)
    found = reference.encode(model, A)
    assert found.tolist() == [slow_codes(model.encoder, row) for row in A.tolist()]
    assert len(np.unique(found)) == n_prototypes  # nothing is always chosen
    assert reference.encode(model, A[3].astype(np.float64)).tolist() == found[3].tolist()
