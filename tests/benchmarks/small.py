"""The small run of a suite, which its tests look at."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def command(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run ``python -m benchmarks`` in a process of its own, without prepared tasks."""
    done = [sys.executable, "-m", "benchmarks", *map(str, words)]
    environment = os.environ | {"MADDJIT_TASKS": "nowhere"}
    return subprocess.run(
        done, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def measured(suite: str, folder: Path, *options: str) -> tuple[dict[str, Any], str]:
    """Run a suite in its small form; return its results and its page."""
    files = ("--results", folder / "results.json", "--page", folder / f"{suite}.md")
    done = command(suite, "--small", *options, *files)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "results.json").read_text()), (folder / f"{suite}.md").read_text()
