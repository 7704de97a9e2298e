"""``maddjit bench``: time a model on this machine beside NumPy's product and 8-bit products."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS, bfloat16_to_float32, float32_to_bfloat16
from maddjit.cli import convolutions, kernels, networks
from maddjit.cli.answers import Answer, UsageError, table
from maddjit.cli.commands import add_command
from maddjit.cli.inputs import read
from maddjit.cli.peers import Multiply, eight_bit, largest_weight
from maddjit.cli.turns import TimedCall, take_turns
from maddjit.compiler import llvm
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.maddness import MaddnessModel
from maddjit.models.network import Network
from maddjit.models.storage import Product, load
from maddjit.selection.blas import one_thread
from maddjit.selection.products import Winners

_ROWS = 10000
"""Rows of a call, unless --n says more or less."""
OWN, NUMPY = "maddjit", "numpy float32"
"""The names of the operator and of the product that it is compared with, in the table."""


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "bench",
        _bench,
        "time a model against NumPy and 8-bit products",
        "Time a model on this machine, in turns with the exact product of NumPy and with 8-bit\n"
        "products of PyTorch and onnxruntime, if these are installed; one thread each. Of a\n"
        "network it is the time of each layer, of a convolution that of a call on --rows.",
        "maddjit bench model.npz --B B.npy --rows A.npy",
        "maddjit bench model.npz --dtype uint8 --order F",
    )
    kernels.add_flags(parser)
    parser.add_argument(
        "--rows",
        metavar="A",
        help="rows to time and to measure errors on (default: random rows, without errors); images "
        "(N, C, H, W) of networks and convolutions",
    )
    parser.add_argument(
        "--n",
        type=int,
        help=f"number of rows or images of a call (default: {_ROWS} rows, {networks.IMAGES} images "
        "of a network, all planes of --rows)",
    )
    parser.add_argument(
        "--B", metavar="FILE", help="the exact right-hand side, if the model does not hold it"
    )
    parser.add_argument("--transpose", action="store_true", help="B is stored as (M, D)")
    parser.add_argument("--bias", metavar="FILE", help="a vector (M,) that is added to the product")
    parser.add_argument(
        "--rounds", type=int, default=15, help="how often each way has its turn (default: 15)"
    )


def _bench(options: argparse.Namespace) -> Answer:
    if options.rounds < 1 or (options.n is not None and options.n < 1):
        raise UsageError("--n and --rounds must be 1 or more")
    model = load(options.model)
    if isinstance(model, Network | ConvolutionModel):
        if options.B is not None or options.bias is not None or options.transpose:
            raise UsageError("--B, --bias and --transpose are for products")
        return (
            networks.timed(model, options)
            if isinstance(model, Network)
            else convolutions.timed(model, options)
        )
    options.n = options.n or _ROWS
    right = _right(model, options)
    rows = _timed_rows(model, options)
    op = kernels.operator(model, options)
    result = kernels.result_of(model, options)
    k = 1 if result == "outputs" else model.short_list.k  # type: ignore[union-attr]
    A = _as_given(rows, options)
    runs: dict[str, TimedCall] = {OWN: _maddjit(op, A, result)}
    missing: dict[str, str] = {}
    outputs: dict[str, Callable[[], NDArray[Any]]] = {OWN: lambda: op(A)}
    if right is None:
        missing[NUMPY] = f"{options.model} does not hold B: give --B"
    else:
        exact = _numpy(*right, len(rows))
        found, missing = eight_bit(*right, rows)
        ways: dict[str, Any] = {NUMPY: exact, **found}
        for name, way in ways.items():
            asked = way if result == "outputs" else Winners(way, k)
            runs[name] = lambda asked=asked: asked(rows)  # type: ignore[misc]
            outputs[name] = runs[name]  # type: ignore[assignment]
    with one_thread() as limited:
        seconds = take_turns(runs, options.rounds)
        errors = {} if right is None else _errors(outputs, rows, right, result)
    return _answer(op, options, rows, seconds, errors, missing, limited is not None)


def _numpy(B: NDArray[np.float32], bias: NDArray[np.float32], n_rows: int) -> Multiply:
    """Return NumPy's product, which writes into memory that exists already, as maddjit's does."""
    Y = np.empty((n_rows, B.shape[1]), np.float32)
    added = bias if bias.any() else None

    def product(rows: NDArray[np.float32]) -> NDArray[np.float32]:
        np.matmul(rows, B, out=Y)
        if added is not None:
            np.add(Y, added, out=Y)
        return Y

    return product


def _maddjit(op: Any, A: NDArray[Any], result: str) -> TimedCall:
    """Return a call of the operator, which writes outputs into memory that exists already."""
    if result != "outputs":
        return lambda: op(A)
    out = op(A)
    return lambda: op(A, out=out)


def _right(
    model: Product, options: argparse.Namespace
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return B and bias, if they are given or the model holds them."""
    if options.B is None:
        if options.bias is not None or options.transpose:
            raise UsageError("--bias and --transpose go with --B")
        short = getattr(model, "short_list", None)
        return None if short is None else (short.B, short.bias)
    B = read(options.B, "--B", transpose=options.transpose).array.astype(np.float32)
    if B.shape != (model.n_features, model.n_outputs):
        raise ValueError(
            f"--B must have the shape {(model.n_features, model.n_outputs)} of the model, not "
            f"{B.shape}"
        )
    known = model.bias if isinstance(model, MaddnessModel) or model.is_encoded else None
    own = None if known is None else known.astype(np.float32)
    if options.bias is None:
        return B, np.zeros(model.n_outputs, np.float32) if own is None else own
    bias = read(options.bias, "--bias", ndim=1).array.astype(np.float32)
    if bias.shape != (model.n_outputs,):
        raise ValueError(f"--bias must have {model.n_outputs} numbers, not {len(bias)}")
    if own is not None and (bias != own).any():
        raise ValueError("--bias is not the bias that the model was fitted with: leave it out")
    return B, bias


def _timed_rows(model: Product, options: argparse.Namespace) -> NDArray[np.float32]:
    """Return rows (n, D): random ones, or the given ones, repeated or cut to n."""
    if options.rows is None:
        rng = np.random.default_rng(0)
        return (20 * rng.standard_normal((options.n, model.n_features))).astype(np.float32)
    given = read(options.rows, "--rows").array
    if given.shape[1] != model.n_features:
        raise ValueError(f"--rows must have {model.n_features} columns, not shape {given.shape}")
    return np.resize(given, (options.n, model.n_features)).astype(np.float32)


def _as_given(rows: NDArray[np.float32], options: argparse.Namespace) -> NDArray[Any]:
    """Return rows in the dtype and order that the operator reads; `rows` are rounded alike."""
    form = INPUTS[options.dtype]
    A: NDArray[Any] = rows
    if form.name == "bfloat16":
        A = float32_to_bfloat16(rows)
    elif form.dtype.kind in "iu":
        limits = np.iinfo(form.dtype)
        A = np.clip(np.rint(rows), limits.min, limits.max).astype(form.dtype)
    else:
        A = rows.astype(form.dtype)
    seen = bfloat16_to_float32(A) if form.name == "bfloat16" else A
    is_whole = form.dtype.kind in "iu" and form.name != "bfloat16"
    if options.rows is not None and is_whole and not np.array_equal(seen, rows):
        raise ValueError(
            f"--rows hold numbers that {options.dtype} cannot hold, so errors would mislead: give "
            "rows of that dtype, or another --dtype"
        )
    rows[...] = seen
    if options.order == "F":
        return np.asfortranarray(A)
    return A if options.order == "C" else np.repeat(A, 2, axis=1)[:, ::2]


def _errors(
    outputs: Mapping[str, Callable[[], NDArray[Any]]],
    rows: NDArray[np.float32],
    right: tuple[NDArray[np.float32], NDArray[np.float32]],
    result: str,
) -> dict[str, float]:
    """Return each way's NMSE; for winners, the share of rows whose winners are not all exact."""
    exact = rows.astype(np.float64) @ right[0] + right[1]
    errors = {}
    for name, way in outputs.items():
        found = way()
        if result == "outputs":
            variance = float(exact.var())
            lost = float(np.mean((found.astype(np.float64) - exact) ** 2))
            errors[name] = lost / variance if variance > 0 else float("nan")
        else:
            named = found.reshape(len(rows), -1)
            least = np.partition(exact, -named.shape[1], axis=1)[:, -named.shape[1]]
            own = np.take_along_axis(exact, named, axis=1).min(axis=1)
            close = 1e-5 * np.abs(exact).max(axis=1)
            errors[name] = float((own < least - close).mean())
    return errors


def _answer(
    op: Any,
    options: argparse.Namespace,
    rows: NDArray[Any],
    seconds: Mapping[str, NDArray[np.float64]],
    errors: Mapping[str, float],
    missing: Mapping[str, str],
    limited: bool,
) -> Answer:
    """Return what was measured, as a table with notes and as facts."""
    result = kernels.result_of(op.model, options)
    what = "NMSE" if result == "outputs" else "missed"
    told = errors if options.rows is not None else {}
    ways = {name: _way(own, seconds.get(NUMPY), told.get(name)) for name, own in seconds.items()}
    D, M = op.model.n_features, op.model.n_outputs
    threads = "one thread"
    if not limited:
        threads += "; NumPy takes as many as it likes: install threadpoolctl to limit it to one"
    head = [
        repr(op),
        f"{len(rows)} × {D} × {M}, {options.dtype} {options.order}, {options.rounds} rounds",
        threads,
    ]
    lines = [("", "µs a call", "quartiles", "× numpy", what)]
    lines += [(name, *_words(way)) for name, way in ways.items()]
    notes = _notes(op, options, seconds, missing)
    facts = {
        "model": kernels.facts_of(op.model),
        "target": op.target.name,
        "n_rows": len(rows),
        "rounds": options.rounds,
        "dtype": options.dtype,
        "order": options.order,
        "result": result,
        "error": what,
        "one_thread": limited,
        "ways": ways,
        "missing": missing,
    }
    return Answer("\n".join([*head, table(lines), *notes]), facts)


def _way(
    seconds: NDArray[np.float64], base: NDArray[np.float64] | None, error: float | None
) -> dict[str, Any]:
    """Return quartiles of a way's times and of its speed beside NumPy's, and its error."""
    quartiles = [25, 50, 75]
    return {
        "microseconds": [float(1e6 * each) for each in np.percentile(seconds, quartiles)],
        "times_as_fast_as_numpy": None
        if base is None
        else np.percentile(base / seconds, quartiles).tolist(),
        "error": error,
    }


def _words(way: Mapping[str, Any]) -> tuple[str, str, str, str]:
    """Return a way's cells in the table."""
    low, median, high = way["microseconds"]
    ratios, error = way["times_as_fast_as_numpy"], way["error"]
    return (
        f"{median:.4g}",
        f"{low:.4g} … {high:.4g}",
        "" if ratios is None else f"{ratios[1]:.3g}",
        "" if error is None else f"{error:.3g}",
    )


def _notes(
    op: Any, options: argparse.Namespace, ways: Collection[str], missing: Mapping[str, str]
) -> list[str]:
    """Return what a reader of the table should know."""
    notes = ["× numpy: the median over rounds of how many times as fast as NumPy"] * (NUMPY in ways)
    notes += [f"{name}: {why}" for name, why in missing.items()]
    if largest_weight(llvm.host()) < 127 and any(name.startswith("8-bit") for name in ways):
        notes.append(
            "weights of 8-bit products have 7 bits: this CPU has no VNNI, 8 would saturate"
        )
    if options.rows is None:
        notes.append("rows are random: give --rows to see errors on your rows")
    if op.model.report:
        notes.append(f"the fit: {op.model.report}")
    return notes
