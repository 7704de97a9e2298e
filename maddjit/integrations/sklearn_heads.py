"""What makes classes and probabilities of a classifier's scores: the classifier's own methods."""

from __future__ import annotations

from copy import copy
from inspect import getattr_static
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import SVC, NuSVC

from maddjit.integrations.agreement import ReplacementError

ANSWERS = ("predict", "predict_proba", "predict_log_proba")
"""What classifiers answer beside their scores."""

_HAND_ON = {
    FrozenEstimator: "estimator",
    BaseSearchCV: "best_estimator_",
    RFE: "estimator_",
    SelfTrainingClassifier: "estimator_",
}
"""Estimators whose answers are those of another one to the same or selected columns."""


def keeps(estimator: Any, kind: type) -> bool:
    """Return whether the estimator is of that kind and overrides none of its answers."""
    return isinstance(estimator, kind) and all(
        getattr_static(type(estimator), name, None) is getattr_static(kind, name, None)
        for name in (*ANSWERS, "decision_function", "transform")
    )


def without_wrappers(estimator: Any) -> Any:
    """Return the estimator inside frozen ones, searches and selections of columns of its own."""
    for kind, name in _HAND_ON.items():
        if keeps(estimator, kind):
            return without_wrappers(getattr(estimator, name))
    return estimator


def head_of(estimator: Any) -> Any:
    """Return the part that makes answers of scores: a pipeline's last step, a search's best."""
    inner = without_wrappers(estimator)
    return head_of(inner.steps[-1][1]) if keeps(inner, Pipeline) else inner


def names_the_largest(head: Any, is_flat: bool) -> bool:
    """Return whether `predict` is known to name the class of the largest score, or of a sign."""
    known = [LinearClassifierMixin, RidgeClassifier, OneVsRestClassifier]
    known += [SVC, NuSVC] if is_flat else []  # more classes vote in pairs
    own = getattr_static(type(head), "predict", None)
    return any(isinstance(head, each) and own is getattr_static(each, "predict") for each in known)


def of_scores(head: Any, method: str, scores: NDArray[Any]) -> Any:
    """Return what a classifier's method answers if its decision function gives these scores.

    Raises
    ------
    ReplacementError
        If the method asks for more than scores.
    """
    try:
        return getattr(_with_scores(head, scores), method)(scores)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise ReplacementError(
            f"{method} of {head!r} cannot be made of its decision function alone, which is all "
            f"that is compiled: {error}"
        ) from error


def _with_scores(head: Any, scores: NDArray[Any]) -> Any:
    """Return a copy of the classifier whose decision function gives these scores."""
    fake = copy(head)
    fake.decision_function = lambda X: scores.copy(order="K")  # some work in place
    if keeps(head, OneVsRestClassifier):
        columns = scores.T if scores.ndim == 2 else scores[np.newaxis]
        fake.estimators_ = [
            _with_scores(head_of(each), column)
            if hasattr(each, "classes_")
            else _without_columns(each)
            for each, column in zip(head.estimators_, columns, strict=True)
        ]
    elif hasattr(head, "estimator_"):  # of those that set a threshold
        fake.estimator_ = _with_scores(head_of(head.estimator_), scores)
    return fake


def _without_columns(constant: Any) -> Any:
    """Return a copy of a predictor of one class that takes rows of any width."""
    fake = copy(constant)
    vars(fake).pop("n_features_in_", None)
    return fake
