"""Replace a fitted scikit-learn estimator, or the last step of a pipeline, by a compiled one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from maddjit.integrations.agreement import ReplacementError
from maddjit.integrations.sklearn.classifier import MaddnessClassifier
from maddjit.integrations.sklearn.heads import REFUSALS, head_of, keeps, without_wrappers
from maddjit.integrations.sklearn.linear_map import dense_array
from maddjit.integrations.sklearn.regressor import MaddnessRegressor
from maddjit.integrations.sklearn.rows import framed, is_numbers, is_sparse
from maddjit.integrations.sklearn.transformer import MaddnessTransformer


def speed_up(estimator: Any, X: Any, **options: Any) -> Any:
    """Return an estimator like a fitted linear one, whose product is a compiled operator.

    A pipeline that is linear as a whole becomes one operator. If a pipeline is not (it takes texts,
    named columns of several kinds or sparse rows, makes polynomials, or fills missing values), its
    last step is replaced.

    Parameters
    ----------
    estimator : classifier, regressor, transformer or pipeline
        Fitted. Its `decision_function`, `predict` or `transform` must be linear in X, or in what
        the last step of the pipeline is given.
    X : (N, D) array_like or sparse matrix, or what the pipeline takes
        Rows like those that will come. No labels are needed.
    **options
        Parameters of `MaddnessClassifier` (``exact=True`` among them), `MaddnessRegressor` or
        `MaddnessTransformer`: `n_codebooks`, `method`, `time_limit` and others.

    Returns
    -------
    MaddnessClassifier, MaddnessRegressor, MaddnessTransformer or sklearn.pipeline.Pipeline
        Fitted. A clone of it keeps the given estimator, so that ``fit(X)`` needs no labels. A
        pipeline has the steps of the given one, frozen, and one of the three as its last step.

    Raises
    ------
    TypeError
        If the estimator is not a classifier, regressor or transformer.
    maddjit.integrations.sklearn.ReplacementError
        A ValueError: the outputs are not linear in X, or the estimator's answers are made of more
        than these outputs. The message says which answer differs, where and by how much.
    ValueError
        If X does not hold numbers and no pipeline turns it into numbers, or if X is sparse and too
        wide.
    sklearn.exceptions.NotFittedError
        If the estimator is not fitted.

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
    whole = _unfitted(estimator, inner, options)
    if not (keeps(inner, Pipeline) and len(inner.steps) > 1):
        return whole.fit(X)
    if _may_be_linear(getattr(inner, whole._method), X):
        try:
            return whole.fit(X)
        except ReplacementError:  # the last step alone may be linear
            pass
    return _with_last_step_replaced(inner, X, options)


def _unfitted(estimator: Any, inner: Any, options: dict[str, Any]) -> Any:
    """Return the estimator that will stand for all of another, with the same form of output."""
    kind = _kind_for(inner)
    made = kind(FrozenEstimator(estimator), **options)
    output = getattr(head_of(inner), "_sklearn_output_config", {}).get("transform")
    if output and kind is MaddnessTransformer:
        made.set_output(transform=output)
    return made


def _with_last_step_replaced(pipeline: Any, X: Any, options: dict[str, Any]) -> Any:
    """Return a pipeline of frozen steps, of which the last one is replaced."""
    *before, (name, last) = pipeline.steps
    replaced = speed_up(last, pipeline[:-1].transform(X), **options)
    frozen = [(key, FrozenEstimator(s) if hasattr(s, "fit") else s) for key, s in before]
    return Pipeline([*frozen, (name, replaced)])


def _may_be_linear(ask: Callable[[Any], Any], X: Any) -> bool:
    """Return whether a pipeline may be linear as a whole: X is dense, finite and not filled in."""
    return (
        is_numbers(X)
        and not is_sparse(X)
        and bool(np.isfinite(np.asarray(X, np.float64)).all())
        and not _fills_gaps(ask, X)
    )


def _fills_gaps(ask: Callable[[Any], Any], X: Any) -> bool:
    """Return whether numbers are the answer to a row of NaN. A product would answer with NaN."""
    row = np.full((1, np.shape(X)[1]), np.nan)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return bool(np.isfinite(dense_array(ask(framed(X)(row)))).all())
    except REFUSALS:
        return False


def _kind_for(estimator: Any) -> Any:
    """Return the class whose instance takes the place of an estimator."""
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
