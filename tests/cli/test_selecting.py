"""``maddjit select``: the chosen model and the plot are written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.running import facts


def test_select(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = "--codebooks 4 --prototypes 16 --core-ranks 0 --n 200"
    command = f"select A.npy B.npy --budget 1 -o m.npz --plot frontier.svg {sizes}"
    found = facts(capsys, command)
    assert found["best"] in [each["name"] for each in found["candidates"]]
    assert (files / "m.npz").exists() == (found["output"] is not None)
    assert (files / "frontier.svg").stat().st_size > 1000
