"""How a command ends that measures tasks: results saved, what is missing told, the page written."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

Record = dict[str, Any]


def save(results: Record, path: Path | None) -> None:
    """Write results as JSON, if there is a path."""
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(results, indent=1, ensure_ascii=False) + "\n")


def finish(
    results: Record,
    path: Path | None,
    page: Path | None,
    write_page: Callable[[Record, Path], None],
) -> bool:
    """Save results and page, tell what was left out or failed; return whether anything failed."""
    save(results, path)
    for key, words in (("left_out", "left out"), ("failed", "failed")):
        for record in (results, *results["tasks"]):
            for name, reason in record[key].items():
                print(f"{words}: {record.get('name', '')} {name} ({reason})")
    if page:
        write_page(results, page)
    print("\n".join(f"written: {written}" for written in (path, page) if written))
    return bool(results["failed"]) or any(task["failed"] for task in results["tasks"])
