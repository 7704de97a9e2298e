"""One task: fit every method with every setting, judge it on the test rows, time it in turns."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from benchmarks.harness.machine import first_line
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import LEAST_SECONDS
from benchmarks.rivals import Apply, Method
from benchmarks.rivals.method import Floats
from benchmarks.suites.experiments import methods, timing
from benchmarks.suites.experiments.analysis import fastest, levels, name
from benchmarks.suites.experiments.timing import Fitted
from benchmarks.tasks import Task

SLOW = 3.0
"""How many times as long as the exact product a setting may take before larger ones are dropped."""
_EXPENSIVE, _USELESS, _FEW_SETTINGS = 2.0, 1.0, 3
"""A score that takes longer than so many seconds is taken below this NMSE, for few settings."""
_GROUP, _COMPILED_GROUP = 12, 16
_MOST_ROUNDS = 31
_CHUNK = 1000


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


class Trial:
    """The fits of one task, and those that wait to be timed.

    Settings are timed in groups, so that not all are in memory at once. What maddjit compiles comes
    last and takes turns with the 8-bit products and the fastest others at each quality.
    """

    def __init__(self, task: Task, limits: Limits) -> None:
        self.task, self.limits = task, limits
        self.A_test, self.B = np.array(task.A_test), np.array(task.B)  # torch wants to write
        self.arrays = timing.Arrays.of(self.A_test, self.B, limits.rows)
        self.exact_seconds = timing.least_seconds(lambda: self.arrays.A @ self.B, 5)
        self.order = np.random.default_rng(0).permutation(len(task.A_train))
        self.references: dict[str, Apply] = {}
        self.waiting: list[Fitted] = []
        self.expensive = timing.least_seconds(lambda: task.score(task.exact), 1) > _EXPENSIVE
        self.record: Record = {
            "name": task.name,
            "title": task.title,
            "source": task.source,
            "shape": list(task.shape),
            "metric": task.metric,
            "higher_is_better": task.higher_is_better,
            "train_rows": 0,
            "timed_rows": len(self.arrays.A),
            "exact": {"score": task.exact_score, "extra": self._extra(task.exact)},
            "runs": [],
            "left_out": {},
            "failed": {},
        }

    def run(self, tried: Sequence[Method], eight_bit: Sequence[Method]) -> Record:
        """Return the task's record: all runs with error, score and speed."""
        for method in tried:
            if not methods.is_compiled(method.name):
                self._add(method, _GROUP)
        self._time()
        self._choose_references(tried, eight_bit)
        for method in tried:
            if methods.is_compiled(method.name):
                self._add(method, _COMPILED_GROUP)
        self._time()
        return self.record

    def _choose_references(self, tried: Sequence[Method], eight_bit: Sequence[Method]) -> None:
        """Fit again what ours is compared with: 8 bits, and the fastest others at each quality."""
        wanted = {method.name: (method, 0) for method in eight_bit}
        known = {method.name: method for method in tried}
        for level in levels(self.record):
            if best := fastest(self.record["runs"], level.good):
                wanted[name(best)] = known[best["method"]], best["setting"]
        for words, (method, setting) in wanted.items():
            try:
                multiply = method.fit(self._rows(method), self.B, setting, 0)
                multiply(self.arrays.A)
            except Exception as error:  # a broken library must not stop the others
                self.record["failed"][f"{words}, beside maddjit"] = first_line(error)
            else:
                self.references[words] = multiply

    def _add(self, method: Method, most: int) -> None:
        """Fit and judge a method's settings; time what waits whenever there are so many."""
        start = perf_counter()
        for fitted in self._settings(method):
            self.waiting.append(fitted)
            if len(self.waiting) == most:
                self._time()
        print(f"    {method.name}: {perf_counter() - start:.1f} s", flush=True)

    def _time(self) -> None:
        """Time all that waits in turns."""
        group, self.waiting = self.waiting, []
        if not group:
            return
        turn = float(np.mean([max(LEAST_SECONDS, fitted.seconds) for fitted in group]))
        more = min(_MOST_ROUNDS, int(self.limits.turn_seconds / turn))
        rounds, exact = max(self.limits.rounds, more), self.record["exact"]
        is_first = "ns_per_row" not in exact
        try:
            exact |= timing.time_group(group, self.arrays, self.references, rounds, is_first)
        except Exception as error:  # the other groups are worth having
            traceback.print_exc()
            names = ", ".join(name(fitted.record) for fitted in group)
            self.record["failed"][names] = first_line(error)
        else:
            self.record["runs"] += [fitted.record for fitted in group]

    def _settings(self, method: Method) -> Iterator[Fitted]:
        """Fit settings, the smallest first, as far as they are worth it."""
        _, n_features, n_outputs = self.task.shape
        most = min(self.limits.settings, _FEW_SETTINGS if self.expensive else self.limits.settings)
        values = methods.settings(method, n_features, n_outputs, most)
        taken: list[float] = []
        for index, setting in enumerate(values):
            if sum(taken) + _expected(taken) > self.limits.fit_seconds:
                self._leave_out(method, values[index:], "fitting takes too long")
                break
            try:
                fitted = self._fit(method, setting)
            except Exception as error:  # the other settings and methods are worth having
                traceback.print_exc()
                self.record["failed"][f"{method.name} {setting}"] = first_line(error)
                continue
            taken.append(fitted.record["fit_seconds"])
            self.record["train_rows"] = max(self.record["train_rows"], fitted.record["train_rows"])
            yield fitted
            if fitted.seconds > SLOW * self.exact_seconds and index + 1 < len(values):
                self._leave_out(method, values[index + 1 :], "slower than exact")
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
            errors.append(self._nmse(outputs))
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
        return Fitted(record, made[0], timing.least_seconds(lambda: made[0](self.arrays.A), 2))

    def _outputs(self, multiply: Apply) -> Floats:
        outputs = multiply(self.A_test)
        if self.task.bias is not None:
            outputs = outputs + self.task.bias
        if not np.isfinite(outputs).all():
            raise ValueError("outputs are not finite")
        return outputs

    def _nmse(self, outputs: Floats) -> float:
        """Return mean((Ŷ − Y)²) / var(Y), a few rows at a time."""
        exact, total = self.task.exact, 0.0
        for start in range(0, len(exact), _CHUNK):
            part = slice(start, start + _CHUNK)
            total += float(np.square(outputs[part] - exact[part], dtype=np.float64).sum())
        return total / exact.size / self.task.variance

    def _leave_out(self, method: Method, values: Sequence[int], why: str) -> None:
        self.record["left_out"][f"{method.name} {', '.join(map(str, values))}".strip()] = why


def _expected(taken: Sequence[float]) -> float:
    """Return how long the next fit may take: it grows as it did between the last two."""
    if len(taken) < 2:
        return sum(taken)
    return taken[-1] * max(1.0, taken[-1] / max(taken[-2], 1e-3))


def _range(values: Sequence[float]) -> list[float]:
    """Return least, median and largest, to five digits."""
    numbers = (min(values), float(np.median(values)), max(values))
    return [float(f"{number:.5g}") for number in numbers]
