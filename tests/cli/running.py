"""Run commands in this process, for tests; the matrices that they read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from maddjit.cli import main

RNG = np.random.default_rng(0)
ROWS = (RNG.standard_normal((600, 4)) @ RNG.standard_normal((4, 16))).astype(np.float32)
RIGHT = RNG.standard_normal((16, 7)).astype(np.float32)


def run(command: str) -> int:
    return main(command.split())


def facts(capsys: pytest.CaptureFixture[str], command: str, status: int = 0) -> dict[str, Any]:
    """Run a command for its JSON, which must be all that is on stdout, and by the standard."""
    assert run(f"{command} --json") == status

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    found: dict[str, Any] = json.loads(capsys.readouterr().out, parse_constant=refuse)
    return found
