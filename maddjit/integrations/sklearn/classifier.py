"""The classifier for scikit-learn: scores are looked up, and close calls settled if asked for."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin
from sklearn.linear_model import LogisticRegression
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from maddjit.integrations.agreement import ReplacementError, check_same
from maddjit.integrations.sklearn.base import CompiledEstimator
from maddjit.integrations.sklearn.heads import (
    ANSWERS,
    answer_from_scores,
    head_of,
    names_the_largest,
    shown,
)
from maddjit.integrations.sklearn.linear_map import LinearMap, dense_array
from maddjit.integrations.sklearn.rows import framed
from maddjit.learning.maddness.options import Method
from maddjit.learning.winners.calibration import calibrate
from maddjit.models.short_list import CoverageError
from maddjit.pipeline import compile

_HELD_FOR_WINNERS = 0.5
"""The share of the rows that short lists are calibrated on."""
_LOST = 2.0**17
"""The ratio of scores to their spread at which float32, with 24 bits, loses 1 % of the spread."""
_REMEDY = "so it is made of more than the scores, which are all that is compiled"


def _estimator_has(method: str) -> Callable[[Any], bool]:
    """Return a function that tells whether a classifier's estimator has a method."""

    def has(self: Any) -> bool:
        estimator = getattr(self, "estimator_", self.estimator)
        return hasattr(LogisticRegression() if estimator is None else estimator, method)

    return has


class MaddnessClassifier(ClassifierMixin, CompiledEstimator):
    """A linear classifier whose decision function is looked up.

    The estimator's own methods make classes, indicator matrices of several labels and
    probabilities from the scores, and thresholds that were set stay. `fit` proves on sample rows
    that exact scores give the estimator's own answers.

    Parameters
    ----------
    estimator : classifier, optional
        Anything with a `decision_function` that is linear in X; `LogisticRegression` by
        default. An estimator in a `sklearn.frozen.FrozenEstimator` is not fitted again.
    exact : bool
        Whether `predict` settles close calls by exact products, so that it gives the estimator's
        own classes with the probability `coverage`. Half of the rows then serve to learn, the other
        half to calibrate. A coverage of .999 needs 1110 rows in the second half.
    coverage : float
        The probability with which `predict` gives the estimator's own class, if `exact`.
    n_codebooks, n_prototypes, method, core_rank, time_limit, threads, random_state
        As for `MaddnessRegressor`. With ``exact=True``, `core_rank` must be 0.

    Attributes
    ----------
    estimator_, operator_, centre_
        As for `MaddnessRegressor`.
    winners_ : WinnerOperator
        What names classes, if `exact`. Its `monitor` and `audit` watch for rows unlike those that
        it was calibrated on.
    classes_ : (n_classes,) array
        The classes, as the estimator has them.

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
        method: Method = "best",
        core_rank: int = 0,
        time_limit: float | None = None,
        threads: int = 1,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            estimator,
            n_codebooks=n_codebooks,
            n_prototypes=n_prototypes,
            method=method,
            core_rank=core_rank,
            time_limit=time_limit,
            threads=threads,
            random_state=random_state,
        )
        self.exact = exact
        self.coverage = coverage

    def fit(self, X: Any, y: Any = None) -> Self:
        """Fit the estimator, learn trees and tables from these rows, and compile them.

        Parameters, errors and warnings are those of `MaddnessRegressor.fit`. A
        `maddjit.CoverageError`, which is a ValueError, says that there are too few rows for the
        coverage.
        """
        self.__dict__.pop("winners_", None)  # those of an earlier fit
        rows = self._fit_estimator(X, y, multi_output=True)
        found = self._linear_map(rows, X)
        self._check_answers(found, X)
        self.classes_ = self.estimator_.classes_
        dense, B, bias = self._placed(found, rows)
        if self.exact:
            self._check_exact(len(dense))
            self._fit_winners(dense, B, bias)
        else:
            self._compile(self._learn(dense, B, bias), dense)
        return self

    def _fit_winners(self, dense: NDArray[Any], B: NDArray[Any], bias: NDArray[Any]) -> None:
        """Learn from half of the rows, calibrate on the others, and compile both operators."""
        if self._is_flat:  # two classes have one score: the first class gets the score 0
            B, bias = np.pad(B, ((0, 0), (1, 0))), np.pad(bias, (1, 0))
        order = np.random.default_rng(self.random_state).permutation(len(dense))
        held, kept = np.split(order, [int(_HELD_FOR_WINNERS * len(dense))])
        model = calibrate(self._learn(dense[kept], B, bias), dense[held], B, bias=bias)
        self._compile(model, dense)
        self.winners_ = compile(
            model,
            result="argmax",
            coverage=self.coverage,
            dtype=dense.dtype.name,
            threads=self.threads,
        )

    def _check_answers(self, found: LinearMap, X: Any) -> None:
        """Prove that the head's answers from the estimator's scores are the estimator's answers.

        The scores here are the estimator's own, so labels must be equal; there are no near ties
        to forgive. Probabilities take the same steps, but sums over M classes may be taken in
        another order: that may cost M u times their size, and 8 further roundings.
        """
        if found.outputs_are_far(_LOST):
            raise ReplacementError(
                f"scores of {shown(self.estimator_)} are so large beside their spread that "
                "float32 cannot hold them"
            )
        self._head = head_of(self.estimator_)
        self._is_flat = found.is_flat
        x = framed(X)(found.rows)
        scores = found.answers
        for method in ANSWERS:
            if not hasattr(self.estimator_, method):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as log(0), of which both warn
                expected = getattr(self.estimator_, method)(x)
                if method == "predict":
                    self._takes_largest = expected.ndim == 1 and names_the_largest(
                        self._head, self._is_flat
                    )
                answer = self._answer(method, scores)
            what = f"{method} of {shown(self.estimator_)}"
            if method == "predict":
                bound: Any = 0.0
                check_same(f"the dtype of {what}", [expected.dtype.name], [answer.dtype.name])
            else:
                finite = np.where(np.isfinite(expected), np.abs(expected), 0.0)
                width = scores.shape[1] if scores.ndim == 2 else 2
                bound = (width + 8) * np.finfo(expected.dtype).eps * np.maximum(1, finite)
            check_same(what, dense_array(expected), dense_array(answer), bound, _REMEDY)

    def _check_exact(self, n_rows: int) -> None:
        """Refuse, before learning, options and rows that calibration would refuse after it."""
        if not self._takes_largest:
            raise ReplacementError(
                f"exact=True settles which score is largest, and predict of "
                f"{shown(self.estimator_)} is not the class of the largest: set exact=False"
            )
        if self.core_rank:
            raise ValueError(f"exact=True needs core_rank=0, not {self.core_rank}")
        if not 0 < self.coverage < 1:
            raise CoverageError(f"coverage must be above 0 and below 1, not {self.coverage}")
        needed = self.coverage / (1 - self.coverage)
        if int(_HELD_FOR_WINNERS * n_rows) < needed * (1 - 1e-12):
            raise CoverageError(
                f"exact=True with coverage {self.coverage:g} needs some {2.25 * needed:.0f} rows, "
                f"of which half calibrate, and X has {n_rows}: give more rows or a lower coverage"
            )

    def decision_function(self, X: Any) -> NDArray[Any]:
        """Return looked-up scores, (N,) for two classes and (N, n_classes) for more.

        Raises
        ------
        TypeError, ValueError
            If X is not finite, or has another number of features.
        """
        return self._outputs(X)

    def predict(self, X: Any) -> Any:
        """Return classes (N,): those of the best looked-up scores, or settled ones if `exact`.

        With several labels, return the indicator matrix (N, n_classes), as the estimator does.

        Raises
        ------
        TypeError, ValueError
            If X is not finite, or has another number of features.
        sklearn.exceptions.NotFittedError
            Also if `exact` was set after fitting.
        """
        if not self.exact and not getattr(self, "_takes_largest", True):
            return self._answer("predict", self._outputs(X))
        rows = self._rows(X)
        if self.exact:
            check_is_fitted(
                self, "winners_", msg="exact=True was set after %(name)s was fitted: fit it again"
            )
            best = self._each(self.winners_, rows)
        elif self._is_flat:
            best = (self._each(self.operator_, rows)[:, 0] > 0).astype(int)
        else:
            best = self._each(self.operator_.argmax, rows)
        return self.classes_[best]

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X: Any) -> NDArray[Any]:
        """Return probabilities (N, n_classes), which the estimator makes from looked-up scores."""
        answer: NDArray[Any] = self._answer("predict_proba", self._outputs(X))
        return answer

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X: Any) -> NDArray[Any]:
        """Return the logarithms (N, n_classes) of `predict_proba`."""
        answer: NDArray[Any] = self._answer("predict_log_proba", self._outputs(X))
        return answer

    def _answer(self, method: str, scores: NDArray[Any]) -> Any:
        """Return the answer that a method of the estimator makes from scores."""
        if method == "predict" and self._takes_largest:
            best = (scores > 0).astype(int) if scores.ndim == 1 else scores.argmax(axis=1)
            return self.estimator_.classes_[best]
        return answer_from_scores(self._head, method, scores)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags = self._inner_tags().classifier_tags or tags.classifier_tags
        return tags
