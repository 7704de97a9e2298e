"""The directive ``printed``: what the Python block above it printed when the page was built.

    ```{printed} asm
    :loop: vblendvps
    vcmpleps => compare
    ```

shows the loop around the first line that matches: from the label above it to the jump below. In its
place ``:from:`` and ``:to:`` name the first and the last line, ``:without:`` lines to leave out,
``:shows:`` words that must be there. A note is written beside each line that matches the left-hand
side, or above it. What is not found ends the build: no page speaks of what is no longer there. Long
lines of plain text go on below, indented by four.

``needs`` shows its content if the module or the name that it is given can be imported.
"""

from __future__ import annotations

import re
import textwrap
import traceback
from pathlib import Path
from typing import Any, ClassVar

import pages
from docutils import nodes
from docutils.parsers.rst import directives
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

_COMMENT = {"asm": "#", "llvm": ";"}
_PLACE = 48
"""The column where notes stand."""
_WIDTH = 90
"""Characters that a line of code has room for on a page."""


class Printed(SphinxDirective):
    """Show what the last block before it printed, or a part of it."""

    optional_arguments = 1
    has_content = True
    option_spec: ClassVar[dict[str, Any]] = {
        "loop": directives.unchanged_required,
        "from": directives.unchanged_required,
        "to": directives.unchanged_required,
        "without": directives.unchanged_required,
        "shows": directives.unchanged_required,
    }

    def run(self) -> list[nodes.Node]:
        """Return a literal block."""
        language = self.arguments[0] if self.arguments else "text"
        output = self._output()
        if output is None:
            return []
        lines = self._excerpt(output.rstrip("\n").split("\n"))
        if "without" in self.options:
            lines = [line for line in lines if not re.search(self.options["without"], line)]
        for wanted in self.options.get("shows", "").split():
            if not any(wanted in line for line in lines):
                raise self.error(f"nothing shows {wanted!r} in what was printed")
        if language == "asm":
            lines = [re.sub(r"^\t(\w+)\t", lambda op: f"    {op[1]:<11}", line) for line in lines]
        lines = [line.expandtabs(4) for line in lines]
        for note in self.content:
            lines = self._noted(lines, note, _COMMENT.get(language, "#"))
        if language == "text":
            lines = [part for line in lines for part in folded(line)]
        text = "\n".join(line.rstrip() for line in lines)
        shown = nodes.literal_block(text, text, language="text")
        shown["classes"].append("printed")
        self.set_source_info(shown)
        return [shown]

    def _output(self) -> str | None:
        """Return what was printed; None if what the block needs is not there."""
        outputs = self.env.temp_data.setdefault("printed", {})
        path = Path(self.env.doc2path(self.env.docname))
        if not outputs:
            with pages.without_cache():
                try:
                    outputs.update((b.last_line, text) for b, text in pages.run(path))
                except Exception as error:
                    raise self.error("".join(traceback.format_exception(error))) from error
        above = [b for b in pages.blocks(path.read_text("utf-8")) if b.last_line < self.lineno]
        if not above or above[-1].why_not:
            raise self.error("there is no block above that prints")
        return outputs.get(above[-1].last_line)

    def _excerpt(self, lines: list[str]) -> list[str]:
        if "loop" in self.options:
            within = self._first(lines, self.options["loop"])
            start = max(i for i in range(within) if re.match(r"[\w.]+:", lines[i]))
            end = self._first(lines[within:], r"^\s+(j\w+|br)\s")
            return lines[start : within + end + 1]
        if "from" in self.options:
            lines = lines[self._first(lines, self.options["from"]) :]
        if "to" in self.options:
            lines = lines[: self._first(lines[1:], self.options["to"]) + 2]
        return lines

    def _first(self, lines: list[str], expression: str) -> int:
        for i, line in enumerate(lines):
            if re.search(expression, line):
                return i
        raise self.error(f"nothing matches {expression!r} in what was printed")

    def _noted(self, lines: list[str], note: str, sign: str) -> list[str]:
        expression, arrow, words = note.partition(" => ")
        if not arrow:
            raise self.error(f"a note is an expression, =>, and words, not {note!r}")
        self._first(lines, expression)
        noted = []
        for line in lines:
            if not re.search(expression, line) or f"{sign} " in line:
                noted.append(line)
            elif len(line) <= _PLACE:
                noted.append(f"{line:<{_PLACE}}{sign} {words}")
            else:  # there is no room beside it
                indent = " " * (len(line) - len(line.lstrip()))
                noted += [f"{indent}{sign} {words}:", line]
        return noted


def folded(line: str) -> list[str]:
    """Return a line of text, or the lines that it is folded into if it is too long for a page."""
    if len(line) <= _WIDTH:
        return [line]
    inner = " " * (len(line) - len(line.lstrip()) + 4)
    return textwrap.wrap(
        line, _WIDTH, subsequent_indent=inner, break_long_words=False, break_on_hyphens=False
    )


class Needs(SphinxDirective):
    """Its content, where a library or a name in a module is there."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        """Return what the content makes."""
        return self.parse_content_to_nodes() if pages.is_there(self.arguments[0]) else []


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directives."""
    app.add_directive("printed", Printed)
    app.add_directive("needs", Needs)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
