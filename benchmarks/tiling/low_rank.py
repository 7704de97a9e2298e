"""A-weighted low rank: two products, by NumPy and by plain operators in float32 and bfloat16."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from measuring import Candidate
from numpy.typing import NDArray

import maddjit
from maddjit.learning.maddness.goals import leading_directions
from tiling.ways import Floats

BY_NUMPY, BY_MADDJIT = "low rank, numpy.matmul", "low rank, maddjit"
BY_PRECISION = {"float32": BY_MADDJIT, "bfloat16": f"{BY_MADDJIT} in bfloat16"}


@dataclass(frozen=True)
class LowRank:
    """``(A @ left) @ right + offset``, the best product of its rank for the training rows."""

    left: Floats
    right: Floats
    offset: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Return outputs before the ReLU."""
        outputs: Floats = (rows @ self.left) @ self.right + self.offset
        return outputs

    def by_numpy(self, A: Floats, Y: Floats) -> Candidate:
        """Return two calls of NumPy's product, and offset and ReLU."""
        rank = self.left.shape[1]
        Z = np.empty((len(A), rank), np.float32)
        names = {"matmul": np.matmul, "add": np.add, "maximum": np.maximum, "A": A, "Z": Z, "Y": Y}
        names |= {"left": self.left, "right": self.right, "offset": self.offset}
        statement = "matmul(A, left, out=Z); matmul(Z, right, out=Y)"
        statement += "; add(Y, offset, out=Y); maximum(Y, 0, out=Y)"
        return Candidate(f"{BY_NUMPY}, {rank}", "float32", statement, names)

    def compiled(
        self, A: Floats, Y: Floats, precision: Literal["float32", "bfloat16"]
    ) -> tuple[Candidate, Callable[[Floats], Floats]]:
        """Return two plain operators, the second with the ReLU; and outputs before it."""
        rank = self.left.shape[1]
        relu = maddjit.Epilogue(low=0)
        first = maddjit.compile(
            maddjit.fit_strassen_tile(self.left, scheme="plain"), precision=precision
        )
        last = maddjit.fit_strassen_tile(self.right, scheme="plain", bias=self.offset)
        second = maddjit.compile(last, epilogue=relu, precision=precision)
        judged = maddjit.compile(last, precision=precision)
        Z = np.empty((len(A), rank), np.float32)
        names = {"first": first, "second": second, "A": A, "Z": Z, "Y": Y}
        name = f"{BY_PRECISION[precision]}, {rank}"
        candidate = Candidate(name, "maddjit", "second(first(A, out=Z), out=Y)", names)
        return candidate, lambda rows: judged(first(rows))


@dataclass(frozen=True)
class Directions:
    """Orthonormal directions of the outputs, those of the largest variance first."""

    directions: NDArray[np.float64]
    mean: NDArray[np.float64]
    B: NDArray[np.float64]
    bias: Floats

    @classmethod
    def of(cls, rows: Floats, B: Floats, bias: Floats) -> Directions:
        """Take them from training rows."""
        right = B.astype(np.float64)
        _, directions, _ = leading_directions(rows.astype(np.float64), right, min(right.shape))
        return cls(directions, rows.mean(axis=0, dtype=np.float64), right, bias)

    def product(self, rank: int) -> LowRank:
        """Return the product of a rank; what is left out is put in for the mean row."""
        kept = self.directions[:rank]
        left = self.B @ kept.T
        offset = self.mean @ self.B - (self.mean @ left) @ kept + self.bias
        return LowRank(*(part.astype(np.float32) for part in (left, kept, offset)))
