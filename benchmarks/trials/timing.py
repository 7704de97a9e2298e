"""Timing of fitted settings in groups, each with the exact product among them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np
from measuring import Candidate, quartiles, take_turns
from methods import Apply
from numpy.typing import NDArray

if TYPE_CHECKING:
    from trials.measure import Fitted

Record = dict[str, Any]
Floats = NDArray[np.float32]

_OUTPUT_BYTES, _PRODUCTS = 100e6, 10000 * 512 * 512
"""Bytes of outputs, and products of the exact way, at most."""

EXACT, BY_COLUMNS, REUSED = "exact", "exact, column-major A", "exact, out="


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

    Groups with settings of our own also hold the references, and the same with a column-major A.
    Returns the exact product's own times if this is the `first` group.
    """
    own = [fitted for fitted in group if fitted.record["own"]]
    given = {"A": arrays.A, "F": arrays.columns, "B": arrays.B, "matmul": np.matmul}
    timed = [Candidate(EXACT, "float32", "matmul(A, B)", given)]
    if own or first:
        timed.append(Candidate(BY_COLUMNS, "float32", "matmul(F, B)", given))
    if first:
        Y = np.empty((len(arrays.A), arrays.B.shape[1]), np.float32)
        timed.append(Candidate(REUSED, "float32", "matmul(A, B, out=Y)", given | {"Y": Y}))
    if own:
        timed += [_candidate(other, f, arrays.A) for other, f in references.items()]
    for fitted in group:
        timed.append(_candidate(_key(fitted), fitted.multiply, arrays.A))
    for fitted in own:
        timed.append(_candidate(f"{_key(fitted)} by columns", fitted.multiply, arrays.columns))
    turns = take_turns(timed, rounds)
    n_rows = len(arrays.A)
    for fitted in group:
        key = _key(fitted)
        fitted.record["speed"] = turns.ratio(EXACT, key)
        fitted.record["ns_per_row"] = quartiles(turns.seconds[key] * 1e9 / n_rows)
    for fitted in own:
        key = _key(fitted)
        fitted.record["columns"] = {
            "speed": turns.ratio(EXACT, f"{key} by columns"),
            "same": turns.ratio(BY_COLUMNS, f"{key} by columns"),
        }
        fitted.record["over"] = {other: turns.ratio(other, key) for other in references}
    if not first:
        return {}
    return {
        "ns_per_row": quartiles(turns.seconds[EXACT] * 1e9 / n_rows),
        "columns": turns.ratio(EXACT, BY_COLUMNS),
        "reused": turns.ratio(EXACT, REUSED),
    }


def name(record: Record) -> str:
    """Return the name of a run: its method, and its setting if it has any."""
    return f"{record['method']} {record['setting']}" if record["words"] else str(record["method"])


def _key(fitted: Fitted) -> str:
    """Return what a run is called among candidates, where a reference may have its name."""
    return f"run {name(fitted.record)}"


def _candidate(name: str, multiply: Apply, A: Floats) -> Candidate:
    return Candidate(name, "part", "f(A)", {"f": multiply, "A": A})
