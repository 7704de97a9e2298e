"""What the estimators for scikit-learn have in common."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils.validation import check_is_fitted, validate_data

from maddjit.learning.fit import fit
from maddjit.pipeline import compile

_DTYPES = (np.float64, np.float32)
_PROBED = 1024
"""Unit vectors that an estimator is asked about at a time."""
_CHECKED = 100
_TOLERANCE = 1e-3
"""Share of the largest output by which an estimator may differ from its linear map."""


class CompiledEstimator(BaseEstimator):
    """What the three have in common: an estimator, its linear map, the operator of that."""

    _method: str
    _default: type

    def __init__(
        self,
        estimator: Any = None,
        *,
        n_codebooks: int | None = None,
        n_prototypes: int = 16,
        core_rank: int = 0,
        threads: int = 1,
        random_state: int = 0,
    ) -> None:
        self.estimator = estimator
        self.n_codebooks = n_codebooks
        self.n_prototypes = n_prototypes
        self.core_rank = core_rank
        self.threads = threads
        self.random_state = random_state

    def _rows(self, X: Any) -> NDArray[Any]:
        check_is_fitted(self)
        rows: NDArray[Any] = validate_data(self, X, reset=False, dtype=_DTYPES)
        return rows

    def _fit_estimator(self, X: Any, y: Any, **checks: Any) -> NDArray[Any]:
        """Fit the estimator, unless it is frozen, and return the rows to learn trees from."""
        rows: NDArray[Any]
        estimator = self._default() if self.estimator is None else self.estimator
        if isinstance(estimator, FrozenEstimator) and y is None:
            rows = validate_data(self, X, dtype=_DTYPES)
        elif isinstance(self, TransformerMixin):
            rows = validate_data(self, X, dtype=_DTYPES, **checks)
        else:
            rows, y = validate_data(self, X, y, dtype=_DTYPES, **checks)
        named = hasattr(self, "feature_names_in_") and hasattr(estimator, "feature_names_in_")
        if named and isinstance(estimator, FrozenEstimator):  # it is asked without names
            validate_data(estimator, X, reset=False, skip_check_array=True)
        self.estimator_ = clone(estimator).fit(rows, y)
        return rows

    def _affine(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return B (D, M) and the bias (M,) of the estimator's outputs, checked on some rows."""
        frozen = isinstance(self.estimator_, FrozenEstimator)
        inner = self.estimator_.estimator if frozen else self.estimator_
        ask = getattr(self.estimator_, self._method, None)
        if ask is None:
            raise ValueError(f"{inner!r} has no {self._method}, and no product to compile")
        n_features = rows.shape[1]

        def outputs(x: NDArray[Any]) -> NDArray[np.float64]:
            y = np.asarray(ask(x), np.float64)
            self._is_flat = y.ndim == 1
            return y[:, np.newaxis] if self._is_flat else y

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "X does not have valid feature names")
            bias = outputs(np.zeros((1, n_features)))[0]
            parts = []
            for start in range(0, n_features, _PROBED):
                units = np.eye(min(_PROBED, n_features - start), n_features, start)
                parts.append(outputs(units) - bias)
            few = rows[:: -(-len(rows) // _CHECKED)].astype(np.float64)
            expected = outputs(few)
        B: NDArray[np.float64] = np.concatenate(parts)
        found = few @ B + bias
        if np.abs(found - expected).max() > _TOLERANCE * np.abs(expected).max() + 1e-6:
            raise ValueError(
                f"{self._method} of {inner!r} is not a product with one matrix and a "
                "bias, which is all that can be compiled"
            )
        return B, bias

    def _learn(self, rows: NDArray[Any], B: NDArray[Any], bias: NDArray[Any]) -> Any:
        n_codebooks = min(16, len(B)) if self.n_codebooks is None else self.n_codebooks
        return fit(
            rows,
            B,
            n_codebooks,
            self.n_prototypes,
            bias=bias,
            core_rank=self.core_rank,
            random_state=self.random_state,
        )

    def _compile(self, model: Any, rows: NDArray[Any]) -> None:
        self.operator_ = compile(model, dtype=rows.dtype.name, threads=self.threads)

    def _outputs(self, X: Any) -> NDArray[Any]:
        rows = self._rows(X)
        y: NDArray[Any] = self.operator_(rows).astype(rows.dtype, copy=False)
        return y[:, -1] if self._is_flat else y
