"""One shape: every scheme and every rival in turns, and how far each is from float64."""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import numpy as np
from data import Product, unstructured
from measuring import Candidate, quartiles, take_turns
from numpy.typing import NDArray

from tiling import rivals, ways
from tiling.subjects import Limits, Shape

Record = dict[str, Any]

_CHECKED_ROWS = 512
"""Rows whose outputs are compared with float64."""


def measure(shape: Shape, limits: Limits) -> Record:
    """Return times, ratios to `numpy.matmul` and errors of all ways."""
    n_rows, n_features, n_outputs = shape.sizes
    B = unstructured(n_features, n_outputs, seed=3)
    product = Product(
        unstructured(n_rows, n_features, seed=2), B, np.empty((n_rows, n_outputs), np.float32)
    )
    left_out: dict[str, str] = {}
    candidates = rivals.of_product(product, limits.optional, left_out)
    records: dict[str, Record] = {c.name: {"kind": c.kind} for c in candidates}
    for name, op in ways.operators(B, shape.schemes, left_out):
        names = {"op": op, "A": product.A, "Y": product.Y}
        candidates.append(Candidate(name, "maddjit", "op(A, out=Y)", names, lambda: product.Y))
        records[name] = {"kind": "maddjit"} | ways.told(op)
    kept = _checked(candidates, product, records, left_out)
    rounds = min(limits.rounds, shape.rounds)
    turns = take_turns(kept, rounds, limits.turn, uncounted=1)
    for candidate in kept:
        record, seconds = records[candidate.name], turns.seconds[candidate.name]
        record["us"] = quartiles(1e6 * seconds)
        record["speed"] = turns.ratio(rivals.NUMPY, candidate.name)
    gc.collect()
    return {
        "kind": "shape",
        "title": " × ".join(map(str, shape.sizes)),
        "shape": list(shape.sizes),
        "rounds": rounds,
        "ways": {c.name: records[c.name] for c in kept},
        "left_out": left_out,
        "failed": {},
    }


def _checked(
    candidates: list[Candidate],
    product: Product,
    records: dict[str, Record],
    left_out: dict[str, str],
) -> list[Candidate]:
    """Run each once, note its error, and return those that run."""
    rows = np.random.default_rng(0).permutation(len(product.A))[:_CHECKED_ROWS]
    exact = product.A[rows].astype(np.float64) @ product.B.astype(np.float64)
    wrong = partial(_relative, rows=rows, exact=exact)
    kept = []
    for candidate in candidates:
        try:
            candidate.timer().timeit(1)
        except rivals.UNAVAILABLE as error:
            left_out[candidate.name] = rivals.words(error)
            continue
        kept.append(candidate)
        if candidate.outputs:
            records[candidate.name]["error"] = wrong(candidate.outputs())
    of_numpy = records[rivals.NUMPY]["error"]
    for record in records.values():
        if record.get("class") in ("exact", "rounded") and record["precision"] == "float32":
            record["rounding"] = float(f"{record['error'] / of_numpy:.3g}")
    return kept


def _relative(outputs: NDArray[Any], rows: NDArray[np.intp], exact: NDArray[np.float64]) -> float:
    """Return the root mean square of the error relative to that of the outputs."""
    error = outputs[rows].astype(np.float64) - exact
    return float(f"{np.sqrt(np.mean(error**2) / np.mean(exact**2)):.4g}")
