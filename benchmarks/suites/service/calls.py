"""One product behind each library: the library's own way and maddjit's, called in turns."""

from __future__ import annotations

import copy
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.machine import Missing, first_line, refuse_onnxruntime
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, take_turns
from benchmarks.tasks.onnx_graphs import make_model, one_thread, open_session
from benchmarks.tasks.rows import clustered, fitted, right
from benchmarks.tasks.scores import nmse

OPERATOR = "the operator itself"
_FITTED_TO, _DASK_ROWS = 8000, 10000


@dataclass(frozen=True)
class Way:
    """A call of one argument. `given` makes the argument of rows, which is not timed."""

    name: str
    call: Callable[[Any], Any]
    given: Callable[[NDArray[np.float32]], Any] = field(default=lambda rows: rows)
    kind: str = "maddjit"


@dataclass(frozen=True)
class Made:
    """Ways, all compared with the first, what they should compute, and what is missing."""

    ways: list[Way]
    exact: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    left_out: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Calls:
    """A product (D, M) through a library, for few rows and for many."""

    title: str
    make: Callable[[int, int, int], Made]
    shape: tuple[int, int] = (512, 100)
    n_codebooks: int = 16
    rows: tuple[int, ...] = (1, 1000)


def measure(subject: Calls, limits: Any) -> Record:
    """Return the errors of all ways on the most rows, and their times for each number of rows."""
    try:
        made = subject.make(*subject.shape, subject.n_codebooks)
    except ImportError as error:
        raise Missing(str(error)) from error
    rows = {n: clustered(n, subject.shape[0], seed=2) for n in subject.rows}
    most = rows[max(rows)]
    exact = made.exact(most.astype(np.float64))
    found: dict[str, Any] = {}
    for way in made.ways:
        outputs = np.asarray(way.call(way.given(most)))
        found[way.name] = {"kind": way.kind, "nmse": nmse(outputs, exact), "calls": {}}
    for n, A in rows.items():
        turns = take_turns(
            [
                Candidate(way.name, way.kind, "f(x)", {"f": way.call, "x": way.given(A)})
                for way in made.ways
            ],
            limits.rounds,
        )
        for name, record in found.items():
            record["calls"][str(n)] = {
                "us": turns.per(name, unit=1e6),
                "speed": turns.ratio(made.ways[0].name, name),
            }
    return {
        "kind": "calls",
        "title": subject.title,
        "text": subject.make.__doc__,
        "shape": list(subject.shape),
        "n_codebooks": subject.n_codebooks,
        "ways": found,
        "left_out": made.left_out,
    }


def _numpy(B: NDArray[np.float32]) -> Way:
    return Way("numpy.matmul", lambda A: np.matmul(A, B), kind="float32")


def native(D: int, M: int, C: int) -> Made:
    """An operator as a shared library, called through ctypes."""
    op, B = maddjit.compile(fitted(D, M, C)), right(D, M)
    with tempfile.TemporaryDirectory() as folder:
        exported = op.export(folder, name="head")
        if exported.library is None:
            raise Missing(exported.missing)
        loaded = maddjit.native.load(folder)
    return Made([_numpy(B), Way(OPERATOR, op), Way("maddjit.native.load", loaded)], lambda A: A @ B)


def torch(D: int, M: int, C: int) -> Made:
    """A linear layer inside `torch.no_grad`, as it is and compiled by torch."""
    import torch
    from torch import nn

    from maddjit.integrations.torch import replace_linear

    B, left_out, without_gradients = right(D, M), {}, torch.no_grad()
    layer = nn.Sequential(nn.Linear(D, M, bias=False))
    layer[0].weight.data.copy_(torch.from_numpy(B.T))
    looked_up = copy.deepcopy(layer)
    replace_linear(looked_up, [torch.from_numpy(clustered(_FITTED_TO, D, seed=1))], n_codebooks=C)
    ways = [
        Way("nn.Linear", without_gradients(layer), torch.from_numpy, "float32"),
        Way("replace_linear", without_gradients(looked_up), torch.from_numpy),
        Way(OPERATOR, maddjit.compile(looked_up[0].fitted)),
        _numpy(B),
    ]
    for way, module in zip(ways[:2], (layer, looked_up), strict=True):
        compiled = without_gradients(torch.compile(module, dynamic=False))
        try:
            compiled(torch.zeros(2, D))
        except Exception as error:  # no C++ compiler, say
            left_out[f"torch.compile of {way.name}"] = first_line(error)
        else:
            ways.append(Way(f"{way.name}, torch.compile", compiled, way.given, way.kind))
    return Made(ways, lambda A: A @ B, left_out)


def onnx(D: int, M: int, C: int) -> Made:
    """A network of two layers, D → D/2 → ReLU → M, of which the last or both are replaced."""
    from onnx import helper

    from maddjit.integrations.onnx import run_replaced, take

    refuse_onnxruntime()
    first, last = right(D, D // 2), right(D // 2, M)
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["sums"], name="first"),
        helper.make_node("Relu", ["sums"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "V"], ["y"], name="last"),
    ]
    taken, given = ("x", np.float32, ["n", D]), ("y", np.float32, ["n", M])
    model = make_model(nodes, {"W": first, "V": last}, taken, given)
    rows = {"x": clustered(_FITTED_TO, D, seed=1)}
    ops = {
        name: maddjit.compile(maddjit.fit(*take(model, name, rows)[:2], n_codebooks=C))
        for name in ("first", "last")
    }
    options = one_thread()
    session = open_session(model)

    def way(name: str, *replaced: str) -> Way:
        chosen = {node: ops[node] for node in replaced}
        run = run_replaced(model, chosen, session_options=options)
        return Way(name, lambda feed: run(feed)["y"], lambda A: {"x": A})

    def by_numpy(A: NDArray[Any]) -> NDArray[Any]:
        return np.maximum(A @ first, 0) @ last

    return Made(
        [
            Way("onnxruntime", lambda feed: session.run(None, feed)[0], lambda A: {"x": A}, "part"),
            way("run_replaced, no layer"),
            way("run_replaced, last layer", "last"),
            way("run_replaced, both layers", "first", "last"),
            Way("both operators and a ReLU", lambda A: ops["last"](np.maximum(ops["first"](A), 0))),
            Way("numpy.matmul, ReLU, numpy.matmul", by_numpy, kind="float32"),
        ],
        by_numpy,
    )


def sklearn(D: int, M: int, C: int) -> Made:
    """The decision function of a logistic regression with M classes."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    from maddjit.integrations.sklearn import speed_up

    rows = clustered(_FITTED_TO, D, seed=1)
    labels = (rows @ right(D, M)).argmax(axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = LogisticRegression(max_iter=100).fit(rows, labels)
    fast = speed_up(estimator, rows, n_codebooks=C)
    B, bias = estimator.coef_.T, estimator.intercept_
    return Made(
        [
            Way("decision_function", estimator.decision_function, kind="float32"),
            Way("speed_up(…).decision_function", fast.decision_function),
            Way(OPERATOR, fast.operator_),
            Way("numpy.matmul, bias", lambda A: A @ B + bias, kind="float32"),
        ],
        lambda A: A.astype(np.float64) @ B + bias,
    )


def dask(D: int, M: int, C: int) -> Made:
    """Blocks of rows, computed by the scheduler of threads with one worker."""
    import dask.array as da

    from maddjit.integrations.dask import apply

    model, B = fitted(D, M, C), right(D, M)

    def blocks(A: NDArray[np.float32]) -> Any:
        return da.from_array(A, chunks=(_DASK_ROWS, D))

    def compute(lazy: Any) -> Any:
        return lazy.compute(scheduler="threads", num_workers=1)

    return Made(
        [
            Way("rows @ B", compute, lambda A: blocks(A) @ B, "float32"),
            Way("apply(model, rows)", compute, lambda A: apply(model, blocks(A))),
            Way(OPERATOR, maddjit.compile(model)),
            _numpy(B),
        ],
        lambda A: A @ B,
    )
