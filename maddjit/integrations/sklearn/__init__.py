"""scikit-learn: regressors, classifiers and transformers whose product is a compiled operator."""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
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
    from sklearn.pipeline import Pipeline
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise missing("scikit-learn 1.6 or newer", "sklearn") from error

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.sklearn.base import CompiledEstimator
from maddjit.integrations.sklearn.classifier import MaddnessClassifier
from maddjit.integrations.sklearn.heads import head_of, keeps, without_wrappers
from maddjit.integrations.sklearn.probe import plain
from maddjit.integrations.sklearn.rows import framed, is_numbers, is_sparse

__all__ = [
    "MaddnessClassifier",
    "MaddnessRegressor",
    "MaddnessTransformer",
    "ReplacementError",
    "speed_up",
]


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
    n_prototypes, method, core_rank, time_limit, random_state
        As for `maddjit.fit`. The time is that of learning trees and tables, in seconds.
    threads : int
        As for `maddjit.compile`.

    Attributes
    ----------
    estimator_ : the fitted estimator
    operator_ : CompiledOperator
        ``operator_.model.report`` is its error beside the estimator's own predictions.
    centre_ : (D,) array or None
        Subtracted from rows before the operator has them, if they lie so far from zero (Unix time,
        map coordinates) that float32 would lose their differences.
    offset_ : (M,) array or None
        Added to what the operator gives, in float64, if predictions lie that far from zero.

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
            Sparse rows are made dense to learn from: all, or as many as 512 MiB takes.
        y : (N,) or (N, M) array_like
            Not needed if the estimator is frozen.

        Raises
        ------
        maddjit.integrations.sklearn.ReplacementError
            A ValueError: the estimator's outputs are not linear in X.
        ValueError
            As `maddjit.fit`; or X holds no numbers, or is sparse and wider than 67108 columns.

        Warns
        -----
        AccuracyWarning
            As `maddjit.fit`: look-ups are too coarse for these rows. Or fewer than 20 rows were
            given, from which none can be kept back to measure the error on.
        """
        self._fit_product(X, y, multi_output=True, y_numeric=True)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """Return (N,) or (N, M) looked-up predictions, of X's dtype; tables hold 24 bits or less.

        Predictions far from zero (`offset_`) are float64.

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


class MaddnessTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, CompiledEstimator):
    """A linear transformer whose products are looked up.

    Its outputs have the names that the estimator gives them.

    Parameters
    ----------
    estimator : transformer, optional
        Anything whose `transform` is linear in X: `PCA` (the default), `TruncatedSVD`, random
        projections. One in a `sklearn.frozen.FrozenEstimator` is not fitted again.
    n_codebooks, n_prototypes, method, core_rank, time_limit, threads, random_state
        As for `MaddnessRegressor`.

    Attributes
    ----------
    estimator_, operator_, centre_, offset_
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
        self._fit_product(X, y)
        return self

    def transform(self, X: Any) -> NDArray[Any]:
        """Return (N, M) looked-up outputs, of X's dtype.

        Raises
        ------
        TypeError, ValueError
            If X is not finite, or has another number of features.
        """
        return self._outputs(X)

    def get_feature_names_out(self, input_features: Any = None) -> NDArray[Any]:
        """Return the estimator's names of the outputs; if it has none, the class's and a number."""
        try:
            names: NDArray[Any] = self.estimator_.get_feature_names_out(input_features)
        except AttributeError:
            names = super().get_feature_names_out(input_features)
        return names

    @property
    def _n_features_out(self) -> int:
        return int(self.operator_.model.n_outputs)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags


def speed_up(estimator: Any, X: Any, **options: Any) -> Any:
    """Return a fitted linear estimator's like, with a compiled operator for its product.

    A pipeline that is linear as a whole becomes one operator. Of any other one (of texts, named
    columns of several kinds, sparse rows, polynomials, or that fills missing values) the last step
    is replaced.

    Parameters
    ----------
    estimator : classifier, regressor, transformer or pipeline
        Fitted; its `decision_function`, `predict` or `transform` must be linear in X, or in what
        the last step of the pipeline is given.
    X : (N, D) array_like or sparse matrix, or what the pipeline takes
        Rows like those that will come; the labels are not needed.
    **options
        Of `MaddnessClassifier` (``exact=True`` among them), `MaddnessRegressor` or
        `MaddnessTransformer`: `n_codebooks`, `method`, `time_limit` and others.

    Returns
    -------
    MaddnessClassifier, MaddnessRegressor, MaddnessTransformer or sklearn.pipeline.Pipeline
        Fitted; a clone of it remembers the estimator and is fitted by any ``fit(X)``. A pipeline
        has the steps of the given one, frozen, and one of the three as its last step.

    Raises
    ------
    TypeError
        If the estimator is none of the three.
    maddjit.integrations.sklearn.ReplacementError
        A ValueError: its outputs are not linear in X, or its answers are made of more than them.
        The message says which answer differs, where and by how much.
    ValueError
        If X holds no numbers and there is no pipeline that makes them, or is sparse and too wide.
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
    inner = without_wrappers(estimator)
    steps = inner.steps if keeps(inner, Pipeline) else []
    made = _kind_of(inner)
    whole = made(FrozenEstimator(estimator), **options)
    output = getattr(head_of(inner), "_sklearn_output_config", {}).get("transform")
    if output and made is MaddnessTransformer:
        whole.set_output(transform=output)
    if len(steps) < 2:
        return whole.fit(X)
    if (
        is_numbers(X)
        and not is_sparse(X)
        and np.isfinite(np.asarray(X, np.float64)).all()
        and not _fills_gaps(getattr(inner, whole._method), X)
    ):
        try:
            return whole.fit(X)
        except ReplacementError:  # of the whole; the last step may be linear
            pass
    last = speed_up(steps[-1][1], inner[:-1].transform(X), **options)
    frozen = [(name, FrozenEstimator(s) if hasattr(s, "fit") else s) for name, s in steps[:-1]]
    return Pipeline([*frozen, (steps[-1][0], last)])


def _fills_gaps(ask: Any, X: Any) -> bool:
    """Return whether an estimator answers a row of NaN by numbers, which a product does not."""
    row = np.full((1, np.shape(X)[1]), np.nan)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(np.isfinite(plain(ask(framed(X)(row)))).all())
    except (AttributeError, LookupError, TypeError, ValueError):
        return False


def _kind_of(estimator: Any) -> Any:
    """Return which of the three takes the place of an estimator."""
    if is_classifier(estimator):
        return MaddnessClassifier
    if is_regressor(estimator):
        return MaddnessRegressor
    if hasattr(estimator, "transform"):
        return MaddnessTransformer
    raise TypeError(
        f"{type(estimator).__name__} is no classifier, regressor or transformer, and has no "
        "product to speed up"
    )
