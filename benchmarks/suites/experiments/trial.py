"""One task: fit every method with every setting, judge it on the test rows, time it in turns."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from timeit import repeat

import numpy as np

from benchmarks.harness.machine import first_line
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import LEAST_SECONDS, Candidate, take_turns
from benchmarks.rivals import Apply, Method
from benchmarks.rivals.method import Floats
from benchmarks.suites.experiments import methods
from benchmarks.suites.experiments.analysis import fastest, levels, name
from benchmarks.tasks import Task

SLOW = 3.0
"""How many times as long as the exact product a setting may take before larger ones are dropped."""
_EXPENSIVE, _USELESS, _FEW_SETTINGS = 2.0, 1.0, 3
"""A score that takes longer than so many seconds is taken below this NMSE, for few settings."""
_OUTPUT_BYTES, _PRODUCTS = 100e6, 10000 * 512 * 512
"""Bytes of outputs, and multiplications of the exact product, at most."""
_MOST_ROUNDS = 31
EXACT, BY_COLUMNS = "exact", "exact, column-major A"


@dataclass(frozen=True)
class Limits:
    """What bounds the work: rounds and rows of timing, rows and seconds of fitting, settings."""

    rounds: int = 9
    rows: int = 10000
    train_rows: int = 20000
    fit_seconds: float = 150.0
    settings: int = 6
    seeds: int = 3
    turn_seconds: float = 0.25
    """Up to so much time of a candidate goes into more rounds, 31 at most."""
    methods: tuple[str, ...] = ()
    """Beginnings of names; only such methods are tried."""


@dataclass(frozen=True)
class Fitted:
    """A fitted setting: its record, its product, and about how long that takes."""

    record: Record
    multiply: Apply
    seconds: float

    @property
    def key(self) -> str:
        """Its name among candidates, where a reference may have its own name."""
        return f"run {name(self.record)}"


class Trial:
    """The runs of one task. Settings of one method take turns with the exact product.

    What maddjit compiles comes last. Its own settings also take turns with the 8-bit products and
    the fastest others at each quality, and are timed with a column-major A as well.
    """

    def __init__(self, task: Task, limits: Limits) -> None:
        self.task, self.limits = task, limits
        self.A_test, self.B = np.array(task.A_test), np.array(task.B)  # torch wants to write
        self.A = _timed_rows(self.A_test, self.B, limits.rows)
        self.columns = np.asfortranarray(self.A)
        self.exact_seconds = least_seconds(lambda: self.A @ self.B, 5)
        self.order = np.random.default_rng(0).permutation(len(task.A_train))
        self.references: dict[str, Apply] = {}
        self.expensive = least_seconds(lambda: task.score(task.exact), 1) > _EXPENSIVE
        self.record: Record = {
            "name": task.name,
            "title": task.title,
            "source": task.source,
            "shape": list(task.shape),
            "metric": task.metric,
            "higher_is_better": task.higher_is_better,
            "train_rows": 0,
            "timed_rows": len(self.A),
            "exact": {"score": task.score(task.exact), "extra": self._extra(task.exact)},
            "runs": [],
            "left_out": {},
            "failed": {},
        }

    def run(self, tried: Sequence[Method], eight_bit: Sequence[Method]) -> Record:
        """Return the task's record: all runs with error, score and speed."""
        for method in tried:
            if not methods.is_compiled(method.name):
                self._measure(method)
        self._choose_references(tried, eight_bit)
        for method in tried:
            if methods.is_compiled(method.name):
                self._measure(method)
        return self.record

    def _choose_references(self, tried: Sequence[Method], eight_bit: Sequence[Method]) -> None:
        """Fit again what ours is compared with: 8 bits, and the fastest others at each quality."""
        wanted = {method.name: (method, 0) for method in eight_bit}
        known = {method.name: method for method in tried}
        for good in levels(self.record).values():
            if best := fastest(self.record["runs"], good):
                wanted[name(best)] = known[best["method"]], best["setting"]
        for words, (method, setting) in wanted.items():
            try:
                multiply = method.fit(self._rows(method), self.B, setting, 0)
                multiply(self.A)
            except Exception as error:  # a broken library must not stop the others
                self.record["failed"][f"{words}, beside maddjit"] = first_line(error)
            else:
                self.references[words] = multiply

    def _measure(self, method: Method) -> None:
        """Fit, judge and time a method's settings."""
        start = perf_counter()
        group = list(self._settings(method))
        try:
            self._time(group)
        except Exception as error:  # the other methods are worth having
            traceback.print_exc()
            self.record["failed"][method.name] = first_line(error)
        else:
            self.record["runs"] += [one.record for one in group]
        print(f"    {method.name}: {perf_counter() - start:.1f} s", flush=True)

    def _time(self, group: Sequence[Fitted]) -> None:
        """Time settings in turns and note in each record how many times as fast as exact it is."""
        if not group:
            return
        exact, n_rows = self.record["exact"], len(self.A)
        is_first = "ns_per_row" not in exact
        own = [one for one in group if one.record["own"]]
        given = {"A": self.A, "F": self.columns, "B": self.B, "matmul": np.matmul}
        timed = [Candidate(EXACT, "float32", "matmul(A, B)", given)]
        if own or is_first:
            timed.append(Candidate(BY_COLUMNS, "float32", "matmul(F, B)", given))
        if own:
            timed += [_candidate(other, f, self.A) for other, f in self.references.items()]
        timed += [_candidate(one.key, one.multiply, self.A) for one in group]
        timed += [_candidate(f"{one.key} by columns", one.multiply, self.columns) for one in own]
        turn = float(np.mean([max(LEAST_SECONDS, one.seconds) for one in group]))
        more = min(_MOST_ROUNDS, int(self.limits.turn_seconds / turn))
        turns = take_turns(timed, max(self.limits.rounds, more))
        for one in group:
            one.record["speed"] = turns.ratio(EXACT, one.key)
            one.record["ns_per_row"] = turns.per(one.key, n_rows)
        for one in own:
            by_columns = f"{one.key} by columns"
            one.record["columns"] = {
                "speed": turns.ratio(EXACT, by_columns),
                "same": turns.ratio(BY_COLUMNS, by_columns),
            }
            one.record["over"] = {other: turns.ratio(other, one.key) for other in self.references}
        if is_first:
            exact["ns_per_row"] = turns.per(EXACT, n_rows)
            exact["columns"] = turns.ratio(EXACT, BY_COLUMNS)

    def _settings(self, method: Method) -> Iterator[Fitted]:
        """Fit settings, the smallest first, as far as they are worth it."""
        most = min(self.limits.settings, _FEW_SETTINGS if self.expensive else self.limits.settings)
        values = methods.settings(method, *self.B.shape, most)
        taken = 0.0
        for index, setting in enumerate(values):
            try:
                fitted = self._fit(method, setting)
            except Exception as error:  # the other settings and methods are worth having
                traceback.print_exc()
                self.record["failed"][f"{method.name} {setting}"] = first_line(error)
                continue
            taken += fitted.record["fit_seconds"]
            self.record["train_rows"] = max(self.record["train_rows"], fitted.record["train_rows"])
            yield fitted
            is_slow = fitted.seconds > SLOW * self.exact_seconds
            rest = values[index + 1 :]
            if rest and (is_slow or taken > self.limits.fit_seconds / 2):
                words = f"{method.name} {', '.join(map(str, rest))}"
                why = "slower than exact" if is_slow else "fitting takes too long"
                self.record["left_out"][words] = why
                break

    def _rows(self, method: Method) -> Floats:
        most = methods.train_rows(method, self.task.B.shape, self.limits.train_rows)
        return self.task.A_train[np.sort(self.order[:most])]

    def _extra(self, outputs: Floats) -> dict[str, float]:
        """Return the task's further metrics."""
        return {metric: score(outputs) for metric, score in self.task.extra.items()}

    def _fit(self, method: Method, setting: int) -> Fitted:
        """Fit one setting with all seeds that it needs, and judge it on the test rows."""
        rows = self._rows(method)
        made, errors, scores, extras, seconds = [], [], [], [], 0.0
        for seed in range(self.limits.seeds if method.random else 1):
            start = perf_counter()
            made.append(method.fit(rows, self.B, setting, seed))
            seconds += perf_counter() - start
            outputs = self._outputs(made[-1])
            apart = (left - right for left, right in zip(outputs, self.task.exact, strict=True))
            squares = sum(float(np.vdot(row, row)) for row in apart)
            errors.append(squares / outputs.size / self.task.variance)
            if not self.expensive or errors[-1] < _USELESS:
                scores.append(self.task.score(outputs))
                extras.append(self._extra(outputs))
        record = {
            "method": method.name,
            "setting": setting,
            "words": method.setting,
            "own": methods.is_own(method.name),
            "train_rows": len(rows),
            "fit_seconds": float(f"{seconds:.3g}"),
            "nmse": _range(errors),
            "score": _range(scores) if scores else None,
            "extra": {key: _range([e[key] for e in extras]) for key in (extras or [{}])[0]},
        }
        return Fitted(record, made[0], least_seconds(lambda: made[0](self.A), 2))

    def _outputs(self, multiply: Apply) -> Floats:
        outputs = multiply(self.A_test)
        if self.task.bias is not None:
            outputs = outputs + self.task.bias
        if not np.isfinite(outputs).all():
            raise ValueError("outputs are not finite")
        return outputs


def _range(values: Sequence[float]) -> list[float]:
    """Return least, median and largest, to five digits."""
    numbers = (min(values), float(np.median(values)), max(values))
    return [float(f"{number:.5g}") for number in numbers]


def least_seconds(call: Callable[[], object], times: int) -> float:
    """Return the least time of a few calls."""
    return min(repeat(call, number=1, repeat=times))


def _timed_rows(A_test: Floats, B: Floats, most: int) -> Floats:
    """Repeat or cut the test rows to `most`, or to fewer where B is large."""
    bounded = min(_OUTPUT_BYTES / (4 * B.shape[1]), _PRODUCTS / B.size)
    n_rows = max(1, min(most, int(bounded)))
    return np.ascontiguousarray(np.resize(A_test, (n_rows, A_test.shape[1])))


def _candidate(name: str, multiply: Apply, A: Floats) -> Candidate:
    return Candidate(name, "part", "f(A)", {"f": multiply, "A": A})
