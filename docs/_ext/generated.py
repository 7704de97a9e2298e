"""Generated tables as pages: benchmarks/results/NAME.md is shown as results/NAME.

Links of the Markdown files are those of the repository, so that they work where it is browsed.
Here links to generated tables become links to these pages, and links and figures of the tables
are seen from docs/results. A page whose tables are not there shows its own sentence.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # tests of links need no Sphinx
    from sphinx.application import Sphinx

_LINK = re.compile(r"(\]\()([^)\s#:]+)((?:#[^)\s]*)?\))")


def seen_from(text: str, old: Path, new: Path, docs: Path) -> str:
    """Return a page with its relative links as they are seen from another folder.

    Parameters
    ----------
    text : str
        Markdown.
    old, new : Path
        The folder where the text stands, and the one where it is shown.
    docs : Path
        The folder of the pages; generated tables are ../benchmarks/results from there.
    """
    tables = (docs.parent / "benchmarks" / "results").resolve()

    def link(found: re.Match[str]) -> str:
        target = (old / found[2]).resolve()
        if target.parent == tables and target.suffix == ".md":
            target = docs.resolve() / "results" / target.name
        elif old == new:
            return found[0]
        return found[1] + Path(os.path.relpath(target, new)).as_posix() + found[3]

    return _LINK.sub(link, text)


def _read(app: Sphinx, docname: str, source: list[str]) -> None:
    docs = Path(app.srcdir)
    folder, _, name = docname.rpartition("/")
    here = (docs / folder).resolve()
    tables = (docs.parent / "benchmarks" / "results" / f"{name}.md").resolve()
    if folder == "results" and tables.is_file():
        app.env.note_dependency(str(tables))
        source[0] = seen_from(tables.read_text(encoding="utf-8"), tables.parent, here, docs)
    else:
        source[0] = seen_from(source[0], here, here, docs)


def setup(app: Sphinx) -> dict[str, bool]:
    """Change pages before they are parsed."""
    app.connect("source-read", _read)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
