"""One layer: tile operators fitted to its rows, beside exact, low-rank, bfloat16 and 8-bit ones."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

import numpy as np
from measuring import Candidate, Turns, quartiles, take_turns
from tasks import Task

import maddjit
from maddjit.models.schemes import kronecker, plain, strassen
from tiling import low_rank, rivals
from tiling.batching import batched, hit_by_nan, others
from tiling.subjects import Layer, Limits
from tiling.ways import Floats, Record, in_bfloat16, told

EXACT = "numpy.matmul, bias and ReLU"
RELU = maddjit.Epilogue(low=0)
PRECISIONS: tuple[Literal["float32", "bfloat16"], ...] = ("float32", "bfloat16")
_BATCHED = (24, 48)
"""Ranks whose operators are looked at in other batches."""


@dataclass(frozen=True)
class Data:
    """The rows and the layer; `timed` are the first test rows, and outputs go to `Y`."""

    task: Task
    train: Floats
    timed: Floats
    B: Floats
    bias: Floats
    Y: Floats

    @classmethod
    def of(cls, task: Task, limits: Limits) -> Data:
        """Choose rows to fit to at random, the same on every run, and copy what is timed."""
        order = np.random.default_rng(0).permutation(len(task.A_train))
        n_outputs = task.B.shape[1]
        timed = np.array(task.A_test[: limits.timed_rows])
        bias = np.zeros(n_outputs, np.float32) if task.bias is None else np.array(task.bias)
        Y = np.empty((len(timed), n_outputs), np.float32)
        return cls(task, task.A_train[order[: limits.fit_rows]], timed, np.array(task.B), bias, Y)


@dataclass(frozen=True)
class Run:
    """A way to compute the layer: what is timed, and its outputs before the ReLU."""

    group: str
    candidate: Candidate
    outputs: Callable[[Floats], Floats]
    record: Record = field(default_factory=dict)


def measure(layer: Layer, limits: Limits) -> Record:
    """Return errors, scores and times of all ways to compute a layer."""
    task = layer.load()
    data = Data.of(task, limits)
    left_out: dict[str, str] = {}
    runs = [_exact(data)]
    runs += _own(data, layer.ranks, left_out)
    runs += _low_rank(data, layer.low_ranks, left_out)
    runs += _rivals(data, limits.optional, left_out)
    truth = task.A_test.astype(np.float64) @ task.B + data.bias
    for run in runs:
        given = batched(run.outputs, task.A_test, len(data.timed))
        run.record.update(_judged(task, given, truth))
    turns = take_turns([run.candidate for run in runs], limits.rounds)
    for run in runs:
        name = run.candidate.name
        run.record["ns_per_row"] = quartiles(turns.seconds[name] * 1e9 / len(data.timed))
        run.record["speed"] = turns.ratio(EXACT, name)
        if run.group == "approximate":
            run.record["as_fast"] = _as_fast(name, runs, turns)
    gc.collect()
    return {
        "kind": "layer",
        "title": task.title,
        "source": task.source,
        "shape": list(task.shape),
        "metric": task.metric,
        "exact": {name: round(f(truth.astype(np.float32)), 6) for name, f in _scores(task).items()},
        "rows": {"fit": len(data.train), "test": len(task.A_test), "timed": len(data.timed)},
        "runs": [{"name": run.candidate.name, "group": run.group} | run.record for run in runs],
        "left_out": left_out,
        "failed": {},
    }


def _as_fast(name: str, runs: list[Run], turns: Turns) -> dict[str, str]:
    """Name the low-rank products of most directions that take no longer, round by round."""
    found: dict[str, str] = {}
    for group in (low_rank.BY_NUMPY, *low_rank.BY_PRECISION.values()):
        for other in runs:
            low = other.candidate.name
            if other.group == group and turns.ratio(low, name)[1] <= 1:
                found[group] = low  # ranks rise
    return found


def _scores(task: Task) -> dict[str, Callable[[Floats], float]]:
    return {task.metric: task.score, **task.extra}


def _judged(task: Task, given: Floats, truth: np.ndarray) -> Record:
    return {
        "error": nmse(given, truth),
        "scores": {name: round(score(given), 6) for name, score in _scores(task).items()},
    }


def nmse(given: Floats, truth: np.ndarray) -> float:
    """Return Σ(Ŷ − Y)² over Σ of each output's squared deviation from its own mean."""
    squares = ((given - truth) ** 2).sum() / ((truth - truth.mean(axis=0)) ** 2).sum()
    return float(f"{squares:.4g}")


def _exact(data: Data) -> Run:
    names = {"matmul": np.matmul, "add": np.add, "maximum": np.maximum}
    names |= {"A": data.timed, "B": data.B, "bias": data.bias, "Y": data.Y}
    statement = "matmul(A, B, out=Y); add(Y, bias, out=Y); maximum(Y, 0, out=Y)"
    return Run(
        "exact",
        Candidate(EXACT, "float32", statement, names),
        lambda rows: rows @ data.B + data.bias,
    )


def _own(data: Data, ranks: tuple[int, ...], left_out: dict[str, str]) -> Iterator[Run]:
    exact = plain(), strassen(), kronecker(strassen(), strassen())
    for scheme in exact:
        model = maddjit.fit_strassen_tile(data.B, scheme=scheme, bias=data.bias)
        yield from _compiled(data, scheme.name, model, {}, left_out)
    for rank in ranks:
        start = perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", maddjit.AccuracyWarning)  # the page tells the error
            model = maddjit.fit_strassen_tile(data.B, rank, A_train=data.train, bias=data.bias)
        record: Record = {"rank": rank, "fit_seconds": round(perf_counter() - start, 1)}
        report = model.report
        assert report is not None
        record["report"] = {
            "error": report.error,
            "unfitted": report.unfitted,
            "low_rank": report.low_rank,
            "low_rank_rank": report.rank,
        }
        yield from _compiled(data, f"r = {rank}", model, record, left_out)


def _compiled(
    data: Data,
    name: str,
    model: maddjit.StrassenTileModel,
    record: Record,
    left_out: dict[str, str],
) -> Iterator[Run]:
    """Compile a model with the ReLU to time it, without to judge it, in both precisions."""
    for precision in PRECISIONS:
        label = name if precision == "float32" else in_bfloat16(name)
        try:
            judged = maddjit.compile(model, precision=precision)
            op = maddjit.compile(model, precision=precision, epilogue=RELU)
        except maddjit.TargetError as error:
            left_out[label] = str(error)
            continue
        names = {"op": op, "A": data.timed, "Y": data.Y}
        candidate = Candidate(label, "maddjit", "op(A, out=Y)", names)
        further: Record = {"hit_by_nan": hit_by_nan(judged, data.timed)}
        if record.get("rank") in _BATCHED and precision == "float32":
            further["batches"] = others(judged, data.task, data.bias, len(data.timed))
        yield Run(op.report.kind, candidate, judged, record | told(op) | further)


def _low_rank(data: Data, ranks: tuple[int, ...], left_out: dict[str, str]) -> Iterator[Run]:
    known = low_rank.Directions.of(data.train, data.B, data.bias)
    for rank in ranks:
        product = known.product(rank)
        by_numpy = product.by_numpy(data.timed, data.Y)
        yield Run(low_rank.BY_NUMPY, by_numpy, product, {"rank": rank})
        for precision in PRECISIONS:
            group = low_rank.BY_PRECISION[precision]
            try:
                candidate, outputs = product.compiled(data.timed, data.Y, precision)
            except maddjit.TargetError as error:
                left_out[group] = str(error)
            else:
                yield Run(group, candidate, outputs, {"rank": rank})


def _rivals(data: Data, optional: bool, left_out: dict[str, str]) -> Iterator[Run]:
    if not optional:
        return
    try:
        candidate, outputs = rivals.layer_in_bfloat16(data.timed, data.B, data.bias, data.Y)
    except rivals.UNAVAILABLE as error:
        left_out[rivals.TORCH_BFLOAT16] = rivals.words(error)
    else:
        yield Run("bfloat16", candidate, outputs)
    for candidate, multiply in rivals.eight_bit(data.timed, data.B, left_out):
        yield Run("8-bit", candidate, lambda rows, f=multiply: f(rows) + data.bias)
