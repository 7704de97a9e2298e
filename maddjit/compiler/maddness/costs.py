"""The cost model: how long look-ups take, from the bytes they read and their instructions."""

from __future__ import annotations

import math

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Sums


def instructions(sums: Sums, planes: int) -> float:
    """Return the instructions of one code of one row, which adds a table row of some planes.

    Sums of 16 bits are added as even and odd bytes. Those of 32 bits unpack each vector into four.
    Only the merged bytes of a group are accumulated.
    """
    accumulated = settings.ACCUMULATING[sums.bits] / sums.group
    merged = (sums.group - 1) / sums.group
    return settings.CODE_INSTRUCTIONS + planes * (1 + accumulated + merged)


def packed_nanoseconds(sums: Sums, planes: int, plane_bytes: int) -> float:
    """Return the time of one table entry of one row, if the tables of a tile are packed."""
    found = instructions(sums, planes) / (planes * plane_bytes)
    return settings.INSTRUCTION_NANOSECONDS * found


def stream_nanoseconds(sums: Sums, planes: int, plane_bytes: int, line: int) -> float:
    """Return the time of one table entry of one row that shares streams with many rows.

    Each `line` of a table row takes an instruction more, which fetches ahead.
    """
    row_bytes = planes * plane_bytes
    found = instructions(sums, planes) / row_bytes + 1 / line
    return settings.SCATTERED * settings.INSTRUCTION_NANOSECONDS * found


def least_packed_rows(n_prototypes: int, saved: float) -> int:
    """Return the number of rows from which packing all tables is faster than reading streams.

    Packing copies the entries of all K codes once for all rows. Each row then saves `saved`
    nanoseconds an entry.
    """
    return 1 + int(settings.FAR_NANOSECONDS * n_prototypes / saved)


def rows_per_thread(nanoseconds: float, unit: int) -> int:
    """Return the number of rows, a multiple of `unit`, that is worth another thread.

    The unit is a block of rows. Streams are as fast for a part of a block.

    >>> rows_per_thread(100, 256)
    2048
    """
    return math.ceil(settings.THREAD_NANOSECONDS / (nanoseconds * unit)) * unit
