"""`LowRankCore`: a product of small rank that is computed exactly beside the tables."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.records import fields_of, frozen_array, made_again

MAX_RANK = 64
"""Rank of an exact core, at most: a larger core would cost as much as the product."""

CORE_LANES = 16
"""Partial sums in which each projection onto a core is computed, which its definition says."""


@dataclass(frozen=True, eq=False)
class LowRankCore:
    """A product of small rank r, ``(A · U) · V``, that is computed exactly beside the tables.

    Attributes
    ----------
    projection : (D, r) float32
        U.
    expansion : (r, M) float32
        V.

    Raises
    ------
    ValueError, TypeError
        If r is not from 1 to 64, an entry is not finite, or a shape or dtype is not as above.
    """

    projection: NDArray[np.float32]
    expansion: NDArray[np.float32]

    def __post_init__(self) -> None:
        shapes = np.shape(self.projection), np.shape(self.expansion)
        if not (len(shapes[0]) == len(shapes[1]) == 2 and shapes[0][1] == shapes[1][0]):
            raise ValueError(
                f"projection and expansion must have shapes (D, r) and (r, M), not "
                f"{shapes[0]} and {shapes[1]}"
            )
        if not 1 <= shapes[1][0] <= MAX_RANK:
            raise ValueError(f"the rank must be from 1 to {MAX_RANK}, not {shapes[1][0]}")
        for name, shape in zip(("projection", "expansion"), shapes, strict=True):
            array = frozen_array(name, getattr(self, name), np.float32, shape)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite")
            object.__setattr__(self, name, array)

    @property
    def rank(self) -> int:
        """The rank r of the product."""
        return len(self.expansion)

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (LowRankCore, fields_of(self))

    def __repr__(self) -> str:
        n_features, n_outputs = len(self.projection), self.expansion.shape[1]
        return f"LowRankCore(D={n_features}, M={n_outputs}, rank={self.rank})"
