"""One layer: tile operators fitted to its rows, beside exact, low-rank, bfloat16 and 8-bit ones."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

import maddjit
from benchmarks.harness.machine import first_line
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, Turns, take_turns
from benchmarks.rivals import eight_bit, low_rank
from benchmarks.rivals.candidates import UNAVAILABLE
from benchmarks.rivals.method import installed
from benchmarks.suites.tiles.shapes import SCHEMES, told
from benchmarks.tasks import Task
from benchmarks.tasks.rows import Floats

EXACT = "numpy.matmul, bias and ReLU"
LOW_RANK = {"float32": "low rank, maddjit", "bfloat16": "low rank, maddjit in bfloat16"}
BY_NUMPY = "low rank, numpy.matmul"
_RELU = maddjit.Epilogue(low=0)
_BATCHED = (24, 48)
"""Ranks whose operators are looked at in other batches."""
_FEW = 8


@dataclass(frozen=True)
class Layer:
    """A layer with a ReLU behind it, replaced by tile operators fitted to its rows."""

    load: Callable[[], Task]
    ranks: tuple[int, ...] = (16, 24, 32, 40, 48)
    low_ranks: tuple[int, ...] = ()
    """Ranks of low-rank products that are timed beside."""


@dataclass(frozen=True)
class Data:
    """The rows and the layer. `timed` are the first test rows, and outputs go to `Y`."""

    task: Task
    train: Floats
    timed: Floats
    B: Floats
    bias: Floats
    Y: Floats

    @classmethod
    def of(cls, task: Task, limits: Any) -> Data:
        """Choose rows to fit to at random, the same on every run, and copy what is timed."""
        order = np.random.default_rng(0).permutation(len(task.A_train))
        timed = np.array(task.A_test[: limits.timed_rows])
        n_outputs = task.B.shape[1]
        bias = np.zeros(n_outputs, np.float32) if task.bias is None else np.array(task.bias)
        Y = np.empty((len(timed), n_outputs), np.float32)
        return cls(task, task.A_train[order[: limits.fit_rows]], timed, np.array(task.B), bias, Y)

    def exact(self, rows: Floats) -> Floats:
        """Return the exact outputs before the ReLU."""
        return rows @ self.B + self.bias

    def judged(
        self, outputs: Callable[[Floats], Floats], n_rows: int = 0, order: Any = None
    ) -> Record:
        """Return error and scores of the test rows, `n_rows` a call, in their order or another."""
        task, n_rows = self.task, n_rows or len(self.timed)
        order = np.arange(len(task.A_test)) if order is None else order
        rows = task.A_test[order]
        parts = [outputs(np.array(rows[i : i + n_rows])) for i in range(0, len(rows), n_rows)]
        given = np.empty(task.exact.shape, np.float32)
        given[order] = np.concatenate(parts)
        truth = task.A_test.astype(np.float64) @ task.B + self.bias
        error = ((given - truth) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum()
        scores = {task.metric: task.score, **task.extra}
        return {
            "error": float(f"{error:.4g}"),
            "scores": {name: round(score(given), 6) for name, score in scores.items()},
        }


Run = tuple[Candidate, Record]
"""A way to compute the layer, with what is known of it. Its `answer` is without the ReLU."""


def measure(layer: Layer, limits: Any) -> Record:
    """Return errors, scores and times of all ways to compute a layer."""
    task = layer.load()
    data = Data.of(task, limits)
    left_out: dict[str, str] = {}
    runs = [_exact(data), *_own(data, layer.ranks, left_out)]
    runs += _low_rank(data, layer.low_ranks, left_out)
    if limits.optional:
        runs += _rivals(data, left_out)
    for way, record in runs:
        assert way.answer
        record |= data.judged(way.answer)
    ways = [way for way, _ in runs]
    turns = take_turns(ways, limits.rounds)
    for way, record in runs:
        record["ns_per_row"] = turns.per(way.name, len(data.timed))
        record["speed"] = turns.ratio(EXACT, way.name)
        if way.kind == "approximate":
            record["as_fast"] = _as_fast(way.name, ways, turns)
    gc.collect()
    return {
        "kind": "layer",
        "title": task.title,
        "source": task.source,
        "shape": list(task.shape),
        "metric": task.metric,
        "exact": data.judged(data.exact)["scores"],
        "rows": {"fit": len(data.train), "test": len(task.A_test), "timed": len(data.timed)},
        "runs": [{"name": way.name, "group": way.kind} | record for way, record in runs],
        "left_out": left_out,
    }


def _as_fast(name: str, ways: list[Candidate], turns: Turns) -> dict[str, str]:
    """Return for each kind the low-rank product of largest rank that takes no longer."""
    low = [way for way in ways if way.kind in (BY_NUMPY, *LOW_RANK.values())]  # ranks rise
    return {way.kind: way.name for way in low if turns.ratio(way.name, name)[1] <= 1}


def _exact(data: Data) -> Run:
    names = {"matmul": np.matmul, "add": np.add, "maximum": np.maximum}
    names |= {"A": data.timed, "B": data.B, "bias": data.bias, "Y": data.Y}
    statement = "matmul(A, B, out=Y); add(Y, bias, out=Y); maximum(Y, 0, out=Y)"
    return Candidate(EXACT, "exact", statement, names, answer=data.exact), {}


def _own(data: Data, ranks: tuple[int, ...], left_out: dict[str, str]) -> Iterator[Run]:
    """Fit exact schemes and those of all ranks, and compile each in both precisions."""
    models: list[tuple[str, maddjit.StrassenTileModel, Record]] = []
    for name in ("plain", "strassen", "strassen ⊗ strassen"):
        model = maddjit.fit_strassen_tile(data.B, scheme=SCHEMES[name](), bias=data.bias)
        models.append((name, model, {}))
    for rank in ranks:
        start = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", maddjit.AccuracyWarning)  # the page tells the error
            model = maddjit.fit_strassen_tile(data.B, rank, A_train=data.train, bias=data.bias)
        seconds, report = round(perf_counter() - start, 1), model.report
        assert report is not None
        told_of_fit = {name: getattr(report, name) for name in ("error", "unfitted", "low_rank")}
        told_of_fit["low_rank_rank"] = report.rank
        record = {"rank": rank, "fit_seconds": seconds, "report": told_of_fit}
        models.append((f"r = {rank}", model, record))
    for name, model, record in models:
        for precision in ("float32", "bfloat16"):
            label = name if precision == "float32" else f"{name}, bfloat16"
            try:
                plain = maddjit.compile(model, precision=precision)
                op = maddjit.compile(model, precision=precision, epilogue=_RELU)
            except maddjit.TargetError as error:
                left_out[label] = str(error)
                continue
            names = {"op": op, "A": data.timed, "Y": data.Y}
            way = Candidate(label, op.report.kind, "op(A, out=Y)", names, answer=plain)
            is_batched = record.get("rank") in _BATCHED and precision == "float32"
            more = {"batches": _batches(plain, data)} if is_batched else {}
            yield way, record | told(op) | more


def _batches(op: Any, data: Data) -> list[Record]:
    """Judge the same rows in other orders and in calls of other sizes."""
    exact, size = data.task.exact, len(data.timed)
    at_random = np.random.default_rng(1).permutation(len(exact))
    sorted_rows = np.lexsort((exact.max(axis=1), exact.argmax(axis=1)))  # like rows side by side
    found = []
    for name, order, n_rows in (
        (f"as they come, {size} a call", None, size),
        (f"in random order, {size} a call", at_random, size),
        (f"sorted by their largest output, {size} a call", sorted_rows, size),
        (f"as they come, {_FEW} a call", None, _FEW),
        ("one a call", None, 1),
    ):
        told = data.judged(op, n_rows, order)
        score = told["scores"][data.task.metric]
        found.append({"rows": name, "error": told["error"], "score": score})
    return found


def _low_rank(data: Data, ranks: tuple[int, ...], left_out: dict[str, str]) -> Iterator[Run]:
    """Return (A L) R + offset of all ranks: by NumPy, and by plain operators in both precisions."""
    for rank in ranks:
        left, right, offset = (
            part.astype(np.float32) for part in low_rank.weighted_factors(data.train, data.B, rank)
        )
        offset += data.bias
        Z = np.empty((len(data.timed), rank), np.float32)
        names = {"matmul": np.matmul, "add": np.add, "maximum": np.maximum, "Z": Z}
        names |= {"A": data.timed, "Y": data.Y, "L": left, "R": right, "offset": offset}
        statement = "matmul(A, L, out=Z); matmul(Z, R, out=Y)"
        statement += "; add(Y, offset, out=Y); maximum(Y, 0, out=Y)"

        def outputs(
            rows: Floats, left: Any = left, right: Any = right, offset: Any = offset
        ) -> Any:
            return (rows @ left) @ right + offset

        name = f"{BY_NUMPY}, {rank}"
        yield Candidate(name, BY_NUMPY, statement, names, answer=outputs), {"rank": rank}
        for precision, group in LOW_RANK.items():
            given: dict[str, Any] = {"precision": precision}
            try:
                first = maddjit.compile(maddjit.fit_strassen_tile(left, scheme="plain"), **given)
                last = maddjit.fit_strassen_tile(right, scheme="plain", bias=offset)
                second = maddjit.compile(last, epilogue=_RELU, **given)
                plain = maddjit.compile(last, **given)
            except maddjit.TargetError as error:
                left_out[group] = str(error)
                continue
            names = {"first": first, "second": second, "A": data.timed, "Z": Z, "Y": data.Y}
            statement = "second(first(A, out=Z), out=Y)"

            def answer(rows: Floats, first: Any = first, plain: Any = plain) -> Any:
                return plain(first(rows))

            name = f"{group}, {rank}"
            yield Candidate(name, group, statement, names, answer=answer), {"rank": rank}


def _rivals(data: Data, left_out: dict[str, str]) -> Iterator[Run]:
    """Return the products in bfloat16 and 8 bits, float32 in and out. They are spared the ReLU."""
    for method in installed([eight_bit.BFLOAT16, *eight_bit.METHODS], left_out):
        try:
            multiply = method.fit(data.B, data.B, 0, 0)
            multiply(data.timed)
        except UNAVAILABLE as error:
            left_out[method.name] = first_line(error)
            continue

        def answer(rows: Floats, multiply: Any = multiply) -> Any:
            return multiply(rows) + data.bias

        names = {"f": multiply, "A": data.timed}
        group = method.name.split(",")[0]
        yield Candidate(method.name, group, "f(A)", names, answer=answer), {}
