"""The base of the estimators for scikit-learn: fit an estimator, find its product, compile it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted, validate_data

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.sklearn.heads import advice_for, head_of, shown
from maddjit.integrations.sklearn.linear_map import FAR, LinearMap, linear_map_of
from maddjit.integrations.sklearn.rows import (
    check_width,
    framed,
    in_blocks,
    is_numbers,
    to_learn_from,
)
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.fit import fit
from maddjit.learning.maddness.options import Method
from maddjit.pipeline import compile

_DTYPES = (np.float64, np.float32)
_CHECKS = {"dtype": _DTYPES, "accept_sparse": "csr"}
"""How rows are validated: other dtypes become the first of these."""
_FEW = 20
"""The number of rows below which `maddjit.fit` keeps none back to measure its error on."""


class CompiledEstimator(BaseEstimator):
    """The base of all three estimators: it holds another one, and compiles its linear map."""

    _method: str
    _default: type

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_codebooks: int | None = None,
        n_prototypes: int = 16,
        method: Method = "best",
        core_rank: int = 0,
        time_limit: float | None = None,
        threads: int = 1,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_codebooks = n_codebooks
        self.n_prototypes = n_prototypes
        self.method = method
        self.core_rank = core_rank
        self.time_limit = time_limit
        self.threads = threads
        self.random_state = random_state

    def _fit_estimator(self, X: Any, y: Any, **checks: Any) -> Any:
        """Fit the estimator, unless it is frozen, and return the validated rows."""
        estimator = self._default() if self.estimator is None else self.estimator
        needs_y = not isinstance(self, TransformerMixin)
        if needs_y and not (isinstance(estimator, FrozenEstimator) and y is None):
            rows, y = _advised(self, X, y, **checks)
        else:
            rows = _advised(self, X)
        check_width(rows)
        self.estimator_ = clone(estimator).fit(X if hasattr(X, "iloc") else rows, y)
        if rows.shape[0] < _FEW:
            warnings.warn(
                f"{rows.shape[0]} rows were given, too few to keep some back and measure the "
                "operator's error on them: give some hundreds of rows like those that will come",
                AccuracyWarning,
                stacklevel=3,
            )
        return rows

    def _linear_map(self, rows: Any, X: Any) -> LinearMap:
        """Return what the estimator computes, once it is proved to be a product and a bias."""
        ask = getattr(self.estimator_, self._method, None)
        if ask is None:
            raise ReplacementError(
                f"{shown(self.estimator_)} has no {self._method}, and no product to compile"
                f"{advice_for(head_of(self.estimator_))}"
            )
        like_x = framed(X)
        what = f"{self._method} of {shown(self.estimator_)}"
        return linear_map_of(
            lambda points: ask(like_x(points)), rows, what, advice_for(head_of(self.estimator_))
        )

    def _learn(self, rows: NDArray[Any], B: NDArray[Any], bias: NDArray[Any]) -> Any:
        """Return a model that is fitted with this estimator's parameters."""
        n_codebooks = min(16, len(B)) if self.n_codebooks is None else self.n_codebooks
        return fit(
            rows,
            B,
            n_codebooks,
            self.n_prototypes,
            method=self.method,
            bias=bias,
            core_rank=self.core_rank,
            random_state=self.random_state,
            time_limit=self.time_limit,
        )

    def _placed(
        self, found: LinearMap, rows: Any
    ) -> tuple[NDArray[Any], NDArray[np.float64], NDArray[np.float64]]:
        """Return rows to learn from, B and bias, and decide whether rows are centred at calls."""
        self._is_flat = found.is_flat
        self.centre_ = found.centre if found.rows_are_far else None
        self.offset_: NDArray[np.float64] | None = None
        dense = to_learn_from(rows, self.random_state)
        bias = found.value
        if self.centre_ is None:
            bias = bias - found.centre.astype(np.float64) @ found.B
        return self._centred(dense), found.B, bias

    def _centred(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows if self.centre_ is None else rows - self.centre_.astype(rows.dtype)

    def _compile(self, model: Any, rows: Any) -> None:
        self.operator_ = compile(model, dtype=rows.dtype.name, threads=self.threads)

    def _fit_product(self, X: Any, y: Any, **checks: Any) -> None:
        """Fit the estimator of a regressor or transformer, learn its linear map and compile it."""
        rows = self._fit_estimator(X, y, **checks)
        found = self._linear_map(rows, X)
        dense, B, bias = self._placed(found, rows)
        if found.outputs_are_far(FAR):
            self.offset_ = found.value
            bias = bias - found.value
        self._compile(self._learn(dense, B, bias), dense)

    def _rows(self, X: Any) -> Any:
        check_is_fitted(self)
        return validate_data(self, X, reset=False, **_CHECKS)

    def _each(self, function: Callable[[Any], NDArray[Any]], rows: Any) -> NDArray[Any]:
        """Return `function` of rows, which are made dense and centred where they need it."""
        return in_blocks(lambda block: function(self._centred(block)), rows)

    def _outputs(self, X: Any) -> NDArray[Any]:
        rows = self._rows(X)
        y: NDArray[Any] = self._each(self.operator_, rows)
        y = y.astype(rows.dtype, copy=False) if self.offset_ is None else y + self.offset_
        return y[:, -1] if self._is_flat else y

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = self._inner_tags().input_tags.sparse
        return tags

    def _inner_tags(self) -> Any:
        """Return the tags of the estimator; every call asks, and a frozen one would copy them."""
        inner = self._default() if self.estimator is None else self.estimator
        return get_tags(inner.estimator if isinstance(inner, FrozenEstimator) else inner)


def _advised(estimator: Any, X: Any, *y: Any, **checks: Any) -> Any:
    """Return validated rows, and y if it is given; errors say what to do if X holds texts."""
    try:
        return validate_data(estimator, X, *y, ensure_min_samples=2, **_CHECKS, **checks)
    except ValueError as error:
        if is_numbers(X):
            raise
        raise ValueError(
            f"{error}; rows must be numbers: what turns X into numbers belongs before this in a "
            "Pipeline, and speed_up takes such a fitted Pipeline"
        ) from error
