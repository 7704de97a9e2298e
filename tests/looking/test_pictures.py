"""Pictures show the model: its splits, the codes in use, its errors, its scheme."""

from __future__ import annotations

import sys
from io import BytesIO

import numpy as np
import pytest

import maddjit
from tests.random_models import random_model

figures = pytest.importorskip("matplotlib.figure")

RNG = np.random.default_rng(0)
A = RNG.standard_normal((500, 4)) @ RNG.standard_normal((4, 16))
B = RNG.standard_normal((16, 12))


def test_tables() -> None:
    model = maddjit.fit(A, B, 4)
    figure = model.plot(A, codebook=2, figure=figures.Figure())
    tree, splits, usage, errors = figure.axes[:4]
    assert tree.get_title() == "tree of codebook 2"
    thresholds = [float(text.get_text()) for text in tree.texts]
    np.testing.assert_allclose(thresholds, model.thresholds[2], rtol=5e-3)
    labels = [label.get_text() for label in tree.get_yticklabels()]
    assert labels == [*(f"column {j}" for j in model.split_dims[2]), "code"]
    assert len(splits.lines) == model.depth
    codes = maddjit.reference.encode(model, A)
    shares = usage.images[0].get_array()
    assert shares.shape == (4, 16)
    assert shares[1, 3] == pytest.approx(16 * (codes[:, 1] == 3).mean())
    assert model.report is not None
    np.testing.assert_array_equal(errors.lines[0].get_ydata(), model.report.output_nmse)
    figure.savefig(BytesIO())


def test_deep_trees_and_models_without_a_report() -> None:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=64, n_outputs=7)
    figure = maddjit.plot(model, figure=figures.Figure())
    assert len(figure.axes) == 2
    figure.savefig(BytesIO())
    with pytest.raises(ValueError, match="codebook must be from 0 to 3, not 4"):
        maddjit.plot(model, codebook=4, figure=figures.Figure())


def test_additive_codes() -> None:
    model = maddjit.fit(A, B, 4, encoder="additive")
    figure = model.plot(A, codebook=1, figure=figures.Figure())
    prototypes, usage = (ax.images[0].get_array() for ax in figure.axes[:2])
    assert isinstance(model.encoder, maddjit.AdditiveCodes)
    np.testing.assert_array_equal(prototypes, model.encoder.prototypes[1])
    assert usage.shape == (4, 16)
    figure.savefig(BytesIO())


def test_tiles() -> None:
    exact = maddjit.plot(maddjit.fit_strassen_tile(B, tile=2), figure=figures.Figure())
    images = [ax.images[0].get_array() for ax in exact.axes[:3]]
    assert [image.shape for image in images] == [(7, 4)] * 3
    model = maddjit.fit_strassen_tile(B, 24, A_train=A)
    figure = model.plot(figure=figures.Figure())
    assert model.report is not None
    bars = [bar.get_width() for bar in figure.axes[3].patches]
    report = model.report
    assert bars == [report.error, report.unfitted, report.low_rank, report.bfloat16]
    figure.savefig(BytesIO())


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"maddjit\[plot\]"):
        maddjit.plot(maddjit.fit_strassen_tile(B, tile=2))
