"""The suite of convolutions runs in its small form and becomes a page; no times are judged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.suites.convolutions import tables
from benchmarks.suites.convolutions.chains import Chain, own
from tests.benchmarks.small import measured as small


@pytest.mark.slow
def test_chains_are_measured(tmp_path: Path) -> None:
    results, page = small("convolutions", tmp_path)
    assert not results["failed"]
    (task,) = results["tasks"]
    names = [name for name, *_ in own(Chain(4, 6, 2))]
    assert list(task["faster"]) == names
    assert set(names) <= set(task["ns"])
    assert set(task["ratios"].values()) == {1, 0.5}
    assert "**C = 4, each entry widened**" in page


def test_means_are_of_layers_with_large_planes() -> None:
    def layer(size: int, kernel: int, faster: float) -> dict[str, Any]:
        over = {tables.UINT8: [faster] * 3}
        return {
            "kind": "chain",
            "shape": [8, size, 1, kernel],
            "faster": {"C = 8": over, "C = 8, each entry widened": over},
            "ratios": {"C = 8": 1},
        }

    tasks = [layer(14, 3, 2.0), layer(28, 3, 8.0), layer(7, 3, 100.0), layer(28, 1, 100.0)]
    machine = {"cpu": "a", "llvm_cpu": "b", "level": "c"}
    text = tables.means([{"tasks": tasks, "machine": machine, "date": "2026-01-01"}])
    assert f"| one a channel | {tables.UINT8} | 4 | 2 |" in text
