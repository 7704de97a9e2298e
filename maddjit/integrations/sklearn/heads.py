"""What makes classes and probabilities of a classifier's scores: the classifier's own methods."""

from __future__ import annotations

from copy import copy
from inspect import getattr_static
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import VotingClassifier
from sklearn.feature_selection import RFE
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import RidgeClassifier
from sklearn.linear_model._base import LinearClassifierMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier
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


_LONG = 100
"""Characters of an estimator's text that errors show."""

_IN_PAIRS = (SVC, NuSVC, OneVsOneClassifier)
_ADVICE = {
    _IN_PAIRS: "several classes vote in pairs here, and each for itself in LinearSVC and in "
    "OneVsRestClassifier, which are products if their kernel is linear",
    (MultiOutputClassifier, ClassifierChain): "OneVsRestClassifier takes several labels, too",
    CalibratedClassifierCV: "speed up its classifier, and calibrate the result in a "
    "FrozenEstimator",
    VotingClassifier: "speed up each of its classifiers",
}


def shown(estimator: Any) -> str:
    """Return an estimator's text, without a frozen one around it; its class if that is long."""
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    text = " ".join(repr(inner).split())
    return text if len(text) <= _LONG else type(inner).__name__


def keeps(estimator: Any, kind: type) -> bool:
    """Return whether the estimator is of that kind and overrides none of its answers."""
    return isinstance(estimator, kind) and all(
        getattr_static(type(estimator), name, None) is getattr_static(kind, name, None)
        for name in (*ANSWERS, "decision_function", "transform")
    )


def without_wrappers(estimator: Any) -> Any:
    """Return the estimator inside frozen ones, searches and selections of columns of its own."""
    for kind, name in _HAND_ON.items():
        if keeps(estimator, kind) and hasattr(estimator, name):  # searches may keep no best one
            return without_wrappers(getattr(estimator, name))
    return estimator


def head_of(estimator: Any) -> Any:
    """Return the part that makes answers of scores: a pipeline's last step, a search's best."""
    inner = without_wrappers(estimator)
    return head_of(inner.steps[-1][1]) if keeps(inner, Pipeline) else inner


def names_the_largest(head: Any, is_flat: bool) -> bool:
    """Return whether `predict` is known to name the class of the largest score, or of a sign."""
    own = getattr_static(type(head), "predict", None)
    for kind in (LinearClassifierMixin, RidgeClassifier):  # they ask their own decision function
        if isinstance(head, kind) and own is getattr_static(kind, "predict"):
            return True
    voting = not is_flat and isinstance(head, (SVC, NuSVC))  # in pairs of classes
    return any(keeps(head, kind) for kind in (OneVsRestClassifier, SVC, NuSVC)) and not voting


def advice_for(head: Any) -> str:
    """Return what to do about a kind of classifier that is refused, if something is known."""
    for kind, advice in _ADVICE.items():
        two = kind is _IN_PAIRS and len(getattr(head, "classes_", ())) == 2
        if isinstance(head, kind) and not two:
            return f"; {advice}"
    return ""


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
            f"{method} of {shown(head)} cannot be made of its decision function alone, which is "
            f"all that is compiled{advice_for(head)}: {error}"
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
