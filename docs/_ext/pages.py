"""The Python of a page: its fenced blocks, run one after another in one namespace."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NO_RUN = re.compile(r"<!-- no-run: (.+) -->")
NEEDS = re.compile(r"<!-- needs: ([\w., ]+) -->")
_FENCE = re.compile(r"( *)(`{3,}|~{3,})(\S*)")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Attributes
    ----------
    first_line, last_line : int
        Of its fences, counted from 1.
    code : str
    why_not : str
        Why it is not run, if a comment in front of it says so.
    needs : tuple of str
        Libraries, or names in maddjit, without which it is left out.
    """

    first_line: int
    last_line: int
    code: str
    why_not: str
    needs: tuple[str, ...] = ()

    @property
    def lacks(self) -> list[str]:
        """What is needed and not there."""
        return [name for name in self.needs if not is_there(name)]


def is_there(name: str) -> bool:
    """Tell whether there is such a module, or such a name in a module."""
    module, _, last = name.rpartition(".")
    try:
        if importlib.util.find_spec(name) is not None:
            return True
    except ImportError:  # what stands before the last point is no package
        pass
    try:
        return bool(module) and hasattr(importlib.import_module(module), last)
    except ImportError:
        return False


def blocks(text: str) -> list[Block]:
    """Return the ```` ```python ```` blocks of a Markdown page."""
    found, lines, i = [], text.split("\n"), 0
    while i < len(lines):
        opened = _FENCE.match(lines[i])
        if not opened:
            i += 1
            continue
        indent, fence, language = opened.groups()
        end = next(
            (j for j in range(i + 1, len(lines)) if lines[j].strip() == fence), len(lines) - 1
        )
        if language == "python":
            before = next((line for line in reversed(lines[:i]) if line.strip()), "")
            skipped, needed = NO_RUN.fullmatch(before.strip()), NEEDS.fullmatch(before.strip())
            code = "\n".join(line.removeprefix(indent) for line in lines[i + 1 : end])
            why_not = skipped[1] if skipped else ""
            needs = tuple(needed[1].replace(",", " ").split()) if needed else ()
            found.append(Block(i + 1, end + 1, code, why_not, needs))
        i = end + 1
    return found


def run(path: Path, before: float = float("inf")) -> Iterator[tuple[Block, str]]:
    """Run the blocks of a page that end before a line, in a temporary folder.

    Yields
    ------
    Block and str
        With what it printed.
    """
    space: dict[str, Any] = {"__name__": f"page_{path.stem}"}
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for block in blocks(path.read_text(encoding="utf-8")):
            if block.why_not or block.lacks or block.last_line >= before:
                continue
            # Lines of a traceback are those of the page.
            code = compile("\n" * block.first_line + block.code, str(path), "exec")
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(code, space)
            yield block, printed.getvalue()


@contextlib.contextmanager
def without_cache() -> Iterator[None]:
    """Keep compiled code of pages out of the cache of whoever runs them."""
    name = "MADDJIT_CACHE_DIR"
    kept = os.environ.get(name)
    os.environ[name] = ""
    try:
        yield
    finally:
        if kept is None:
            del os.environ[name]
        else:
            os.environ[name] = kept
