"""The part of a plan that transposes: codes that lie codebook by codebook become rows."""

from __future__ import annotations

from dataclasses import dataclass

_ROWS = 16
"""Rows of a tile: 16 bytes are a vector at every level."""


@dataclass(frozen=True)
class Transpose:
    """How the codes of `rows` rows and of some `codebooks` become rows of a result.

    The vectors of a tile, one for each codebook, are interleaved `stages` times. The tile with the
    last codebooks begins at codebook `last`.
    """

    codebooks: int
    last: int
    rows: int = _ROWS

    @property
    def stages(self) -> int:
        """How often vectors are interleaved."""
        return self.codebooks.bit_length() - 1

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """The vectors that a stage interleaves: one of the first half with one of the second."""
        half = self.codebooks // 2
        return tuple((i, half + i) for i in range(half))

    @property
    def halves(self) -> tuple[tuple[int, ...], ...]:
        """The lanes that interleave the lower halves of two vectors, and the upper halves."""
        lanes = [lane for i in range(self.rows) for lane in (i, self.rows + i)]
        return tuple(lanes[: self.rows]), tuple(lanes[self.rows :])

    @property
    def places(self) -> tuple[tuple[int, int], ...]:
        """The numbers of the vectors that each pair becomes."""
        return tuple((2 * i, 2 * i + 1) for i in range(self.codebooks // 2))

    @property
    def stores(self) -> tuple[tuple[int, tuple[int, ...]], ...]:
        """For each row, the vector that holds its codes in the end, and their lanes."""
        per_vector = self.rows // self.codebooks
        return tuple(
            (row // per_vector, tuple(range(first, first + self.codebooks)))
            for row in range(self.rows)
            for first in [row % per_vector * self.codebooks]
        )


def plan_transpose(n_codebooks: int) -> Transpose:
    """Return how the codes of so many codebooks are transposed: as many at a time as fit.

    >>> plan_transpose(21), plan_transpose(3)
    (Transpose(codebooks=16, last=5, rows=16), Transpose(codebooks=2, last=1, rows=16))
    """
    codebooks = min(_ROWS, 1 << (n_codebooks.bit_length() - 1))
    return Transpose(codebooks, n_codebooks - codebooks)
