"""Files that the commands under test read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import maddjit
from tests.cli.running import RIGHT, ROWS
from tests.random_models import random_model


@pytest.fixture
def path(tmp_path: Path) -> str:
    model = random_model(0, n_features=9, n_codebooks=4, n_prototypes=8, n_outputs=7)
    maddjit.save(model, tmp_path / "model.npz")
    return str(tmp_path / "model.npz")


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with A.npy, more.npy and B.npy, to be in."""
    np.save(tmp_path / "A.npy", ROWS[:300])
    np.save(tmp_path / "more.npy", ROWS[300:])
    np.save(tmp_path / "B.npy", RIGHT)
    monkeypatch.chdir(tmp_path)
    return tmp_path
