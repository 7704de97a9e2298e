"""Docstrings as they are meant: "C." is a size and no list, "a, b : int" are two attributes."""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

_LETTER = re.compile(r"^(\s*(?::[^:]+:)?\s*)([A-Za-zλδ])\.(?=\s|$)")
_NAMES = re.compile(r"^(\s*:(?:ivar|vartype) )([\w, ]+)(:.*)$")


def plain(line: str) -> str:
    """Return a line in which nothing is a list that is none, and several names stay together."""
    line = _NAMES.sub(lambda found: found[1] + found[2].replace(" ", "") + found[3], line)
    return _LETTER.sub(r"\1\2\\.", line)


def _process(*event: Any) -> None:
    lines: list[str] = event[-1]
    lines[:] = map(plain, lines)


def setup(app: Sphinx) -> dict[str, bool]:
    """Come after napoleon, which has made fields of sections."""
    app.connect("autodoc-process-docstring", _process, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
