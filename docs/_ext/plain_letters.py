"""Docstrings as they are meant: "C." is a size and no list, "a, b : int" are two attributes.

Names that end with an underscore keep it: to reStructuredText it would make a link of them.
"""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx

_LETTER = re.compile(r"^(\s*(?::[^:]+:)?\s*)([A-Za-zλδ])\.(?=\s|$)")
_NAMES = re.compile(r"^(\s*:(?:ivar|vartype) )([\w, ]+)(:.*)$")


def plain(line: str) -> str:
    """Return a line in which nothing is a list that is none, and several names stay together."""
    line = _NAMES.sub(lambda found: found[1] + _together(found[2]) + found[3], line)
    return _LETTER.sub(r"\1\2\\.", line)


def _together(names: str) -> str:
    """Return names without spaces between them, which would end the list, and as plain text."""
    return re.sub(r"_(?=,|$)", r"\\_", names.replace(" ", ""))


def _process(*event: Any) -> None:
    lines: list[str] = event[-1]
    lines[:] = map(plain, lines)


def _spaced(app: Sphinx, doctree: nodes.document) -> None:
    """Set a comma and a space between names that stay together."""
    for comma in list(doctree.findall(nodes.strong)):
        if comma.astext() == ",":
            comma.replace_self(nodes.Text(", "))


def setup(app: Sphinx) -> dict[str, bool]:
    """Come after napoleon, which has made fields of sections."""
    app.connect("autodoc-process-docstring", _process, priority=900)
    app.connect("doctree-read", _spaced)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
