"""Every block of Python in the README and in the documentation runs."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

import maddjit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import pages  # noqa: E402

MAX_SKIPPED = 4
QUICK = ("README.md", "anatomy.md")
"""Pages that newcomers read first; the others are slow tests."""


def documents() -> list[Path]:
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [path for path in found if pages.blocks(path.read_text())]


def parameters() -> list[object]:
    return [
        pytest.param(
            path,
            id=path.relative_to(ROOT).as_posix(),
            marks=[] if path.name in QUICK else [pytest.mark.slow],
        )
        for path in documents()
    ]


@pytest.mark.parametrize("path", parameters())
def test_page(path: Path) -> None:
    with pages.without_cache():
        list(pages.run(path))
    lacking = {name for block in pages.blocks(path.read_text()) for name in block.lacks}
    if lacking:
        pytest.skip(f"blocks that need {', '.join(sorted(lacking))}; the others ran")


def test_few_blocks_are_not_run() -> None:
    skipped = [
        f"{path.relative_to(ROOT)}:{block.first_line}: {block.why_not}"
        for path in documents()
        for block in pages.blocks(path.read_text())
        if block.why_not
    ]
    assert len(skipped) <= MAX_SKIPPED, "\n".join(skipped)


def test_every_python_block_is_found() -> None:
    for path in documents():
        text = path.read_text()
        assert len(pages.blocks(text)) == len(re.findall(r"^ *```python$", text, re.MULTILINE))


def test_blocks_of_a_page() -> None:
    text = "# Page\n```python\nx = 1\n```\n<!-- no-run: no -->\n\n```python\n1 / 0\n```\n"
    first, second = pages.blocks(text)
    assert (first.first_line, first.last_line, first.code, first.why_not) == (2, 4, "x = 1", "")
    assert second.why_not == "no"


def test_what_blocks_need() -> None:
    text = "<!-- needs: json.dumps, no_such -->\n```python\n```\n"
    (block,) = pages.blocks(text)
    assert block.needs == ("json.dumps", "no_such")
    assert block.lacks == ["no_such"]
    assert [pages.is_there(name) for name in ("json.tool", "json.nothing", "no.such")] == [
        True,
        False,
        False,
    ]


def test_blocks_share_names_and_errors_tell_lines_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nx = 1\n```\n\n```python\nprint(x)\n```\n```python\n\n1 / 0\n```\n")
    parts = pages.run(page)
    assert [next(parts)[1], next(parts)[1]] == ["", "1\n"]
    with pytest.raises(ZeroDivisionError) as error:
        next(parts)
    assert error.traceback[-1].lineno + 1 == 10


def test_every_public_name_has_its_place_in_the_reference() -> None:
    pages_of_names = "\n".join(p.read_text() for p in (ROOT / "docs" / "api").glob("*.md"))
    documented = set(re.findall(r"^ *\.\. auto\w+:: maddjit\.(\w+)", pages_of_names, re.MULTILINE))
    missing = set(maddjit.__all__) - documented - {"__version__"}
    assert not missing, f"add them to a page in docs/api: {', '.join(sorted(missing))}"
