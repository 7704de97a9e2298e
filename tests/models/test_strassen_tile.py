"""Models of tile operators refuse what a kernel could not trust, and say what they are."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import maddjit
from maddjit.models import schemes
from maddjit.models.storage import provenance_of
from maddjit.models.strassen_tile import StrassenTileModel, TileReport, default_tile_rows
from tests.conftest import same_bits


def arrays(**changes: Any) -> dict[str, Any]:
    good = {
        "scheme": schemes.strassen(),
        "n_features": 5,
        "n_outputs": 3,
        "values": np.ones((7, 3, 2)),
        "bias": np.zeros(3),
        "tile_rows": 8,
        "is_encoded": True,
    }
    return good | changes


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"scheme": "strassen"}, TypeError, "scheme must be a BilinearScheme, not str"),
        ({"n_features": 0}, ValueError, "n_features must be above 0"),
        ({"n_outputs": 3.5}, TypeError, "integer"),
        ({"tile_rows": 12}, ValueError, "multiple of 8 up to 1024, not 12"),
        ({"tile_rows": 0}, ValueError, "tile_rows must be above 0"),
        ({"values": np.ones((7, 2, 2))}, ValueError, r"values must have shape \(7, 3, 2\)"),
        ({"values": np.full((7, 3, 2), np.inf)}, ValueError, "values must be finite"),
        ({"values": np.ones((7, 3, 2), bool)}, TypeError, "values must hold float32"),
        ({"bias": np.full(3, np.nan)}, ValueError, "bias must be finite"),
        ({"bias": np.zeros(4)}, ValueError, r"bias must have shape \(3,\)"),
        ({"is_encoded": 1}, TypeError, "is_encoded must be a bool"),
        ({"report": "fine"}, TypeError, "report must be a TileReport"),
    ],
)
def test_bad_models(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        StrassenTileModel(**arrays(**changes))


def test_models_are_frozen_copies() -> None:
    values = np.ones((7, 3, 2), np.float32)
    model = StrassenTileModel(**arrays(values=values))
    values[:] = 2
    assert model.values.max() == 1
    with pytest.raises(ValueError, match="read-only"):
        model.values[0] = 1
    with pytest.raises(AttributeError):
        model.tile_rows = 16  # type: ignore[misc]


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))]
)
def test_copies(copied: Any) -> None:
    report = TileReport(10, True, 0.5, 0.6, 0.4, 3, 1e-6, (0.7, 0.6))
    model = StrassenTileModel(**arrays(report=report))
    again = copied(model)
    assert same_bits(again.values, model.values)
    assert not again.values.flags.writeable
    assert same_bits(again.scheme.decode, model.scheme.decode)
    assert (again.tile_rows, again.kind, again.report) == (8, "rounded", report)


@pytest.mark.parametrize("rank", [49, 24])
def test_save_and_load(rank: int, tmp_path: Path) -> None:
    B = np.random.default_rng(0).standard_normal((9, 6))
    model = maddjit.fit_strassen_tile(B, rank, bias=np.arange(6))
    maddjit.save(model, tmp_path / "a model")
    again = maddjit.load(tmp_path / "a model")
    assert isinstance(again, StrassenTileModel)
    assert repr(again) == repr(model)
    for name in ("values", "bias"):
        assert same_bits(getattr(again, name), getattr(model, name))
    for name in ("encode_a", "encode_b", "decode"):
        assert same_bits(getattr(again.scheme, name), getattr(model.scheme, name))


def test_reports_and_provenance_are_kept_in_files(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    A = rng.standard_normal((200, 4)) @ rng.standard_normal((4, 16))
    model = maddjit.fit_strassen_tile(rng.standard_normal((16, 8)), 24, A_train=A)
    assert model.report is not None
    maddjit.save(model, tmp_path / "model.npz", {"made from": ["A", 16]})
    assert maddjit.load(tmp_path / "model.npz").report == model.report
    assert provenance_of(tmp_path / "model.npz") == {"made from": ["A", 16]}
    maddjit.save(model, tmp_path / "model.npz")
    assert provenance_of(tmp_path / "model.npz") == {}


def test_damaged_files(tmp_path: Path) -> None:
    """Any damage is found, or changes nothing that matters."""
    path = tmp_path / "model"
    maddjit.save(maddjit.fit_strassen_tile(np.eye(9), 49), path)
    data = np.frombuffer(path.read_bytes(), np.uint8)
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        damaged = data.copy()
        damaged[rng.integers(0, len(data), 3)] ^= rng.integers(1, 256, 3).astype(np.uint8)
        path.write_bytes(damaged.tobytes())
        try:
            maddjit.load(path)
        except maddjit.ModelFileError:
            refused += 1
    assert refused > 80
    path.write_bytes(data.tobytes())
    parts: dict[str, Any] = dict(np.load(path))
    about = str(parts["about"])
    assert '"tile_rows": 32' in about
    assert '"shape": [4, 4, 4]' in about
    for changes in (
        {"about": about.replace('"tile_rows": 32', '"tile_rows": 9')},
        {"about": about.replace('"shape": [4, 4, 4]', '"shape": [4, 4]')},
        {"values": np.zeros(3)},
    ):
        np.savez(tmp_path / "other.npz", **(parts | changes))
        with pytest.raises(maddjit.ModelFileError, match="not a sound model"):
            maddjit.load(tmp_path / "other.npz")


def test_kinds() -> None:
    B = np.eye(6, 5, dtype=np.float32)
    assert maddjit.fit_strassen_tile(B, tile=1).kind == "exact"
    assert maddjit.fit_strassen_tile(B, tile=2).kind == "rounded"
    assert maddjit.fit_strassen_tile(B, scheme=schemes.plain(1, 2, 1)).kind == "rounded"
    assert maddjit.fit_strassen_tile(B, 24).kind == "approximate"
    strassen = maddjit.fit_strassen_tile(B, tile=2)
    assert replace(strassen, is_encoded=False).kind == "approximate"


def test_what_it_says() -> None:
    model = maddjit.fit_strassen_tile(np.ones((10, 6)), tile=4)
    assert repr(model) == (
        "StrassenTileModel(D=10, M=6, 'strassen ⊗ strassen', rank=49, R=32, rounded)"
    )
    assert (model.block_features, model.block_outputs) == (3, 2)
    assert model.multiplications == 49 * 3 * 2 / 4
    report = TileReport(10, False, 0.5, 0.6, 0.4, 3, 1e-6)
    assert "error 0.5 on 10 training (none held out) rows" in str(report)
    assert repr(replace(model, report=report)).endswith("rounded, error=0.5)")


@pytest.mark.parametrize(
    ("n_features", "rows"), [(1, 32), (332, 32), (333, 16), (668, 16), (669, 8), (100000, 8)]
)
def test_tile_rows(n_features: int, rows: int) -> None:
    """32 rows of 49 encoded blocks of 83 float32 are below 512 KiB, of 84 above."""
    assert default_tile_rows(schemes.generic(49), n_features) == rows
