"""scikit-learn's own checks of the estimators, and that they do what those they wrap do."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="scikit-learn 1.6 is not installed")

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import (
    LinearRegression,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
)
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils.estimator_checks import parametrize_with_checks

import maddjit
from maddjit.integrations.sklearn import (
    MaddnessClassifier,
    MaddnessRegressor,
    MaddnessTransformer,
    ReplacementError,
    speed_up,
)


@pytest.mark.quick(50)
@pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")  # rows of noise, for the most part
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
@parametrize_with_checks([MaddnessRegressor(), MaddnessClassifier(), MaddnessTransformer()])
def test_the_library_s_checks(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def digits() -> tuple[Any, Any]:
    X, y = load_digits(return_X_y=True)
    return X[:1000] / 16, y[:1000]


CLASSIFIERS = [
    LogisticRegression(max_iter=1000),
    LinearSVC(),
    RidgeClassifier(),
    SGDClassifier(loss="log_loss", random_state=0),
    LinearDiscriminantAnalysis(),
    make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
]


@pytest.mark.quick(2)
@pytest.mark.filterwarnings("ignore:Variables are collinear")
@pytest.mark.parametrize("unfitted", CLASSIFIERS, ids=lambda each: type(each).__name__)
def test_classifiers_keep_their_classes(digits: tuple[Any, Any], unfitted: Any) -> None:
    X, y = digits
    fitted = clone(unfitted).fit(X, y)
    fast = speed_up(fitted, X, n_codebooks=24)
    assert np.mean(fast.predict(X) == fitted.predict(X)) > 0.95
    assert fast.decision_function(X).shape == (len(X), 10)
    assert fast.operator_.model.report.nmse < 0.06
    if hasattr(fitted, "predict_proba"):
        expected, found = fitted.predict_proba(X), fast.predict_proba(X)
        assert np.allclose(found.sum(axis=1), 1)
        assert np.abs(found - expected).mean() < 0.03
    else:
        assert not hasattr(fast, "predict_proba")


def test_probabilities_are_the_estimator_s_own_of_the_scores(digits: tuple[Any, Any]) -> None:
    X, y = digits
    fast = speed_up(LogisticRegression(max_iter=1000).fit(X, y), X)
    scores = fast.decision_function(X)
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    assert np.allclose(fast.predict_proba(X), powers / powers.sum(axis=1, keepdims=True))
    assert np.allclose(np.exp(fast.predict_log_proba(X)), fast.predict_proba(X))


@pytest.mark.parametrize("n_classes", [2, 10])
def test_exact_classes(digits: tuple[Any, Any], n_classes: int) -> None:
    X, y = digits
    y = y % n_classes
    fitted = RidgeClassifier().fit(X, y)
    fast = speed_up(fitted, X, exact=True, coverage=0.99)
    assert np.mean(fast.predict(X) == fitted.predict(X)) > 0.985
    assert fast.decision_function(X).shape == fitted.decision_function(X).shape
    assert (
        np.corrcoef(fast.decision_function(X).ravel(), fitted.decision_function(X).ravel())[0, 1]
        > 0.9
    )
    with pytest.raises(maddjit.CoverageError):
        speed_up(fitted, X[:200], exact=True, coverage=0.9999)


def test_exact_set_later_needs_another_fit(digits: tuple[Any, Any]) -> None:
    X, y = digits
    fast = speed_up(RidgeClassifier().fit(X, y), X, exact=True, coverage=0.99)
    assert not hasattr(fast.set_params(exact=False).fit(X), "winners_")
    with pytest.raises(NotFittedError):
        fast.set_params(exact=True).predict(X)


def test_columns_are_those_of_the_frozen_estimator(digits: tuple[Any, Any]) -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    X, y = digits
    frame = pandas.DataFrame(X, columns=[f"p{i}" for i in range(X.shape[1])])
    for unfitted in (RidgeClassifier(), make_pipeline(StandardScaler(), Ridge())):
        fitted = unfitted.fit(frame, y)
        assert list(speed_up(fitted, frame).feature_names_in_) == list(frame.columns)
        with pytest.raises(ValueError, match="feature names should match"):
            speed_up(fitted, frame[frame.columns[::-1]])
        with pytest.raises(ValueError, match="feature names should match"):
            clone(speed_up(fitted, frame)).fit(frame[frame.columns[::-1]], y)
        with pytest.warns(UserWarning, match="X does not have valid feature names"):
            assert not hasattr(speed_up(fitted, X), "feature_names_in_")


def test_regressors(digits: tuple[Any, Any]) -> None:
    X, y = digits
    targets = np.stack([y, y % 3], axis=1)
    for shape in (y, targets, targets[:, :1]):
        fitted = Ridge().fit(X, shape)
        fast = speed_up(fitted, X, n_codebooks=16)
        expected = fitted.predict(X)
        assert fast.predict(X).shape == expected.shape
        assert np.mean((fast.predict(X) - expected) ** 2) < 0.1 * expected.var()
    own = MaddnessRegressor(Ridge(), n_codebooks=16).fit(X, y)
    assert own.score(X, y) > 0.45
    assert own.predict(X.astype(np.float32)).dtype == np.float32


def test_transformers(digits: tuple[Any, Any]) -> None:
    X, _ = digits
    for fitted in (PCA(6, whiten=True).fit(X), TruncatedSVD(6, random_state=0).fit(X)):
        fast = speed_up(fitted, X, n_codebooks=16)
        expected = fitted.transform(X)
        assert np.mean((fast.transform(X) - expected) ** 2) < 0.1 * expected.var()
    assert list(fast.get_feature_names_out()[:2]) == ["truncatedsvd0", "truncatedsvd1"]
    nameless = make_pipeline(FunctionTransformer(), PCA(3)).fit(X)
    names = speed_up(nameless, X, n_codebooks=16).get_feature_names_out()
    assert list(names) == [f"maddnesstransformer{i}" for i in range(3)]


def test_frames_stay_frames(digits: tuple[Any, Any]) -> None:
    pytest.importorskip("pandas", reason="pandas is not installed")
    X = digits[0][:, 10:14]
    whole = make_pipeline(StandardScaler(), PCA(2))
    last = make_pipeline(PolynomialFeatures(2), PCA(2))
    for fitted in (PCA(2), whole, last):
        fitted.set_output(transform="pandas").fit(X)
        fast = speed_up(fitted, X, n_codebooks=4)
        assert list(fast.transform(X).columns) == ["pca0", "pca1"]


def test_the_outputs_are_the_operator_s(digits: tuple[Any, Any]) -> None:
    X, y = digits
    fast = speed_up(LinearRegression().fit(X, y), X.astype(np.float32))
    expected = maddjit.reference.apply(fast.operator_.model, X)[:, 0]
    assert np.array_equal(fast.predict(X), expected.astype(np.float64))


def test_clones_and_pickles(digits: tuple[Any, Any]) -> None:
    X, y = digits
    fast = speed_up(LogisticRegression(max_iter=1000).fit(X, y), X)
    for again in (clone(fast).fit(X), pickle.loads(pickle.dumps(fast))):
        assert np.array_equal(again.predict_proba(X), fast.predict_proba(X))
    with pytest.raises(NotFittedError, match="exact=True was set after MaddnessClassifier was fit"):
        again.set_params(exact=True).predict(X)
    with pytest.raises(NotFittedError):
        clone(fast).predict(X)


def test_what_cannot_be_compiled_is_refused(digits: tuple[Any, Any]) -> None:
    X, y = digits
    for curved in (RandomForestRegressor(3), PoissonRegressor()):
        with pytest.raises(ValueError, match="not a product with one matrix"):
            speed_up(curved.fit(X, y), X)
    with pytest.raises(ReplacementError, match=r"of SVC\(gamma=1.0\) differs .* not a product"):
        speed_up(SVC(gamma=1.0).fit(X, y), X)
    with pytest.raises(ValueError, match=r"RandomForestClassifier.* has no decision_function"):
        speed_up(RandomForestClassifier(3).fit(X, y), X)
    with pytest.raises(TypeError, match="no classifier, regressor or transformer"):
        speed_up(KernelDensity().fit(X), X)
    with pytest.raises(NotFittedError):
        speed_up(Ridge(), X)
    with pytest.raises(ValueError, match="requires y"):
        MaddnessRegressor().fit(X)
