"""Made-up rows, right-hand sides, models fitted to them, and the product of a shape."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.tasks.scores import nmse

Floats = NDArray[np.float32]


def clustered(n_rows: int, n_features: int, seed: int) -> Floats:
    """Return float32 rows that a few hidden directions explain, like a network's ReLU features."""
    rng = np.random.default_rng(seed)
    directions = np.random.default_rng(0).standard_normal((4, n_features))
    hidden = rng.standard_normal((n_rows, 4)) @ directions
    noise = 0.1 * rng.standard_normal((n_rows, n_features))
    return np.maximum(hidden + noise, 0).astype(np.float32)


def unstructured(n_rows: int, n_features: int, seed: int) -> Floats:
    """Return float32 rows of independent numbers, which no hash tree can approximate well."""
    return np.random.default_rng(seed).standard_normal((n_rows, n_features), dtype=np.float32)


ROWS = {"clustered": clustered, "unstructured": unstructured}


@cache
def right(n_features: int, n_outputs: int) -> Floats:
    """Return the fixed B of a shape."""
    return np.random.default_rng(3).standard_normal((n_features, n_outputs)).astype(np.float32)


@cache
def fitted(
    n_features: int,
    n_outputs: int,
    n_codebooks: int,
    n_prototypes: int = 16,
    rows: str = "clustered",
) -> maddjit.MaddnessModel:
    """Fit a model as the paper does, to fewer rows where the shape is huge."""
    n_train = 8000 if n_features <= 512 and n_outputs <= 1000 else 4000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", maddjit.AccuracyWarning)
        return maddjit.fit(
            ROWS[rows](n_train, n_features, seed=1),
            right(n_features, n_outputs),
            n_codebooks,
            n_prototypes,
            method="paper",
        )


@dataclass(frozen=True)
class Product:
    """A, B and Y, which all candidates of a case read and write."""

    A: Floats
    B: Floats
    Y: Floats

    @classmethod
    def of(cls, A: Floats, B: Floats) -> Product:
        """Return the product of two matrices, with memory for its outputs."""
        return cls(A, B, np.empty((len(A), B.shape[1]), np.float32))

    @classmethod
    def of_shape(cls, shape: tuple[int, int, int], rows: str = "clustered") -> Product:
        """Return a made-up product (N, D, M)."""
        n_rows, n_features, n_outputs = shape
        return cls.of(ROWS[rows](n_rows, n_features, seed=2), right(n_features, n_outputs))

    @cached_property
    def exact(self) -> NDArray[np.float64]:
        """A @ B in float64."""
        return self.A.astype(np.float64) @ self.B.astype(np.float64)

    def nmse(self, outputs: NDArray[np.generic]) -> float:
        """Return mean((Ŷ − Y)²) / var(Y) over all entries."""
        return float(f"{nmse(outputs, self.exact):.3g}")
