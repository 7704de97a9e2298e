"""Figures that were wished for before anything was measured, and what was reached.

They were judged once, and results files keep them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from benchmarks.harness.tables import number, spread, table


@dataclass(frozen=True)
class Wish:
    """One figure that was wished for.

    Attributes
    ----------
    where : str
        The case or task.
    what : str
        The figure, with its unit.
    wished : float
    at_least : bool
        Whether `reached` should be at least, not at most, `wished`.
    reached : list of float, optional
        A lower bound, the value that counts and an upper bound, or the value alone. None if there
        is no figure.
    remark : str
        Which candidate reached it, or why there is no figure; empty if nothing was measured.
    """

    where: str
    what: str
    wished: float
    at_least: bool = True
    reached: list[float] | None = None
    remark: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the wish was met; None if nothing was measured."""
        if self.reached is None:
            return False if self.remark else None
        value = self.reached[len(self.reached) // 2]
        return value >= self.wished if self.at_least else value <= self.wished

    def cells(self) -> list[str]:
        """Return the wish's row of the table."""
        reached = ""
        if self.reached:
            is_alone = len(self.reached) == 1
            reached = number(self.reached[0]) if is_alone else spread(self.reached)
        told = " ".join(part for part in (reached, self.remark) if part) or "not measured"
        return [
            self.where,
            self.what,
            f"{'≥' if self.at_least else '≤'} {number(self.wished)}",
            told,
            {True: "met", False: "**missed**", None: "–"}[self.met],
        ]


def wish_table(stored: Iterable[dict[str, Any]]) -> str:
    """Return the table of a results file's wishes."""
    cells = (Wish(**one).cells() for one in stored)
    return table(["where", "what", "wished", "reached", ""], cells)
