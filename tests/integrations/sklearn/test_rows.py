"""Rows as they come: far from zero, sparse, texts, named columns, few; and what fits take."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", "1.6", reason="scikit-learn 1.6 is not installed")

import scipy.sparse
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, OneHotEncoder, StandardScaler

import maddjit
from maddjit.integrations.sklearn import (
    MaddnessClassifier,
    MaddnessRegressor,
    MaddnessTransformer,
    ReplacementError,
    base,
    rows,
    speed_up,
)

RNG = np.random.default_rng(0)
Z = RNG.standard_normal((1200, 4)) @ RNG.standard_normal((4, 20))
S = Z @ RNG.standard_normal((20, 4))
FOUR = S.argmax(axis=1)


def share(found: Any, expected: Any) -> float:
    """Return R²."""
    return float(1 - np.mean((found - expected) ** 2) / np.var(expected))


@pytest.fixture(scope="module")
def near() -> float:
    """What is lost of rows near zero."""
    fitted = Ridge().fit(Z, S)
    fast = speed_up(fitted, Z, n_codebooks=10)
    assert fast.centre_ is None
    return 1 - share(fast.predict(Z), fitted.predict(Z))


@pytest.mark.parametrize("mean", [1e6, 1e7, 1.7e9])
def test_rows_far_from_zero(mean: float, near: float) -> None:
    X = Z + mean
    fitted = make_pipeline(StandardScaler(), Ridge()).fit(X, S)
    fast = speed_up(fitted, X, n_codebooks=10)
    assert 1 - share(fast.predict(X), fitted.predict(X)) < 3 * near < 0.02
    assert np.array_equal(fast.centre_, X.mean(axis=0))


def test_an_unscaled_estimator_and_a_core_far_from_zero(near: float) -> None:
    X = Z + 1.7e9
    fitted = Ridge().fit(X, S)
    fast = speed_up(fitted, X, n_codebooks=10, core_rank=2)
    assert 1 - share(fast.predict(X), fitted.predict(X)) < near


def test_exact_classes_far_from_zero() -> None:
    X = Z + 1.7e9
    fitted = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, FOUR)
    fast = speed_up(fitted, X, n_codebooks=10, exact=True, coverage=0.99)
    assert np.mean(fast.predict(X) == fitted.predict(X)) > 0.98
    again = pickle.loads(pickle.dumps(fast))
    assert np.array_equal(again.predict_proba(X), fast.predict_proba(X))


def test_a_constant_column_and_targets_far_from_zero() -> None:
    X = Z.copy()
    X[:, 3] = 1.7e9
    fitted = Ridge().fit(X, S)
    assert share(speed_up(fitted, X, n_codebooks=10).predict(X), fitted.predict(X)) > 0.98
    fitted = Ridge().fit(Z, S + 1e9)
    rows = Z.astype(np.float32)
    fast = speed_up(fitted, rows, n_codebooks=10)
    assert share(fast.predict(rows), fitted.predict(rows)) > 0.98
    assert np.allclose(fast.offset_, 1e9)


def test_rounding_that_hides_the_product() -> None:
    X = Z + 1e13
    with pytest.raises(ReplacementError, match=r"rounding errors .*: subtract the mean"):
        speed_up(Ridge().fit(X, S), X)
    pipeline = make_pipeline(StandardScaler(), Ridge()).fit(Z + 1e15, S)
    fast = speed_up(pipeline, Z + 1e15, n_codebooks=10)  # its last step alone
    assert share(fast.predict(Z + 1e15), pipeline.predict(Z + 1e15)) > 0.98


TEXTS = ["red cat", "blue dog", "green fish", "red fish"] * 50


def test_texts() -> None:
    fitted = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, np.arange(200) % 4)
    fast = speed_up(fitted, TEXTS, n_codebooks=4)
    assert np.array_equal(fast.predict(TEXTS), fitted.predict(TEXTS))
    assert np.abs(fast.predict_proba(TEXTS) - fitted.predict_proba(TEXTS)).max() < 0.01
    assert isinstance(fast[-1], MaddnessClassifier)
    again = clone(fast).fit(["no such words", "at all"] * 100)  # every step stays as it is
    assert np.array_equal(again[:-1].transform(TEXTS).toarray(), fast[0].transform(TEXTS).toarray())


def test_sparse_rows_are_taken_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse = scipy.sparse.csr_array(np.where(np.abs(Z) > 1, Z, 0))
    fitted = make_pipeline(MaxAbsScaler(), RidgeClassifier()).fit(sparse, FOUR)
    fast = speed_up(fitted, sparse, n_codebooks=20)
    scaled = fitted[:-1].transform(sparse)
    expected = fast[-1].decision_function(scaled.toarray())
    monkeypatch.setattr(rows, "_BLOCK", 20 * 7)
    assert np.array_equal(fast.decision_function(sparse), expected)
    assert np.array_equal(
        fast.predict(sparse), fast.classes_[fast[-1].operator_.argmax(scaled.toarray())]
    )
    for own in (MaddnessRegressor(), MaddnessTransformer(PCA(2))):
        own.set_params(method="paper").fit(sparse, S)
        assert own._outputs(sparse[:9]).shape == own._outputs(sparse[:9].toarray()).shape
    monkeypatch.setattr(rows, "_LEARNED", 20 * 1100)
    assert rows.to_learn_from(sparse, 0).shape == (1100, 20)
    monkeypatch.setattr(rows, "_LEARNED", 20 * 900)
    with pytest.raises(ValueError, match=r"sparse rows of 20 columns are too wide .*TruncatedSVD"):
        speed_up(fitted, sparse)


def test_frames() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed")
    frame = pandas.DataFrame({"a": Z[:, 0], "b": Z[:, 1], "c": list("xyzw") * 300})
    scaled = ("s", StandardScaler(), ["b", "a"])
    columns = ColumnTransformer([scaled, ("o", OneHotEncoder(), ["c"])])
    fitted = make_pipeline(columns, Ridge()).fit(frame, S)
    fast = speed_up(fitted, frame, n_codebooks=6)
    assert share(fast.predict(frame), fitted.predict(frame)) > 0.9
    assert list(fast.feature_names_in_) == ["a", "b", "c"]
    assert fast[0].transformers_[0][2] == ["b", "a"]
    with pytest.raises(ValueError, match=r"rows must be numbers: .* Pipeline"):
        speed_up(fitted[-1], frame)

    numbers = frame[["a", "b"]]
    whole = make_pipeline(ColumnTransformer([scaled]), Ridge())
    for one in (
        speed_up(whole.fit(numbers, S), numbers, n_codebooks=2),
        MaddnessRegressor(whole, n_codebooks=2).fit(numbers, S),
    ):
        assert isinstance(one, MaddnessRegressor)
        assert share(one.predict(numbers), whole.predict(numbers)) > 0.9
        with pytest.raises(ValueError, match="feature names should match"):
            one.predict(numbers[["b", "a"]])
        with pytest.warns(UserWarning, match="X does not have valid feature names, but Maddness"):
            one.predict(numbers.to_numpy())


def test_what_steps_before_the_last_mend() -> None:
    X = np.where(np.abs(Z) > 4, np.nan, Z)
    fitted = make_pipeline(SimpleImputer(), LogisticRegression()).fit(X, FOUR)
    fast = speed_up(fitted, X, n_codebooks=10)
    assert np.mean(fast.predict(X) == fitted.predict(X)) > 0.9
    with pytest.raises(ValueError, match="contains NaN"):
        speed_up(fitted[-1], X)


def test_few_rows_and_other_columns() -> None:
    fitted = LogisticRegression().fit(Z, FOUR)
    with pytest.warns(maddjit.AccuracyWarning, match="5 rows .* some hundreds"):
        speed_up(fitted, Z[:5], n_codebooks=2)
    with pytest.raises(ValueError, match="1 sample"):
        speed_up(fitted, Z[:1])
    with pytest.raises(ValueError, match="X has 10 features, but LogisticRegression is expecting"):
        speed_up(fitted, Z[:, :10])
    with pytest.raises(maddjit.CoverageError, match="some 2248 rows, of which half calibrate"):
        speed_up(fitted, Z, exact=True)
    with pytest.raises(ValueError, match="exact=True needs core_rank=0"):
        speed_up(fitted, Z, exact=True, coverage=0.9, core_rank=2)


def test_options_of_learning(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = {}

    def fit(*args: Any, **options: Any) -> Any:
        taken.update(options)
        return maddjit.fit(*args, **options)

    monkeypatch.setattr(base, "fit", fit)
    for kind in (MaddnessRegressor, MaddnessClassifier, MaddnessTransformer):
        kind(n_codebooks=5, method="paper", time_limit=7.0).fit(Z, FOUR)
        assert (taken.pop("method"), taken.pop("time_limit")) == ("paper", 7.0)
    fast = speed_up(Ridge().fit(Z, S), Z, n_codebooks=5, method="paper", time_limit=7.0)
    assert "method='paper'" in fast.operator_.model.report.learned_by
    with pytest.raises(ValueError, match="method must be one of best, paper, not 'fast'"):
        MaddnessRegressor(method="fast").fit(Z, S)


def test_gaps_that_come_later_are_filled() -> None:
    gaps = Z.copy()
    gaps[::3, 1] = np.nan
    fitted = make_pipeline(SimpleImputer(), StandardScaler(), Ridge()).fit(gaps, S[:, 0])
    fast = speed_up(fitted, Z)  # rows without any
    assert share(fast.predict(gaps), fitted.predict(gaps)) > 0.9
    for scaled in (StandardScaler(), MaxAbsScaler()):  # which hand on NaN
        fitted = make_pipeline(scaled, Ridge()).fit(Z, S[:, 0])
        assert isinstance(speed_up(fitted, Z), MaddnessRegressor)
