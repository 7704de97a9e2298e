"""Short lists of a block of rows: how far they reach, and how much memory they take."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.models.short_list import ShortList

MEMBER_BYTES = 4
"""Bytes of an output's number on a list, and of its score beside it."""
LEAST_ROOM, _ALL_BYTES = 256, 32 * 1024 * 1024
"""Outputs that each row's list has room for at least, and bytes of all lists at most.

Where calibration has seen longer ones there is room for those; still longer ones are made again,
which costs all look-ups of that row, from tables that no other row shares.
"""


def list_bytes(room: int) -> int:
    """Return the bytes of a list with so much room, and a place for what finds none."""
    return MEMBER_BYTES * (room + 1)


@dataclass(frozen=True)
class Lists:
    """What a call tells a winners' kernel of its short lists: this is all that a coverage decides.

    Attributes
    ----------
    margin : int
        Outputs are listed whose score is at most this much below the k-th best score.
    room : int
        How many outputs a row's list has room for. What is named does not depend on it.
    n_bytes : int
        Of the lists of a block of rows, behind the workspace of the plan.
    """

    margin: int
    room: int
    n_bytes: int

    @classmethod
    def of(cls, short: ShortList, coverage: float, row_block: int) -> Lists:
        """Return the margin for a coverage, and room for the lists that calibration saw with it.

        Raises
        ------
        CoverageError
            If the rows of calibration cannot vouch for the coverage.
        """
        margin, has_scores = short.margin(coverage), short.k > 1
        most = _ALL_BYTES // (2 * MEMBER_BYTES * row_block)
        room = min(len(short.bias), max(LEAST_ROOM, min(short.longest(margin), most)))
        return cls(margin, room, row_block * list_bytes(room) * (2 if has_scores else 1))
