"""Timing of fitted settings in groups, each with the exact product among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, take_turns
from benchmarks.rivals.method import Apply, Floats
from benchmarks.suites.experiments.analysis import name

_OUTPUT_BYTES, _PRODUCTS = 100e6, 10000 * 512 * 512
"""Bytes of outputs, and multiplications of the exact product, at most."""

EXACT, BY_COLUMNS, REUSED = "exact", "exact, column-major A", "exact, out="


@dataclass
class Fitted:
    """A fitted setting: its record, its product, and about how long that takes."""

    record: Record
    multiply: Apply
    seconds: float

    @property
    def key(self) -> str:
        """Its name among candidates, where a reference may have its own name."""
        return f"run {name(self.record)}"


@dataclass(frozen=True)
class Arrays:
    """What is multiplied while the clock runs: A by rows and by columns, and B."""

    A: Floats
    columns: Floats
    B: Floats

    @classmethod
    def of(cls, A_test: Floats, B: Floats, most: int) -> Arrays:
        """Repeat or cut the test rows to `most`, or to fewer where B is large."""
        bounded = min(_OUTPUT_BYTES / (4 * B.shape[1]), _PRODUCTS / B.size)
        n_rows = max(1, min(most, int(bounded)))
        A = np.ascontiguousarray(np.resize(A_test, (n_rows, A_test.shape[1])))
        return cls(A, np.asfortranarray(A), B)


def least_seconds(call: Callable[[], object], times: int) -> float:
    """Return the least time of a few calls."""
    seconds = []
    for _ in range(times):
        start = perf_counter()
        call()
        seconds.append(perf_counter() - start)
    return min(seconds)


def time_group(
    group: Sequence[Fitted],
    arrays: Arrays,
    references: Mapping[str, Apply],
    rounds: int,
    first: bool,
) -> Record:
    """Time a group in turns and note in each record how many times as fast as exact it is.

    Groups with our own settings also hold the references and the settings with a column-major A.
    Returns the exact product's own times if this is the `first` group.
    """
    A, n_rows = arrays.A, len(arrays.A)
    own = [fitted for fitted in group if fitted.record["own"]]
    given = {"A": A, "F": arrays.columns, "B": arrays.B, "matmul": np.matmul}
    timed = [Candidate(EXACT, "float32", "matmul(A, B)", given)]
    if own or first:
        timed.append(Candidate(BY_COLUMNS, "float32", "matmul(F, B)", given))
    if first:
        Y = np.empty((n_rows, arrays.B.shape[1]), np.float32)
        timed.append(Candidate(REUSED, "float32", "matmul(A, B, out=Y)", given | {"Y": Y}))
    if own:
        timed += [_candidate(other, f, A) for other, f in references.items()]
    timed += [_candidate(one.key, one.multiply, A) for one in group]
    timed += [_candidate(f"{one.key} by columns", one.multiply, arrays.columns) for one in own]
    turns = take_turns(timed, rounds)
    for one in group:
        one.record["speed"] = turns.ratio(EXACT, one.key)
        one.record["ns_per_row"] = turns.per(one.key, n_rows)
    for one in own:
        by_columns = f"{one.key} by columns"
        one.record["columns"] = {
            "speed": turns.ratio(EXACT, by_columns),
            "same": turns.ratio(BY_COLUMNS, by_columns),
        }
        one.record["over"] = {other: turns.ratio(other, one.key) for other in references}
    if not first:
        return {}
    return {
        "ns_per_row": turns.per(EXACT, n_rows),
        "columns": turns.ratio(EXACT, BY_COLUMNS),
        "reused": turns.ratio(EXACT, REUSED),
    }


def _candidate(name: str, multiply: Apply, A: Floats) -> Candidate:
    return Candidate(name, "part", "f(A)", {"f": multiply, "A": A})
