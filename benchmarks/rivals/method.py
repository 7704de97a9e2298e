"""What a method is, which of them can run here, and the settings they are tried with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Apply = Callable[[Floats], Floats]
"""Takes a C-ordered A (N, D), returns a fresh approximation (N, M) of A @ B."""
Fit = Callable[[Floats, Floats, int, int], Apply]
"""Takes A_train, B, the setting and a seed. All that can be done without A is done here."""


@dataclass(frozen=True)
class Method:
    """A way to approximate A @ B with known B. The docstring of its `fit` says where it is from.

    `setting` says in words what the number given to `fit` means, and is empty if it means nothing.
    `settings(D, M)` returns values of it that span what the method can do without costing more
    operations than the exact product, (0,) if there is nothing to set. `random` methods need
    several seeds to be judged; others use the seed for a k-means at most. `needs` names the modules
    that must be importable. Methods that take long to learn are given `most_rows`.
    """

    name: str
    setting: str
    fit: Fit
    settings: Callable[[int, int], tuple[int, ...]] = lambda n_features, n_outputs: (0,)
    random: bool = False
    needs: tuple[str, ...] = ()
    most_rows: int | None = None


def installed(methods: Sequence[Method], left_out: dict[str, str]) -> list[Method]:
    """Return the methods whose modules are here, and note why others are left out."""
    kept = []
    for method in methods:
        missing = [module for module in method.needs if find_spec(module) is None]
        if missing:
            left_out[method.name] = f"needs {', '.join(missing)}"
        else:
            kept.append(method)
    return kept


def powers_of_two(below: float, first: int = 1) -> tuple[int, ...]:
    """Return first, 2 first, 4 first … as far as they are less than `below`."""
    values = []
    while first < below:
        values.append(first)
        first *= 2
    return tuple(values)


def dense_ranks(n_features: int, n_outputs: int) -> tuple[int, ...]:
    """Return ranks r whose two dense products, N r (D + M), are less than the exact N D M."""
    return powers_of_two(n_features * n_outputs / (n_features + n_outputs))


def narrower(n_features: int, n_outputs: int) -> tuple[int, ...]:
    """Return widths w for methods that need N D to get there, and then N w M."""
    return powers_of_two(n_features * (n_outputs - 1) / n_outputs)


def checked(name: str, setting: int, most: int) -> int:
    """Return the setting if it is from 1 to `most`."""
    if not 1 <= setting <= most:
        raise ValueError(f"{name} must be from 1 to {most} here, not {setting}")
    return setting
