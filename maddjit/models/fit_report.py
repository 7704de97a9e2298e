"""The error of a fitted model: measured on rows kept back, and bounded as in the paper."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log, log2, sqrt
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.models.archives import stored
from maddjit.models.records import fields_of, frozen_array, made_again

Objective = Literal["product", "argmax"]
"""The goal that tables are fitted for: all outputs, or each row's largest output."""


@dataclass(frozen=True, eq=False)
class BoundTerms:
    """The figures of a fit that enter the paper's generalisation bound (theorem 4.1).

    Attributes
    ----------
    n_rows : int
        n, the number of training rows.
    n_features, n_codebooks : int
        D and C.
    penalty : float
        λ, the penalty of the ridge regression.
    largest_singular_value : float
        σ_A, the largest singular value of A_train.
    norms : (M,) float64
        ‖b‖, the norm of each column of B.
    training_error : (M,) float64
        The mean of ``|ŷ − y|`` over the training rows, for each output.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above.
    """

    n_rows: int
    n_features: int
    n_codebooks: int
    penalty: float
    largest_singular_value: float
    norms: NDArray[np.float64]
    training_error: NDArray[np.float64]

    def __post_init__(self) -> None:
        for name in ("n_rows", "n_features", "n_codebooks"):
            object.__setattr__(self, name, _count(name, getattr(self, name)))
        if not (self.penalty > 0 and self.largest_singular_value >= 0):
            raise ValueError(
                "penalty must be above 0 and largest_singular_value 0 or more, not "
                f"{self.penalty} and {self.largest_singular_value}"
            )
        n_outputs = np.size(self.norms)
        for name in ("norms", "training_error"):
            array = frozen_array(name, getattr(self, name), np.float64, (n_outputs,))
            object.__setattr__(self, name, array)

    def bound(self, delta: float) -> NDArray[np.float64]:
        """Return a bound on the expected ``|ŷ − y|`` of each output, (M,).

        The bound is exceeded with a probability of δ at most.

        E L ≤ E_train L + C σ_A ‖b‖ / (2 √λ) · (1/256 + (8 + √ν) / √(2n)),
        ν = C (4 ⌈log₂ D⌉ + 256) log 2 − log δ.

        Raises
        ------
        ValueError
            If δ is not between 0 and 1.
        """
        if not 0 < delta < 1:
            raise ValueError(f"delta must be between 0 and 1, not {delta}")
        bits = self.n_codebooks * (4 * ceil(log2(self.n_features)) + 256)
        complexity = bits * log(2) - log(delta)
        slack = 1 / 256 + (8 + sqrt(complexity)) / sqrt(2 * self.n_rows)
        scale = self.n_codebooks * self.largest_singular_value / (2 * sqrt(self.penalty))
        return self.training_error + scale * slack * self.norms


@stored({"bound_terms": BoundTerms})
@dataclass(frozen=True, eq=False)
class FitReport:
    """The errors of a model on rows that it was not fitted to.

    Attributes
    ----------
    n_rows : int
        The number of rows that the errors were measured on.
    held_out : bool
        Whether these rows were kept back from learning. False if there were too few rows to keep
        any back, so that training rows were used.
    nmse : float
        mean((Ŷ − Y)²) / var(Y) over all entries, the paper's metric. 0 is exact; 1 is as good as
        answering the mean. NaN for a single row, which has no variance.
    lost_variance : float
        Σ(Ŷ − Y)² over Σ of each output's squared deviation from its own mean. It shows what NMSE
        hides where the means of outputs differ much more than the rows do. NaN for a single row.
    agreement : float
        The share of rows whose largest output is that of the exact product with the bias.
    output_nmse : (M,) float64
        The NMSE of each output. NaN for a single row.
    bias : (M,) float64
        mean(Ŷ − Y) of each output. With accumulate="average", rounding adds nothing to it on the
        training rows and little on others: `maddjit.learning.maddness.tables.quantise` says how
        much.
    absolute_error : (M,) float64
        ``mean(|Ŷ − Y|)`` of each output.
    worst_rows : (≤ 10,) int64
        The rows with the largest squared errors, worst first. If training rows were kept back,
        these are indices into `A_train`.
    worst_errors : (≤ 10,) float64
        The root mean squared error of each of these rows over its outputs.
    bound_terms : BoundTerms, optional
        The terms of the paper's bound, if the paper's learner made the model.
    objective : {"product", "argmax"}
        After "argmax" the outputs are scores that rank, so the errors say little.
    learned_by : str
        The version, the options and the rows of the fit, in words.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above.
    """

    n_rows: int
    held_out: bool
    nmse: float
    lost_variance: float
    agreement: float
    output_nmse: NDArray[np.float64]
    bias: NDArray[np.float64]
    absolute_error: NDArray[np.float64]
    worst_rows: NDArray[np.int64]
    worst_errors: NDArray[np.float64]
    bound_terms: BoundTerms | None = None
    objective: Objective = "product"
    learned_by: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "n_rows", _count("n_rows", self.n_rows))
        # Figures that are not finite may come from outputs beyond the range of float32.
        if self.nmse < 0 or self.lost_variance < 0 or not 0 <= self.agreement <= 1:
            raise ValueError(
                "nmse and lost_variance must not be below 0, and agreement must lie in 0 … 1, not "
                f"{self.nmse}, {self.lost_variance} and {self.agreement}"
            )
        if self.objective not in ("product", "argmax"):
            raise ValueError(f'objective must be "product" or "argmax", not {self.objective!r}')
        n_outputs, n_worst = _count("outputs", np.size(self.output_nmse)), np.size(self.worst_rows)
        for name, dtype, size in (
            ("output_nmse", np.float64, n_outputs),
            ("bias", np.float64, n_outputs),
            ("absolute_error", np.float64, n_outputs),
            ("worst_rows", np.int64, n_worst),
            ("worst_errors", np.float64, n_worst),
        ):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, (size,)))
        terms = self.bound_terms
        if terms is not None and not isinstance(terms, BoundTerms):
            raise TypeError(f"bound_terms must be BoundTerms, not {type(terms).__name__}")
        if terms is not None and len(terms.norms) != n_outputs:
            raise ValueError(
                f"bound_terms must be of {n_outputs} outputs, not of {len(terms.norms)}"
            )

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (FitReport, fields_of(self))

    def __str__(self) -> str:
        where = "held-out" if self.held_out else "training (none held out)"
        if self.objective == "argmax":
            return (
                f"names the exact winner on {self.agreement:.2%} of {self.n_rows} {where} rows; "
                "its scores rank the outputs and do not approximate A @ B"
            )
        worst = ", ".join(
            f"{row} ({error:.3g})"
            for row, error in zip(self.worst_rows[:3], self.worst_errors[:3], strict=True)
        )
        told = (
            f"NMSE {self.nmse:.4g} on {self.n_rows} {where} rows; "
            f"worst output {self.output_nmse.max():.4g}"
        )
        if self.n_rows == 1:
            told = f"no NMSE on 1 {where} row, which has no variance"
        most = int(np.abs(self.bias).argmax())
        return (
            f"{told}; largest bias {abs(self.bias[most]):.3g} (output {most}); "
            f"worst rows (RMSE): {worst}"
        )


def _count(name: str, value: Any) -> int:
    """Return a whole number, checked to be 1 or more."""
    if index(value) < 1:
        raise ValueError(f"{name} must be 1 or more, not {value}")
    return index(value)
