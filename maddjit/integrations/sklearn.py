"""scikit-learn: regressors, classifiers and transformers whose product is a compiled operator."""

from __future__ import annotations

import warnings
from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.extras import missing
from maddjit.learning.calibration import calibrate
from maddjit.learning.fit import fit
from maddjit.pipeline import compile

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        RegressorMixin,
        TransformerMixin,
        clone,
        is_classifier,
        is_regressor,
    )
    from sklearn.decomposition import PCA
    from sklearn.frozen import FrozenEstimator
    from sklearn.linear_model import LinearRegression, LogisticRegression
    from sklearn.linear_model._base import LinearClassifierMixin
    from sklearn.pipeline import Pipeline
    from sklearn.utils.metaestimators import available_if
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise missing("scikit-learn 1.6 or newer", "sklearn") from error

_DTYPES = (np.float64, np.float32)
_PROBED = 1024
"""Unit vectors that an estimator is asked about at a time."""
_CHECKED = 100
_TOLERANCE = 1e-3
"""Share of the largest output by which an estimator may differ from its linear map."""
_HELD_FOR_WINNERS = 0.5
"""Share of the rows that short lists are calibrated on."""


class _Compiled(BaseEstimator):
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
        self.estimator_ = clone(estimator).fit(rows, y)
        return rows

    def _affine(self, rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return B (D, M) and the bias (M,) of the estimator's outputs, checked on some rows."""
        ask = getattr(self.estimator_, self._method)
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
                f"{self._method} of {self.estimator_!r} is not a product with one matrix and a "
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


class MaddnessRegressor(RegressorMixin, _Compiled):
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


def _head(estimator: Any) -> Any:
    """Return what makes classes and probabilities of scores: a pipeline's last step."""
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def _has_probabilities(self: MaddnessClassifier) -> bool:
    head = _head(getattr(self, "estimator_", self.estimator) or LogisticRegression())
    return isinstance(head, LinearClassifierMixin) and hasattr(head, "predict_proba")


class MaddnessClassifier(ClassifierMixin, _Compiled):
    """A linear classifier whose decision function is looked up.

    Parameters
    ----------
    estimator : classifier, optional
        Anything with a `decision_function` that is linear in X; `LogisticRegression` by
        default. One in a `sklearn.frozen.FrozenEstimator` is not fitted again.
    exact : bool
        Whether `predict` settles close calls by exact products, so that it gives the estimator's
        own classes with the probability `coverage`. Half of the rows then serve to learn, the other
        half to calibrate; 1110 of them are needed for a coverage of .999.
    coverage : float
    n_codebooks, n_prototypes, core_rank, threads, random_state
        As for `MaddnessRegressor`; an exact one has no core.

    Attributes
    ----------
    estimator_, operator_
        As for `MaddnessRegressor`.
    winners_ : WinnerOperator
        If `exact`; its `monitor` and `audit` watch for other rows.
    classes_ : (n_classes,) array

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from maddjit.integrations.sklearn import MaddnessClassifier
    >>> X, y = load_digits(return_X_y=True)
    >>> bool(MaddnessClassifier(n_codebooks=32).fit(X / 16, y).score(X / 16, y) > 0.95)
    True
    """

    _method = "decision_function"
    _default = LogisticRegression

    def __init__(
        self,
        estimator: Any = None,
        *,
        exact: bool = False,
        coverage: float = 0.999,
        n_codebooks: int | None = None,
        n_prototypes: int = 16,
        core_rank: int = 0,
        threads: int = 1,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            n_codebooks=n_codebooks,
            n_prototypes=n_prototypes,
            core_rank=core_rank,
            threads=threads,
            random_state=random_state,
        )
        self.exact = exact
        self.coverage = coverage

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the estimator, learn trees and tables from these rows, and compile them.

        Parameters, errors and warnings are those of `MaddnessRegressor.fit`; further a
        `maddjit.CoverageError` if there are too few rows for the coverage.
        """
        rows = self._fit_estimator(X, y)
        self.classes_ = self.estimator_.classes_
        B, bias = self._affine(rows)
        if not self.exact:
            self._compile(self._learn(rows, B, bias), rows)
            return self
        if self._is_flat:  # of two classes: the first one's output is 0
            B, bias = np.pad(B, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
        order = np.random.default_rng(self.random_state).permutation(len(rows))
        held, kept = np.split(order, [int(_HELD_FOR_WINNERS * len(rows))])
        model = calibrate(self._learn(rows[kept], B, bias), rows[held], B, bias=bias)
        self._compile(model, rows)
        self.winners_ = compile(
            model,
            result="argmax",
            coverage=self.coverage,
            dtype=rows.dtype.name,
            threads=self.threads,
        )
        return self

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return (N,) or (N, n_classes) looked-up scores; parameters and errors of `predict`."""
        return self._outputs(X)

    def predict(self, X: Any) -> NDArray[Any]:
        """Return (N,) classes: of the best looked-up scores, or the settled ones if `exact`.

        Raises
        ------
        TypeError, ValueError
            If X is sparse, not finite, or has another number of features.
        """
        rows = self._rows(X)
        if self.exact:
            best = self.winners_(rows)
        elif self._is_flat:
            best = (self.operator_(rows)[:, 0] > 0).astype(int)
        else:
            best = self.operator_.argmax(rows)
        classes: NDArray[Any] = self.classes_[best]
        return classes

    @available_if(_has_probabilities)
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return (N, n_classes): what the estimator makes of looked-up scores."""
        return self._of_scores("predict_proba", X)

    @available_if(_has_probabilities)
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return (N, n_classes): the logarithms of `predict_proba`."""
        return self._of_scores("predict_log_proba", X)

    def _of_scores(self, method: str, X: Any) -> NDArray[Any]:
        scores = self.decision_function(X)
        head = copy(_head(self.estimator_))
        head.decision_function = _as_it_is
        answer: NDArray[Any] = getattr(head, method)(scores)
        return answer


def _as_it_is(scores: NDArray[Any]) -> NDArray[Any]:
    return scores


class MaddnessTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _Compiled):
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
