"""Windows and convolutions as records: what they refuse, and that they come back from files."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.models import storage
from tests.models.test_storage import same
from tests.random_models import random_model

WINDOW = maddjit.Window((3, 2), (2, 1), (1, 0, 2, 1), (1, 2))


def model_of(groups: int = 2, fill: int = -3) -> maddjit.ConvolutionModel:
    products = tuple(
        random_model(seed, n_features=18, n_codebooks=4, n_prototypes=8, n_outputs=5)
        for seed in range(groups)
    )
    return maddjit.ConvolutionModel(products, WINDOW, fill)


@pytest.mark.parametrize("groups", [1, 2])
def test_all_comes_back(groups: int, tmp_path: Path) -> None:
    model = model_of(groups)
    model.save(tmp_path / "model.npz")
    again = maddjit.load(tmp_path / "model.npz")
    assert isinstance(again, maddjit.ConvolutionModel)
    for copy in (again, pickle.loads(pickle.dumps(model))):
        assert copy.window == WINDOW
        assert copy.fill == -3
        assert len(copy.products) == groups
        assert all(map(same, copy.products, model.products))
        assert repr(copy) == repr(model)
    x = np.random.default_rng(0).standard_normal((2, 3 * groups, 5, 6)).astype(np.float32)
    assert (maddjit.compile(again)(x) == maddjit.convolution_reference.convolve(model, x)).all()


def test_reports_come_back(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.standard_normal((30, 1, 8, 8)).cumsum(axis=3).cumsum(axis=2)
    model = maddjit.fit_convolution(images, rng.standard_normal((3, 1, 3, 3)), 4)
    model.save(tmp_path / "model.npz")
    again = maddjit.load(tmp_path / "model.npz")
    assert isinstance(again, maddjit.ConvolutionModel)
    assert again.error == model.error != ""
    assert model_of().error == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("products", []),
        ("products", {}),
        ("products", 3),
        ("window", None),
        ("window", {"kernel": [3, 3]}),
        ("fill", 1.5),
        ("fill", [1]),
    ],
)
def test_hostile_text(field: str, value: Any) -> None:
    with np.load(io.BytesIO(storage.to_bytes(model_of()))) as archive:
        arrays = dict(archive)
    about = json.loads(str(arrays["about"]))
    about["fields"][field] = value
    arrays["about"] = np.array(json.dumps(about))
    file = io.BytesIO()
    np.savez(file, **arrays)
    with pytest.raises(maddjit.ModelFileError):
        storage.from_bytes(file.getvalue())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"kernel": (0, 1)}, "kernel"),
        ({"kernel": (3,)}, "kernel"),
        ({"kernel": (3, 3), "stride": (1, 0)}, "stride"),
        ({"kernel": (3, 3), "padding": (1, 1)}, "padding"),
        ({"kernel": (3, 3), "padding": (1, 1, 1, -1)}, "padding"),
        ({"kernel": (3, 3), "dilation": (1, 1.5)}, "dilation"),
    ],
)
def test_windows_that_are_none(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        maddjit.Window(**fields)


def test_products_that_do_not_fit() -> None:
    product = random_model(0, n_features=18, n_codebooks=4, n_prototypes=8, n_outputs=5)
    other = random_model(0, n_features=18, n_codebooks=4, n_prototypes=8, n_outputs=6)
    with pytest.raises(ValueError, match="at least one product"):
        maddjit.ConvolutionModel((), WINDOW)
    with pytest.raises(ValueError, match="the same sizes"):
        maddjit.ConvolutionModel((product, other), WINDOW)
    with pytest.raises(ValueError, match="does not fit"):
        maddjit.ConvolutionModel((product,), maddjit.Window((5, 5)))
    with pytest.raises(TypeError, match="fill"):
        maddjit.ConvolutionModel((product,), WINDOW, 0.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="window"):
        maddjit.ConvolutionModel((product,), (3, 3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="products"):
        maddjit.ConvolutionModel((WINDOW,), WINDOW)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="plot takes a model"):
        model_of().plot()
