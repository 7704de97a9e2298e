"""Which methods are tried, with which settings, and how many rows each may learn from."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from methods import METHODS, Method, installed
from methods.codebooks import own

import maddjit

EXACT, PAPER, EIGHT_BIT = "exact", "MADDNESS", "8-bit"
_MOST_LEAVES = 4096
"""Codebooks times prototypes of one operator; the joint regression has a column for each."""


@dataclass(frozen=True)
class Variant:
    """One way to use maddjit: options of `maddjit.fit` beside the number of codebooks."""

    name: str
    options: Mapping[str, Any]

    def method(self) -> Method:
        """Return it behind the interface of all methods."""
        n_prototypes = self.options.get("n_prototypes", 16)
        rank = self.options.get("core_rank", 0)

        def settings(n_features: int, n_outputs: int) -> tuple[int, ...]:
            if rank >= min(n_features, n_outputs):
                return ()  # the core would be the product itself
            values = (4, 8, 16, 32, 64, min(128, max(65, n_features)))
            return tuple(c for c in values if c <= min(n_features, _MOST_LEAVES // n_prototypes))

        fit = partial(own, **self.options)
        return Method(self.name, "codebooks", fit, "maddjit", settings=settings)


VARIANTS = (
    Variant("maddjit K=16", {"n_prototypes": 16}),
    Variant("maddjit K=64", {"n_prototypes": 64}),
    Variant("maddjit K=256", {"n_prototypes": 256}),
    Variant("maddjit K=16, core 4", {"n_prototypes": 16, "core_rank": 4}),
    Variant("maddjit K=64, core 8", {"n_prototypes": 64, "core_rank": 8}),
    Variant("maddjit K=64, core 16", {"n_prototypes": 64, "core_rank": 16}),
)
"""Add a line here to try another way."""

_FEW_SETTINGS = {
    "MADDNESS-PQ": 3,
    "OPQ": 3,
    "MADDNESS as published": 3,
    "MADDNESS-PQ as published": 3,
}
_LARGEST_SETTING = {"SparsePCA": 256}
"""Where fitting takes long."""
_TRAIN_ROWS = {
    "SparsePCA": 5000,
    "PQ": 10000,
    "OPQ": 5000,
    "Bolt": 10000,
    "MADDNESS as published": 4000,
    "MADDNESS-PQ as published": 4000,
}
"""Fewer than for all others, where learning from more takes long."""
_TRAIN_ENTRIES, _LEAST_IF_LONG = 20000 * 512, 8000
"""Rows times columns, for all methods; but never fewer rows than this."""
_WIDE, _TRAIN_ROWS_IF_WIDE = 1000, {"A-weighted low rank": 4000}
"""Methods that compute A_train @ B in float64, where B has more columns than this."""


def is_own(name: str) -> bool:
    """Tell whether a method is a variant of maddjit's."""
    return name.startswith("maddjit")


def is_paper(name: str) -> bool:
    """Tell whether a method is the paper's, which maddjit compiles too."""
    return name.startswith(PAPER)


def is_compiled(name: str) -> bool:
    """Tell whether maddjit compiles it."""
    return is_own(name) or is_paper(name)


def chosen(
    prefixes: Sequence[str] | None, left_out: dict[str, str]
) -> tuple[list[Method], list[Method]]:
    """Return the methods to try whose names begin so, and the 8-bit ones to compare with."""
    here = [m for m in installed(METHODS, left_out) if m.name not in (EXACT, "maddjit")]
    known = inspect.signature(maddjit.fit).parameters
    for variant in VARIANTS:
        unknown = [option for option in variant.options if option not in known]
        if unknown:
            left_out[variant.name] = f"maddjit.fit has no {', '.join(unknown)}"
        else:
            here.append(variant.method())
    eight_bit = [method for method in here if method.name.startswith(EIGHT_BIT)]
    if prefixes:
        here = [method for method in here if method.name.startswith(tuple(prefixes))]
    return here, eight_bit


def settings(method: Method, n_features: int, n_outputs: int, most: int) -> tuple[int, ...]:
    """Return at most so many of a method's settings, both ends among them, ascending."""
    largest = _LARGEST_SETTING.get(method.name, n_features)
    values = tuple(v for v in method.settings(n_features, n_outputs) if v <= largest)
    most = min(most, _FEW_SETTINGS.get(method.name, most))
    if len(values) <= most:
        return values
    step = (len(values) - 1) / max(most - 1, 1)
    return tuple(values[round(index * step)] for index in range(most))


def train_rows(method: Method, shape: tuple[int, int], most: int) -> int:
    """Return how many rows a method may learn from for a B of this shape."""
    n_features, n_outputs = shape
    few = _TRAIN_ROWS_IF_WIDE.get(method.name, most) if n_outputs > _WIDE else most
    long = max(_LEAST_IF_LONG, _TRAIN_ENTRIES // n_features)
    return min(most, few, long, _TRAIN_ROWS.get(method.name, most))
