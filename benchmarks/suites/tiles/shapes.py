"""One shape: every scheme and every rival in turns, and how far each is from float64."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

import maddjit
from benchmarks.harness.machine import first_line
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, take_turns
from benchmarks.rivals.candidates import NUMPY, UNAVAILABLE, rivals
from benchmarks.tasks.rows import Floats, Product, unstructured
from maddjit.models.schemes import BilinearScheme, generic, kronecker, plain, strassen, winograd

SCHEMES: dict[str, Callable[[], BilinearScheme]] = {
    "plain": plain,
    "strassen": strassen,
    "winograd": winograd,
    "strassen ⊗ strassen": lambda: kronecker(strassen(), strassen()),
    "winograd ⊗ winograd": lambda: kronecker(winograd(), winograd()),
    **{f"r = {rank}": partial(generic, rank) for rank in (16, 24, 32, 48)},
}
"""Schemes by name. Those with r are approximate and of 4 × 4 × 4 tiles."""
IN_BFLOAT16 = ("plain", "strassen", "r = 24")
"""Schemes that are measured in bfloat16 as well."""
_CHECKED_ROWS = 512
"""Rows whose outputs are compared with float64."""


@dataclass(frozen=True)
class Shape:
    """A product of white noise by white noise, N × D × M. `rounds` is a most."""

    sizes: tuple[int, int, int]
    rounds: int = 100
    schemes: tuple[str, ...] = tuple(SCHEMES)


def measure(shape: Shape, limits: Any) -> Record:
    """Return times, ratios to `numpy.matmul` and errors of all ways."""
    n_rows, n_features, n_outputs = shape.sizes
    B = unstructured(n_features, n_outputs, seed=3)
    product = Product.of(unstructured(n_rows, n_features, seed=2), B)
    left_out: dict[str, str] = {}
    candidates = rivals(product, limits.optional, left_out)
    records: dict[str, Record] = {c.name: {"kind": c.kind} for c in candidates}
    for name, op in _operators(B, shape.schemes, left_out):
        names = {"op": op, "A": product.A, "Y": product.Y}
        candidates.append(Candidate(name, "maddjit", "op(A, out=Y)", names, lambda: product.Y))
        records[name] = {"kind": "maddjit"} | told(op)
    kept = _checked(candidates, product, records, left_out)
    rounds = min(limits.rounds, shape.rounds)
    turns = take_turns(kept, rounds, limits.turn, uncounted=1)
    for candidate in kept:
        records[candidate.name] |= {
            "us": turns.per(candidate.name, unit=1e6),
            "speed": turns.ratio(NUMPY, candidate.name),
        }
    gc.collect()
    title = " × ".join(map(str, shape.sizes))
    ways = {c.name: records[c.name] for c in kept}
    return {
        "kind": "shape",
        "title": title,
        "shape": list(shape.sizes),
        "rounds": rounds,
        "ways": ways,
        "left_out": left_out,
    }


def _operators(
    B: Floats, names: tuple[str, ...], left_out: dict[str, str]
) -> Iterator[tuple[str, maddjit.TileOperator]]:
    """Compile schemes for B, in float32 and some in bfloat16, which not every CPU has."""
    for name in names:
        model = maddjit.fit_strassen_tile(B, scheme=SCHEMES[name]())
        yield name, maddjit.compile(model)
        if name in IN_BFLOAT16:
            try:
                yield f"{name}, bfloat16", maddjit.compile(model, precision="bfloat16")
            except maddjit.TargetError as error:
                left_out[f"{name}, bfloat16"] = str(error)


def told(op: maddjit.TileOperator) -> Record:
    """Return what an operator reports of itself."""
    report = op.report
    compiling = sum(sum(phases.values()) for phases in report.seconds.values())
    return {
        "class": report.kind,
        "precision": report.precision,
        "saving": report.saving,
        "additions": list(report.additions),
        "packed_bytes": report.packed_bytes,
        "workspace_bytes": report.workspace_bytes,
        "compile_ms": round(1e3 * compiling, 1),
    }


def _checked(
    candidates: list[Candidate],
    product: Product,
    records: dict[str, Record],
    left_out: dict[str, str],
) -> list[Candidate]:
    """Run each candidate once, note its error, and return those that run."""
    rows = np.random.default_rng(0).permutation(len(product.A))[:_CHECKED_ROWS]
    exact = product.A[rows].astype(np.float64) @ product.B.astype(np.float64)
    kept = []
    for candidate in candidates:
        try:
            candidate.run_once()
        except UNAVAILABLE as error:
            left_out[candidate.name] = first_line(error)
            continue
        kept.append(candidate)
        if candidate.outputs:
            error = candidate.outputs()[rows].astype(np.float64) - exact
            relative = np.sqrt(np.mean(error**2) / np.mean(exact**2))
            records[candidate.name]["error"] = float(f"{relative:.4g}")
    of_numpy = records[NUMPY]["error"]
    for record in records.values():
        if record.get("class") in ("exact", "rounded") and record["precision"] == "float32":
            record["rounding"] = float(f"{record['error'] / of_numpy:.3g}")
    return kept
