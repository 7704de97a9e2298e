"""The regressor for scikit-learn: linear predictions, looked up."""

from __future__ import annotations

from typing import Any, Self

from numpy.typing import NDArray
from sklearn.base import RegressorMixin
from sklearn.linear_model import LinearRegression

from maddjit.integrations.sklearn.base import CompiledEstimator


class MaddnessRegressor(RegressorMixin, CompiledEstimator):
    """A linear regressor whose predictions are looked up.

    `fit` fits the estimator, learns trees and tables for its coefficients on the same rows, and
    compiles them.

    Parameters
    ----------
    estimator : regressor, optional
        Anything whose predictions are linear in X, for example a pipeline of a scaler and a ridge
        regression. Ordinary least squares by default. An estimator in a
        `sklearn.frozen.FrozenEstimator` is not fitted again, and then `fit` needs no y.
    n_codebooks : int, optional
        By default 16, or the number of features if that is less.
    n_prototypes, method, core_rank, time_limit, random_state
        As for `maddjit.fit`. The time limit, in seconds, is for learning trees and tables.
    threads : int
        As for `maddjit.compile`.

    Attributes
    ----------
    estimator_ : regressor
        The fitted estimator.
    operator_ : CompiledOperator
        What computes predictions. ``operator_.model.report`` tells its error, measured against the
        estimator's own predictions.
    centre_ : (D,) array or None
        What is subtracted from rows before the operator gets them. It is None unless rows lie so
        far from zero (Unix time, map coordinates) that float32 would lose their differences.
    offset_ : (M,) array or None
        What is added in float64 to the operator's outputs. It is None unless predictions lie so far
        from zero.

    Examples
    --------
    >>> import numpy as np
    >>> from maddjit.integrations.sklearn import MaddnessRegressor
    >>> rng = np.random.default_rng(0)
    >>> X = rng.standard_normal((2000, 3)) @ rng.standard_normal((3, 20))
    >>> y = X @ rng.standard_normal(20)
    >>> bool(MaddnessRegressor(n_codebooks=8).fit(X, y).score(X, y) > 0.95)
    True
    """

    _method = "predict"
    _default = LinearRegression

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the estimator, learn trees and tables from these rows, and compile them.

        Parameters
        ----------
        X : (N, D) array_like or sparse matrix
            Sparse rows are made dense to learn from them: all rows, or as many as 512 MiB hold.
        y : (N,) or (N, M) array_like
            Not needed if the estimator is frozen.

        Raises
        ------
        maddjit.integrations.sklearn.ReplacementError
            A ValueError: the estimator's outputs are not linear in X.
        ValueError
            As `maddjit.fit` does; also if X does not hold numbers, or is sparse and has more than
            67108 columns.

        Warns
        -----
        AccuracyWarning
            As `maddjit.fit` does: look-ups are too coarse for these rows. Also if fewer than 20
            rows are given: then none can be kept back to measure the error on.
        """
        self._fit_product(X, y, multi_output=True, y_numeric=True)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return looked-up predictions (N,) or (N, M) of X's dtype.

        Look-ups have at most the 24 bits of float32, whatever the dtype. Predictions that lie far
        from zero (see `offset_`) are float64.

        Raises
        ------
        TypeError, ValueError
            If X is not finite, or has another number of features.
        """
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags
