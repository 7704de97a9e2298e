"""Every kind of estimator: with its exact product in place it answers as before, or is refused."""

from __future__ import annotations

from itertools import islice
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="scikit-learn 1.6 is not installed")

import scipy.sparse
from numpy.typing import NDArray
from sklearn.base import RegressorMixin, is_classifier, is_regressor
from sklearn.calibration import CalibratedClassifierCV
from sklearn.cluster import FeatureAgglomeration
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA, SparsePCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier
from sklearn.feature_selection import RFE, SelectKBest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import (
    Lasso,
    LogisticRegression,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    TweedieRegressor,
)
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import MinMaxScaler, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.utils import all_estimators

from maddjit.integrations.sklearn import MaddnessClassifier, ReplacementError, base, speed_up


class Exact:
    """Takes the place of an operator: the product itself."""

    def __init__(self, B: NDArray[Any], bias: NDArray[Any]) -> None:
        self.B, self.bias = B, bias

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        return rows @ self.B + self.bias

    def argmax(self, rows: NDArray[Any]) -> NDArray[Any]:
        return self(rows).argmax(axis=1)


@pytest.fixture(autouse=True)
def _exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is learned: what differs then is no error of look-ups."""
    monkeypatch.setattr(base, "fit", lambda rows, B, *_, bias, **__: (B, bias))
    monkeypatch.setattr(base, "compile", lambda model, **_: Exact(*model))


RNG = np.random.default_rng(0)
X = RNG.standard_normal((200, 8))
OTHERS = 2 * RNG.standard_normal((300, 8))
S = X @ RNG.standard_normal((8, 4))
FOUR, TWO, LABELS = S.argmax(axis=1), (S[:, 0] > 0).astype(int), (S > 0).astype(int)
NAMES = np.array(["red", "green", "blue", "grey"])
RARE = np.column_stack([LABELS[:, 0], np.ones(200, int), np.zeros(200, int)])


class LowThreshold(LogisticRegression):
    def predict(self, X: Any) -> Any:
        return self.classes_[(self.decision_function(X) > -1).astype(int)]


class Tempered(LogisticRegression):
    def predict_proba(self, X: Any) -> Any:
        powers = np.sqrt(super().predict_proba(X))
        return powers / powers.sum(axis=1, keepdims=True)


class OwnProduct(LogisticRegression):
    def predict(self, X: Any) -> Any:
        return self.classes_[((X @ self.coef_.T)[:, 0] > 0.7).astype(int)]


class Opposite(OneVsRestClassifier):
    def predict(self, X: Any) -> Any:
        return 1 - super().predict(X)


Logistic = LogisticRegression
AGREE = {
    "names": (Logistic(), NAMES[FOUR]),
    "two names": (Logistic(class_weight="balanced"), NAMES[TWO].astype(object)),
    "a column of labels": (RidgeClassifier(), FOUR[:, np.newaxis]),
    "labels": (OneVsRestClassifier(Logistic()), LABELS),
    "sparse labels": (OneVsRestClassifier(Logistic()), scipy.sparse.csr_array(LABELS)),
    "labels that never vary": (OneVsRestClassifier(Logistic()), RARE),
    "labels, without probabilities": (OneVsRestClassifier(LinearSVC()), LABELS),
    "labels of pipelines": (
        OneVsRestClassifier(make_pipeline(StandardScaler(), Logistic())),
        LABELS,
    ),
    "labels of one classifier": (RidgeClassifier(), LABELS),
    "one against the rest": (OneVsRestClassifier(Logistic()), FOUR),
    "modified Huber": (SGDClassifier(loss="modified_huber", random_state=0), FOUR),
    "linear discriminant": (LinearDiscriminantAnalysis(), FOUR),
    "linear SVC": (SVC(kernel="linear"), TWO),
    "a threshold that was set": (FixedThresholdClassifier(Logistic(), threshold=0.3), NAMES[TWO]),
    "a threshold in predict": (LowThreshold(), TWO),
    "probabilities of a subclass": (Tempered(), FOUR),
    "a search over pipelines": (
        GridSearchCV(make_pipeline(StandardScaler(), Logistic()), {"logisticregression__C": [1]}),
        FOUR,
    ),
    "selected columns": (RFE(Logistic()), FOUR),
    "four steps": (make_pipeline(SelectKBest(k=5), FeatureAgglomeration(4), Logistic()), FOUR),
    "a union": (make_pipeline(FeatureUnion([("p", PCA(2)), ("a", PCA(3))]), Logistic()), FOUR),
    "polynomials": (make_pipeline(PolynomialFeatures(2), Logistic()), FOUR),
    "clipped rows": (make_pipeline(MinMaxScaler(clip=True), Logistic()), FOUR),
    "regression": (Ridge(), S),
    "one column": (Ridge(), S[:, :1]),
    "partial least squares": (PLSRegression(2), S[:, 0]),
    "linear kernels": (make_pipeline(KernelRidge()), S),
    "linear SVR": (SVR(kernel="linear"), S[:, 0]),
    "targets far from zero": (Ridge(), S + 1e9),
    "constants": (Lasso(alpha=1e9), S[:, 0]),
    "sparse components": (SparsePCA(8, max_iter=5, random_state=0), None),
}


def rounded_alike(before: Any, after: Any) -> bool:
    """Whether answers have one type, shape and dtype, and equal labels or near numbers.

    Numbers may differ by some 4500 roundings of the largest, 1e-12 of it. These rows lie up to 8
    steps of probing away, all columns together; each of 8 products then carries the roundings of
    two answers eight times over, (2 + 2 · 8) · 8 = 144, and sums of terms that cancel were larger
    by a factor of up to 30.
    """
    if scipy.sparse.issparse(before):
        assert scipy.sparse.issparse(after)
        before, after = before.toarray(), after.toarray()
    assert (type(after), after.shape, after.dtype) == (type(before), before.shape, before.dtype)
    if before.dtype.kind != "f":
        return bool((before == after).all())
    with np.errstate(invalid="ignore"):  # of −∞ less −∞
        gap = np.where(before == after, 0, np.abs(before - after))
    largest = np.abs(before[np.isfinite(before)]).max(initial=1)
    return bool((gap <= 1e-12 * largest).all())


def check_alike(fitted: Any, fast: Any, rows: Any) -> None:
    for method in ("predict", "decision_function", "predict_proba", "predict_log_proba"):
        if is_classifier(fitted) or (is_regressor(fitted) and method == "predict"):
            assert hasattr(fast, method) == hasattr(fitted, method), method
            if hasattr(fitted, method):
                with np.errstate(divide="ignore"):  # the logarithm of 0
                    pair = [getattr(each, method)(rows) for each in (fitted, fast)]
                assert rounded_alike(*pair), method
    if not is_classifier(fitted) and not is_regressor(fitted):
        assert rounded_alike(np.asarray(fitted.transform(rows)), fast.transform(rows))


@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("kind", AGREE)
def test_kinds_that_answer_as_before(kind: str) -> None:
    estimator, y = AGREE[kind]
    fitted = estimator.fit(X, y)
    check_alike(fitted, speed_up(fitted, X, n_codebooks=2), OTHERS)


REFUSED = {
    "votes": (SVC(kernel="linear"), FOUR, "not a product .* several classes vote in pairs"),
    "a curve of two classes": (SVC(), TWO, "SVC.* not a product .* compiled$"),
    "votes in public": (
        SVC(kernel="linear", decision_function_shape="ovo"),
        FOUR,
        "predict of SVC.* cannot be made of its decision function",
    ),
    "mean probabilities": (BaggingClassifier(Logistic(), random_state=0), FOUR, "predict of Bag"),
    "calibrated": (
        CalibratedClassifierCV(LinearSVC()),
        FOUR,
        "no decision_function.* calibrate the",
    ),
    "networks": (MLPClassifier(activation="identity", max_iter=5), FOUR, "no decision_function"),
    "labels one by one": (MultiOutputClassifier(RidgeClassifier()), LABELS, "OneVsRest.* labels"),
    "own products": (OwnProduct(), TWO, "predict of OwnProduct.* decision function alone"),
    "a subclass of many": (Opposite(Logistic()), LABELS, "predict of Opposite"),
    "a link": (TweedieRegressor(power=0, link="log"), np.exp(S[:, 0]), "not a product"),
    "a curve as the last step": (
        make_pipeline(StandardScaler(), SVC()),
        FOUR,
        r"decision_function of SVC\(\) differs .* not a product",
    ),
}


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_kinds_that_are_refused(kind: str) -> None:
    estimator, y, why = REFUSED[kind]
    with pytest.raises(ReplacementError, match=why):
        speed_up(estimator.fit(X, y), X)


def test_several_labels_are_learned_from_indicators() -> None:
    fast = MaddnessClassifier(OneVsRestClassifier(Logistic()), n_codebooks=2).fit(X, LABELS)
    assert (fast.predict(OTHERS) == fast.estimator_.predict(OTHERS)).all()
    assert fast.score(X, LABELS) == fast.estimator_.score(X, LABELS)
    with pytest.raises(ReplacementError, match="exact=True settles which score is largest"):
        fast.set_params(exact=True).fit(X, LABELS)


def why_refused(fitted: Any) -> str:
    """Return what the refusal says, or nothing if the estimator answers as before."""
    try:
        fast = speed_up(fitted, X, n_codebooks=2)
    except ReplacementError as error:
        return str(error)
    except TypeError as error:
        return f"TypeError: {error}"
    check_alike(fitted, fast, OTHERS)
    return ""


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_all_of_the_library() -> None:
    """Whatever can be fitted to these rows either answers as before or is refused by name."""
    from sklearn.utils._test_common.instance_generator import _construct_instances

    agreed, refused = set(), set()
    for name, kind in all_estimators():
        if name == "FrozenEstimator":
            continue
        targets = [S[:, 0], S, np.abs(S[:, 0])] if issubclass(kind, RegressorMixin) else []
        for estimator in islice(_construct_instances(kind), 2):
            for y in targets or [FOUR, TWO, LABELS]:
                try:
                    fitted = estimator.fit(X, y)
                except (AttributeError, IndexError, NotImplementedError, TypeError, ValueError):
                    continue  # of several outputs, signs, or other inputs than rows
                why = why_refused(fitted)
                if not why:
                    agreed.add(name)
                elif "no classifier, regressor or transformer" not in why:
                    assert "TypeError" not in why, name
                    assert name in why or "of its decision function alone" in why, (name, why)
                    refused.add(name)
    assert {"RidgeClassifierCV", "OneVsRestClassifier", "TweedieRegressor", "PCA"} <= agreed
    assert len(agreed) > 70
    assert {"RandomForestRegressor", "GaussianNB", "KMeans", "SplineTransformer"} <= refused
