"""``maddjit cache``: shows or empties the cache of compiled code."""

from __future__ import annotations

import argparse
from typing import Any

from maddjit.cli.answers import Answer
from maddjit.cli.commands import add_command
from maddjit.compiler import cache


def add(commands: Any) -> None:
    """Add the command."""
    parser = add_command(
        commands,
        "cache",
        _cache,
        "show or empty the cache of compiled code",
        "Show the folder and size of the cache of compiled code, or empty it. The environment\n"
        "variables MADDJIT_CACHE_DIR (empty: no cache) and MADDJIT_CACHE_BYTES change both.",
        "maddjit cache info",
        "maddjit cache clear",
    )
    parser.add_argument("action", choices=("info", "clear"), help="show it or empty it")


def _cache(options: argparse.Namespace) -> Answer:
    removed = cache.clear() if options.action == "clear" else None
    found = cache.info()
    lines = [] if removed is None else [f"removed {removed} objects"]
    facts: dict[str, Any] = {} if removed is None else {"removed": removed}
    return Answer("\n".join([*lines, str(found)]), {**facts, "cache": found})
