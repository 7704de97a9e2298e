"""The paper's bound on the expected error."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import maddjit

A = np.random.default_rng(0).standard_normal((400, 6)) @ np.random.default_rng(1).standard_normal(
    (6, 16)
)
B = np.random.default_rng(2).standard_normal((16, 3))


def test_the_bound_is_the_paper_s_formula() -> None:
    """With n = 360, D = 16, C = 4, λ = 2: ν = 4 · (4 · 4 + 256) · log 2 − log δ."""
    model = maddjit.fit(A, B, 4, method="paper", penalty=2.0)
    assert model.report is not None
    terms = model.report.bound_terms
    assert terms is not None
    assert terms.n_rows == 360
    kept = np.sort(np.random.default_rng(0).permutation(400)[40:])
    train = A[kept]
    assert terms.largest_singular_value == pytest.approx(np.linalg.norm(train, 2), rel=1e-9)
    loss = np.abs(maddjit.reference.apply(model, train) - train @ B).mean(axis=0)
    np.testing.assert_allclose(terms.training_error, loss, rtol=1e-12)
    nu = 4 * (4 * 4 + 256) * np.log(2) - np.log(0.1)
    slack = 1 / 256 + (8 + np.sqrt(nu)) / np.sqrt(720)
    expected = loss + 4 * np.linalg.norm(train, 2) / (2 * np.sqrt(2)) * slack * np.linalg.norm(
        B, axis=0
    )
    np.testing.assert_allclose(model.error_bound(0.1), expected, rtol=1e-9)


def test_the_bound_is_above_the_held_out_error_and_falls_with_delta() -> None:
    model = maddjit.fit(A, B, 4, method="paper")
    assert model.report is not None
    assert (model.error_bound() > model.report.absolute_error).all()
    assert (model.error_bound(0.01) > model.error_bound(0.5)).all()
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.error_bound(), model.error_bound())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"method": "paper", "n_prototypes": 8},
        {"method": "paper", "prototypes": "bucket-means"},
    ],
)
def test_no_bound_for_other_learners(options: dict[str, object]) -> None:
    model = maddjit.fit(A, B, 4, **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"models of fit\(method=.paper.\)"):
        model.error_bound()


def test_the_bound_is_kept_with_the_report(tmp_path: Path) -> None:
    model = maddjit.fit(A, B, 4, method="paper")
    model.save(tmp_path / "model.npz")
    again = maddjit.load(tmp_path / "model.npz")
    assert isinstance(again, maddjit.MaddnessModel)
    assert (again.error_bound() == model.error_bound()).all()
    with pytest.raises(ValueError, match="the bound is known"):
        replace(model, report=None).error_bound()


@pytest.mark.parametrize("delta", [0.0, 1.0, -1.0, np.nan])
def test_delta_is_a_probability(delta: float) -> None:
    with pytest.raises(ValueError, match="delta must be between 0 and 1"):
        maddjit.fit(A, B, 4, method="paper").error_bound(delta)
