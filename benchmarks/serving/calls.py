"""Calls through a library, in turns with the library's own way to the same product."""

from __future__ import annotations

from typing import Any

import numpy as np
from data import clustered
from measuring import Candidate, quartiles, take_turns
from tasks import Missing
from tasks.scores import nmse


def measure(subject: Any, limits: Any) -> dict[str, Any]:
    """Return the times of all ways for each number of rows, and their errors on the most."""
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
                "us": quartiles(turns.seconds[name] * 1e6),
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
        "failed": {},
    }
