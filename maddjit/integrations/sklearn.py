"""scikit-learn: regressors, classifiers and transformers whose product is a compiled operator."""

from __future__ import annotations

from typing import Any, Self

from numpy.typing import NDArray

from maddjit.integrations.extras import missing

try:
    from sklearn.base import (
        ClassNamePrefixFeaturesOutMixin,
        RegressorMixin,
        TransformerMixin,
        is_classifier,
        is_regressor,
    )
    from sklearn.decomposition import PCA
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LinearRegression
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise missing("scikit-learn 1.6 or newer", "sklearn") from error

from maddjit.integrations.sklearn_base import CompiledEstimator
from maddjit.integrations.sklearn_classifier import MaddnessClassifier

__all__ = ["MaddnessClassifier", "MaddnessRegressor", "MaddnessTransformer", "speed_up"]


class MaddnessRegressor(RegressorMixin, CompiledEstimator):
    """A linear regressor whose predictions are looked up.

    `fit` fits the estimator, then trees and tables for its coefficients on the same rows, and
    compiles them.

    Parameters
    ----------
    estimator : regressor, optional
        Anything whose predictions are linear in X, pipelines with a scaler among them;
        ordinary least squares by default. One in a `sklearn.frozen.FrozenEstimator` is not fitted
        again, and then `fit` needs no y.
    n_codebooks : int, optional
        By default 16, or as many as there are features if that is less.
    n_prototypes, core_rank, random_state
        As for `maddjit.fit`.
    threads : int
        As for `maddjit.compile`.

    Attributes
    ----------
    estimator_ : the fitted estimator
    operator_ : CompiledOperator
        ``operator_.model.report`` is its error beside the estimator's own predictions.

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
        X : (N, D) array_like
        y : (N,) or (N, M) array_like
            Not needed if the estimator is frozen.

        Raises
        ------
        ValueError
            If the estimator's outputs are not linear in X, or as `maddjit.fit`.
        TypeError
            If X is sparse.

        Warns
        -----
        AccuracyWarning
            As `maddjit.fit`: look-ups are too coarse for these rows.
        """
        rows = self._fit_estimator(X, y, multi_output=True, y_numeric=True)
        self._compile(self._learn(rows, *self._affine(rows)), rows)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return (N,) or (N, M) looked-up predictions, of X's dtype; tables hold 24 bits or less.

        Raises
        ------
        TypeError, ValueError
            If X is sparse, not finite, or has another number of features.
        """
        return self._outputs(X)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags


class MaddnessTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CompiledEstimator):
    """A linear transformer whose products are looked up.

    Parameters
    ----------
    estimator : transformer, optional
        Anything whose `transform` is linear in X: `PCA` (the default), `TruncatedSVD`, random
        projections. One in a `sklearn.frozen.FrozenEstimator` is not fitted again.
    n_codebooks, n_prototypes, core_rank, threads, random_state
        As for `MaddnessRegressor`.

    Attributes
    ----------
    estimator_, operator_
        As for `MaddnessRegressor`.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.decomposition import PCA
    >>> from maddjit.integrations.sklearn import MaddnessTransformer
    >>> X = load_digits().data
    >>> MaddnessTransformer(PCA(8), n_codebooks=32).fit(X).transform(X).shape
    (1797, 8)
    """

    _method = "transform"
    _default = PCA

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the estimator, learn trees and tables from these rows, and compile them.

        Parameters, errors and warnings are those of `MaddnessRegressor.fit`; y goes to the
        estimator.
        """
        rows = self._fit_estimator(X, y)
        self._compile(self._learn(rows, *self._affine(rows)), rows)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return (N, M) looked-up outputs, of X's dtype.

        Raises
        ------
        TypeError, ValueError
            If X is sparse, not finite, or has another number of features.
        """
        return self._outputs(X)

    @property
    def _n_features_out(self) -> int:
        return int(self.operator_.model.n_outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def speed_up(estimator: Any, X: Any, **options: Any) -> Any:
    """Return a fitted linear estimator's like, with a compiled operator for its product.

    Parameters
    ----------
    estimator : classifier, regressor or transformer
        Fitted; its `decision_function`, `predict` or `transform` must be linear in X.
    X : (N, D) array_like
        Rows like those that will come; the labels are not needed.
    **options
        Of `MaddnessClassifier` (``exact=True`` among them), `MaddnessRegressor` or
        `MaddnessTransformer`.

    Returns
    -------
    MaddnessClassifier, MaddnessRegressor or MaddnessTransformer
        Fitted; a clone of it remembers the estimator and is fitted by any ``fit(X)``.

    Raises
    ------
    TypeError
        If the estimator is none of the three, or X is sparse.
    ValueError
        If its outputs are not linear in X.
    sklearn.exceptions.NotFittedError
        If it is not fitted.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import RidgeClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> fitted = RidgeClassifier().fit(X, y)
    >>> fast = speed_up(fitted, X, n_codebooks=32)
    >>> bool((fast.predict(X) == fitted.predict(X)).mean() > 0.9)
    True
    """
    check_is_fitted(estimator)
    made: Any
    if is_classifier(estimator):
        made = MaddnessClassifier
    elif is_regressor(estimator):
        made = MaddnessRegressor
    elif hasattr(estimator, "transform"):
        made = MaddnessTransformer
    else:
        raise TypeError(
            f"{type(estimator).__name__} is no classifier, regressor or transformer, and has no "
            "product to speed up"
        )
    return made(FrozenEstimator(estimator), **options).fit(X)
