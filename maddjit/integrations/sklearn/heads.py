"""Heads of classifiers: the methods that make classes and probabilities from scores."""

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
"""The methods of classifiers whose answers are made from scores."""

REFUSALS = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""Errors by which estimators refuse what they are asked."""

_HAND_ON = {
    FrozenEstimator: "estimator",
    BaseSearchCV: "best_estimator_",
    RFE: "estimator_",
    SelfTrainingClassifier: "estimator_",
}
"""Estimators that pass the same or selected columns to another one, and its answers on."""

_LONG = 100
"""The number of characters up to which errors show an estimator's text."""

_IN_PAIRS = (SVC, NuSVC, OneVsOneClassifier)
"""Classifiers in which pairs of classes vote."""
_ADVICE = {
    _IN_PAIRS: "several classes vote in pairs here, and each for itself in LinearSVC and in "
    "OneVsRestClassifier, which are products if their kernel is linear",
    (MultiOutputClassifier, ClassifierChain): "OneVsRestClassifier takes several labels, too",
    CalibratedClassifierCV: "speed up its classifier, and calibrate the result in a "
    "FrozenEstimator",
    VotingClassifier: "speed up each of its classifiers",
}
"""The end of errors about some kinds of classifiers."""


def shown(estimator: Any) -> str:
    """Return the text of an estimator, taken out of a frozen one; only its class if it is long."""
    inner = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    text = " ".join(repr(inner).split())
    return text if len(text) <= _LONG else type(inner).__name__


def keeps(estimator: Any, kind: type) -> bool:
    """Return whether an estimator is of a kind and overrides none of the kind's answers."""
    return isinstance(estimator, kind) and all(
        getattr_static(type(estimator), name, None) is getattr_static(kind, name, None)
        for name in (*ANSWERS, "decision_function", "transform")
    )


def without_wrappers(estimator: Any) -> Any:
    """Return the estimator that is left without freezing, searches and selections of columns."""
    for kind, name in _HAND_ON.items():
        if keeps(estimator, kind) and hasattr(estimator, name):  # a search may have no best one
            return without_wrappers(getattr(estimator, name))
    return estimator


def head_of(estimator: Any) -> Any:
    """Return the part that makes answers from scores: a pipeline's last step, a search's best."""
    inner = without_wrappers(estimator)
    return head_of(inner.steps[-1][1]) if keeps(inner, Pipeline) else inner


def names_the_largest(head: Any, is_flat: bool) -> bool:
    """Return whether `predict` is known to take the class of the largest score, or of the sign."""
    own = getattr_static(type(head), "predict", None)
    for kind in (LinearClassifierMixin, RidgeClassifier):  # these use their decision function
        if isinstance(head, kind) and own is getattr_static(kind, "predict"):
            return True
    voting = not is_flat and isinstance(head, (SVC, NuSVC))  # pairs of classes vote
    return any(keeps(head, kind) for kind in (OneVsRestClassifier, SVC, NuSVC)) and not voting


def advice_for(head: Any) -> str:
    """Return the end of an error: what to do about this kind of classifier, if that is known."""
    for kind, advice in _ADVICE.items():
        two = kind is _IN_PAIRS and len(getattr(head, "classes_", ())) == 2
        if isinstance(head, kind) and not two:
            return f"; {advice}"
    return ""


def answer_from_scores(head: Any, method: str, scores: NDArray[Any]) -> Any:
    """Return what a classifier's method answers if its decision function gives these scores.

    Raises
    ------
    ReplacementError
        If the method uses more than the scores.
    """
    try:
        return getattr(_with_scores(head, scores), method)(scores)
    except REFUSALS as error:
        raise ReplacementError(
            f"{method} of {shown(head)} cannot be made of its decision function alone, which is "
            f"all that is compiled{advice_for(head)}: {error}"
        ) from error


def _with_scores(head: Any, scores: NDArray[Any]) -> Any:
    """Return a copy of the classifier whose decision function gives these scores."""
    fake = copy(head)
    fake.decision_function = lambda X: scores.copy(order="K")  # some heads change it in place
    if keeps(head, OneVsRestClassifier):
        columns = scores.T if scores.ndim == 2 else scores[np.newaxis]
        fake.estimators_ = [
            _with_scores(head_of(each), column)
            if hasattr(each, "classes_")
            else _without_columns(each)
            for each, column in zip(head.estimators_, columns, strict=True)
        ]
    elif hasattr(head, "estimator_"):  # classifiers that set a threshold have one
        fake.estimator_ = _with_scores(head_of(head.estimator_), scores)
    return fake


def _without_columns(constant: Any) -> Any:
    """Return a copy of a predictor that knows one class, which takes rows of any width."""
    fake = copy(constant)
    vars(fake).pop("n_features_in_", None)
    return fake
