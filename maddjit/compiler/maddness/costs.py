"""The cost model: how long look-ups take, from the bytes they read and their instructions."""

from __future__ import annotations

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Sums


def looking_up(sums: Sums, vector_bytes: int, planes: int) -> float:
    """Return the nanoseconds of one table entry of one row, if the tables are in near caches.

    Sums of 16 bits are added as even and odd bytes; those of 32 bits unpack each vector into four.
    Only the merged bytes of a group are accumulated.

    Parameters
    ----------
    vector_bytes : int
        Bytes of table that a vector holds.
    planes : int
        Vectors that are looked up for each code.
    """
    group = sums.group
    accumulated = settings.ACCUMULATING[sums.bits] / group
    merged = settings.MERGING[sums.accumulate] * (group - 1) / group
    instructions = 1 + accumulated + merged + settings.CODE_INSTRUCTIONS / planes
    return settings.INSTRUCTION_NANOSECONDS * instructions / vector_bytes


def streams_pay(table_bytes: int, near: float) -> bool:
    """Tell whether few rows should read tables of `table_bytes` as streams.

    The tables must not fit near caches. And reading them must take longer than adding them up,
    `near` nanoseconds an entry: otherwise the order in which memory is read does not matter.
    """
    return table_bytes > settings.FAR_BYTES and near < settings.STREAMED_NANOSECONDS


def least_packed_rows(n_prototypes: int, near: float) -> int:
    """Return the number of rows from which packing all tables is faster than reading streams.

    A row that streams reads one entry of each codebook from afar. Packing copies the entries of
    all K codes once for all rows, and then each row finds its entries near by, in `near`
    nanoseconds each. If that is no faster than streaming, no number of rows is worth it.
    """
    saved = settings.STREAMED_NANOSECONDS - near
    return 1 + int(settings.PACKED_NANOSECONDS * n_prototypes / saved) if saved > 0 else NEVER


NEVER = 2**62
"""A number of rows that no block has."""
