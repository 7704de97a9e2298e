"""Short lists of a block of rows: how far they reach, and how much memory they take."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.maddness import settings
from maddjit.models.short_list import ShortList

MEMBER_BYTES = 4
"""Bytes of an output's number on a list, and of its score beside it."""


def list_bytes(room: int) -> int:
    """Return the bytes of a list of `room` outputs and a place for what finds no room."""
    return MEMBER_BYTES * (room + 1)


@dataclass(frozen=True)
class Lists:
    """The short-list arguments of a kernel of winners, which the coverage decides.

    Attributes
    ----------
    margin : int
        Outputs are listed whose score is at most this much below the k-th best score.
    room : int
        How many outputs a row's list has room for. The winners do not depend on it. A list that
        grows longer is made again, which costs all look-ups of that row.
    n_bytes : int
        Bytes of the lists of a block of rows, behind the workspace of the plan.
    """

    margin: int
    room: int
    n_bytes: int

    @classmethod
    def of(cls, short: ShortList, coverage: float, row_block: int) -> Lists:
        """Return the margin for a coverage, and room for the longest list seen in calibration.

        Raises
        ------
        CoverageError
            If the rows of calibration cannot vouch for the coverage.
        """
        margin, has_scores = short.margin(coverage), short.k > 1
        most = settings.LISTS_BYTES // (2 * MEMBER_BYTES * row_block)
        room = min(len(short.bias), max(settings.LEAST_ROOM, min(short.longest(margin), most)))
        return cls(margin, room, row_block * list_bytes(room) * (2 if has_scores else 1))
