"""Which methods are tried, with which settings, and how many rows each may learn from."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from benchmarks.rivals import METHODS, Method, installed
from benchmarks.rivals.codebooks import own

PAPER, EIGHT_BIT = "MADDNESS", "8-bit"
_MOST_LEAVES = 4096
"""Codebooks times prototypes of one operator: the joint regression has a column for each."""


def _variant(name: str, **options: Any) -> Method:
    """Return a way to use maddjit: options of `maddjit.fit` beside the number of codebooks."""

    def settings(n_features: int, n_outputs: int) -> tuple[int, ...]:
        if options.get("core_rank", 0) >= min(n_features, n_outputs):
            return ()  # the core would be the product itself
        values = (4, 8, 16, 32, 64, min(128, max(65, n_features)))
        most = min(n_features, _MOST_LEAVES // options["n_prototypes"])
        return tuple(value for value in values if value <= most)

    return Method(name, "codebooks", partial(own, **options), settings)


VARIANTS = (
    _variant("maddjit K=16", n_prototypes=16),
    _variant("maddjit K=64", n_prototypes=64),
    _variant("maddjit K=256", n_prototypes=256),
    _variant("maddjit K=16, core 4", n_prototypes=16, core_rank=4),
    _variant("maddjit K=64, core 8", n_prototypes=64, core_rank=8),
    _variant("maddjit K=64, core 16", n_prototypes=64, core_rank=16),
)
"""Add a line here to try another way."""

_TRAIN_ENTRIES, _LEAST_IF_LONG = 20000 * 512, 8000
"""Rows times columns that methods learn from at most, but never fewer rows than the second."""
_WIDE, _TRAIN_ROWS_IF_WIDE = 1000, {"A-weighted low rank": 4000}
"""Methods that compute A_train @ B in float64, where B has more columns than the first."""


def is_own(name: str) -> bool:
    """Tell whether a method is a variant of maddjit."""
    return name.startswith("maddjit")


def is_paper(name: str) -> bool:
    """Tell whether a method is the paper's. maddjit compiles it too."""
    return name.startswith(PAPER)


def is_compiled(name: str) -> bool:
    """Tell whether maddjit compiles a method."""
    return is_own(name) or is_paper(name)


def chosen(prefixes: Sequence[str], left_out: dict[str, str]) -> list[Method]:
    """Return the installed methods whose names begin with a prefix, all if none is given."""
    here = installed([*METHODS, *VARIANTS], left_out)
    return [m for m in here if m.name.startswith(tuple(prefixes) or "")]


def settings(method: Method, n_features: int, n_outputs: int, most: int) -> tuple[int, ...]:
    """Return at most `most` of a method's settings, ascending, both ends among them."""
    values = method.settings(n_features, n_outputs)
    if len(values) <= most:
        return values
    step = (len(values) - 1) / max(most - 1, 1)
    return tuple(values[round(index * step)] for index in range(most))


def train_rows(method: Method, shape: tuple[int, int], most: int) -> int:
    """Return how many rows a method may learn from for a B of this shape."""
    n_features, n_outputs = shape
    few = _TRAIN_ROWS_IF_WIDE.get(method.name, most) if n_outputs > _WIDE else most
    long = max(_LEAST_IF_LONG, _TRAIN_ENTRIES // n_features)
    return min(most, few, long, method.most_rows or most)
