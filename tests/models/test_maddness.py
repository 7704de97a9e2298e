"""Models refuse arrays that a kernel could not trust, and files that are not models."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from maddjit.models.records import fields_of
from maddjit.models.storage import from_bytes, to_bytes
from tests.conftest import same_bits
from tests.random_models import random_model


def arrays(**changes: Any) -> dict[str, Any]:
    good = {
        "split_dims": [[0, 1], [2, 2]],
        "thresholds": np.zeros((2, 3)),
        "tables": np.zeros((2, 4, 5), np.uint8),
        "scale": np.ones(5),
        "offset": np.zeros(5),
        "n_features": 3,
    }
    return good | changes


def made(**given: Any) -> MaddnessModel:
    trees = HashTrees(*(given.pop(name) for name in ("split_dims", "thresholds", "n_features")))
    return MaddnessModel(trees, **given)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tables": np.zeros((2, 4))}, ValueError, r"shape \(C, K, M\)"),
        ({"tables": np.zeros((2, 3, 5), int)}, ValueError, "power of two from 2 to 256, not 3"),
        ({"tables": np.full((2, 4, 5), 256)}, ValueError, "does not fit uint8"),
        ({"tables": np.zeros((2, 4, 5))}, TypeError, "tables must hold uint8"),
        ({"split_dims": [[0, 1], [2, 3]]}, ValueError, "n_features − 1 = 2"),
        ({"split_dims": [[0, 1], [2, -1]]}, ValueError, "split_dims must lie"),
        ({"split_dims": [[0, 1]]}, ValueError, r"shape \(2, 2\), not \(1, 2\)"),
        ({"thresholds": np.full((2, 3), np.nan)}, ValueError, "NaN"),
        ({"scale": [1, 1, 1, 1, np.inf]}, ValueError, "finite"),
        ({"offset": ["a"] * 5}, TypeError, "offset must hold float32"),
        ({"accumulate": "roughly"}, ValueError, "'roughly'"),
        ({"bias": np.zeros(4)}, ValueError, r"bias must have shape \(5,\)"),
        ({"bias": ["0"] * 5}, TypeError, "bias must hold float64"),
        ({"bias": [0, 0, 0, 0, 1e39]}, ValueError, "bias must be finite in float32"),
        ({"bias": [0, 0, 0, 0, np.nan]}, ValueError, "bias must be finite in float32"),
    ],
)
def test_bad_arrays(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        made(**arrays(**changes))


def test_models_are_frozen_copies() -> None:
    tables = np.zeros((2, 4, 5), np.uint8)
    model = made(**arrays(tables=tables))
    tables[:] = 1
    assert model.tables.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        model.tables[0] = 1
    with pytest.raises(AttributeError):
        model.n_features = 5  # type: ignore[misc]
    assert repr(model) == "MaddnessModel(D=3, M=5, C=2, K=4, accumulate='exact')"


def test_bytes_are_those_of_the_file(tmp_path: Path) -> None:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7)
    maddjit.save(model, tmp_path / "model.npz")
    data = to_bytes(model)
    assert data == to_bytes(model) == (tmp_path / "model.npz").read_bytes()
    assert same_bits(from_bytes(data).tables, model.tables)
    with pytest.raises(maddjit.ModelFileError, match="this is not a sound model"):
        from_bytes(data[:-40])


def test_save_and_load(tmp_path: Path) -> None:
    model = random_model(
        0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7, accumulate="average"
    )
    maddjit.save(model, tmp_path / "a model")
    again = maddjit.load(tmp_path / "a model")
    for name in ("split_dims", "thresholds", "tables", "scale", "offset"):
        assert same_bits(getattr(again, name), getattr(model, name))
    assert (again.n_features, again.accumulate) == (9, "average")


def test_damaged_files(tmp_path: Path) -> None:
    path = tmp_path / "model"
    maddjit.save(random_model(0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7), path)
    data = path.read_bytes()
    for damaged in (b"", b"hello", data[: len(data) // 2], data[:-30]):
        path.write_bytes(damaged)
        with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
            maddjit.load(path)
    np.savez(tmp_path / "other.npz", format=np.array("something-else"))
    with pytest.raises(maddjit.ModelFileError, match="'something-else'"):
        maddjit.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError):
        maddjit.load(tmp_path / "absent")


def test_copies_are_frozen_and_checked_too() -> None:
    rng = np.random.default_rng(0)
    model = maddjit.fit(rng.standard_normal((300, 2)) @ np.ones((2, 9)), np.ones((9, 2)), 4)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert same_bits(again.tables, model.tables)
        assert again.report is not None
        for array in (again.split_dims, again.tables, again.report.bias):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0


def test_the_bias_travels_with_the_model() -> None:
    rng = np.random.default_rng(0)
    A, B, bias = rng.standard_normal((300, 9)), rng.standard_normal((9, 5)), rng.random(5)
    model = maddjit.fit(A, B, 4, bias=bias)
    foreign = SimpleNamespace(**fields_of(model))
    for again in (
        MaddnessModel.of(foreign),
        from_bytes(to_bytes(model)),
        pickle.loads(pickle.dumps(model)),
        pickle.loads(pickle.dumps(maddjit.compile(model))).model,
    ):
        assert same_bits(again.bias, bias)
    del foreign.bias
    assert MaddnessModel.of(foreign).bias is None
    calibrated = maddjit.calibrate(model, A, B)
    with pytest.raises(ValueError, match="short list must have the model's own bias"):
        replace(calibrated, bias=bias + 1)
    with pytest.raises(TypeError, match=r"not a fitted model: its \.model is one"):
        MaddnessModel.of(maddjit.compile(model))


def test_numbers_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="thresholds holds numbers beyond the range of float32"):
        made(**arrays(thresholds=np.full((2, 3), 1e300)))
    with pytest.raises(TypeError):
        made(**arrays(n_features=3.5))


def test_files_with_random_damage(tmp_path: Path) -> None:
    path = tmp_path / "model"
    maddjit.save(random_model(0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7), path)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = data.copy()
        damaged[rng.integers(0, len(data), 3)] = rng.integers(0, 256, 3)
        path.write_bytes(damaged.tobytes())
        try:
            maddjit.load(path)
        except maddjit.ModelFileError:
            refused += 1
    assert refused > 200  # the rest is in bytes that mean nothing
    np.save(tmp_path / "array.npy", np.zeros(3))
    with pytest.raises(maddjit.ModelFileError, match="single array"):
        maddjit.load(tmp_path / "array.npy")
