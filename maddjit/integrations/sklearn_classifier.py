"""The classifier for scikit-learn: scores looked up, close calls settled if asked for."""

from __future__ import annotations

from copy import copy
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.pipeline import Pipeline
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from maddjit.integrations.sklearn_base import CompiledEstimator
from maddjit.learning.calibration import calibrate
from maddjit.pipeline import compile

_HELD_FOR_WINNERS = 0.5
"""Share of the rows that short lists are calibrated on."""


def _head(estimator: Any) -> Any:
    """Return what makes classes and probabilities of scores: a pipeline's last step."""
    if isinstance(estimator, FrozenEstimator):
        estimator = estimator.estimator
    return estimator[-1] if isinstance(estimator, Pipeline) else estimator


def _has_probabilities(self: MaddnessClassifier) -> bool:
    head = _head(getattr(self, "estimator_", self.estimator) or LogisticRegression())
    return isinstance(head, LinearClassifierMixin) and hasattr(head, "predict_proba")


class MaddnessClassifier(ClassifierMixin, CompiledEstimator):
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
        self.__dict__.pop("winners_", None)  # of another fit
        if self.exact and self.core_rank:
            raise ValueError("exact=True settles sums of tables, without a core: set core_rank=0")
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
        sklearn.exceptions.NotFittedError
            Also if `exact` was set after fitting.
        """
        rows = self._rows(X)
        if self.exact:
            check_is_fitted(self, "winners_")
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
