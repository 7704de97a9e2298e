"""A-weighted low rank: two products, by NumPy and by plain compiled operators."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from measuring import Candidate
from numpy.typing import NDArray

import maddjit
from maddjit.learning.goals import leading_directions
from tiling.ways import Floats

BY_NUMPY, BY_MADDJIT = "low rank, numpy.matmul", "low rank, maddjit"


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

    def candidates(self, A: Floats, Y: Floats) -> dict[str, Candidate]:
        """Return both ways to compute it with offset and ReLU, by name."""
        rank = self.left.shape[1]
        Z = np.empty((len(A), rank), np.float32)
        names = {"matmul": np.matmul, "add": np.add, "maximum": np.maximum, "A": A, "Z": Z, "Y": Y}
        names |= {"left": self.left, "right": self.right, "offset": self.offset}
        statement = "matmul(A, left, out=Z); matmul(Z, right, out=Y)"
        statement += "; add(Y, offset, out=Y); maximum(Y, 0, out=Y)"
        first = maddjit.compile(maddjit.fit_strassen_tile(self.left, scheme="plain"))
        last = maddjit.fit_strassen_tile(self.right, scheme="plain", bias=self.offset)
        second = maddjit.compile(last, epilogue=maddjit.Epilogue(low=0))
        ours = {"first": first, "second": second, "A": A, "Z": Z, "Y": Y}
        return {
            BY_NUMPY: Candidate(f"{BY_NUMPY}, {rank}", "float32", statement, names),
            BY_MADDJIT: Candidate(
                f"{BY_MADDJIT}, {rank}", "float32", "second(first(A, out=Z), out=Y)", ours
            ),
        }


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
        _, directions = leading_directions(rows.astype(np.float64), right)
        return cls(directions, rows.mean(axis=0, dtype=np.float64), right, bias)

    def product(self, rank: int) -> LowRank:
        """Return the product of a rank; what is left out is put in for the mean row."""
        kept = self.directions[:rank]
        left = self.B @ kept.T
        offset = self.mean @ self.B - (self.mean @ left) @ kept + self.bias
        return LowRank(*(part.astype(np.float32) for part in (left, kept, offset)))
