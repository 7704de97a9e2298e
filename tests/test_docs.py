"""Pages: their Python runs, their links lead somewhere, their drawings are what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cached_property
from importlib import import_module
from pathlib import Path
from xml.etree import ElementTree

import pytest

import maddjit

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "_ext"))

import example_models  # noqa: E402
import generated  # noqa: E402
import kernels_page  # noqa: E402
import networks_page  # noqa: E402
import pages  # noqa: E402
import pictures  # noqa: E402
import plots  # noqa: E402

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


DIRECTIVE = re.compile(r"^ *\.\. auto(?!module)\w+:: (maddjit[\w.]+)", re.MULTILINE)


def asked_for() -> list[str]:
    """Return the names that the API pages ask autodoc for."""
    found = "\n".join(p.read_text() for p in sorted((ROOT / "docs" / "api").glob("*.md")))
    return DIRECTIVE.findall(found)


@pytest.mark.parametrize("name", asked_for())
def test_names_of_the_api_pages_exist_and_have_docstrings(name: str) -> None:
    """autodoc drops a section without a word if `needs` around it hides that a name is gone."""
    parts = name.split(".")
    for extra in {"sklearn", "torch", "onnx", "dask"} & set(parts):
        pytest.importorskip(extra)
    thing = import_module(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        if not hasattr(thing, part):
            import_module(".".join(parts[:i]))
        thing = getattr(thing, part)
    assert thing.__doc__, name


@pytest.mark.parametrize("name", asked_for())
def test_properties_of_the_api_pages_begin_without_a_colon(name: str) -> None:
    """Napoleon takes what stands before ": " in a property's first paragraph for its type."""
    module, _, last = name.rpartition(".")
    for extra in {"sklearn", "torch", "onnx", "dask"} & set(name.split(".")):
        pytest.importorskip(extra)
    members = vars(getattr(import_module(module), last))
    for member in members.values():
        if isinstance(member, property | cached_property):
            assert ": " not in (member.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


def test_names_of_attributes_stay_whole() -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    plain = import_module("plain_letters").plain
    assert plain(":ivar operator_: what") == r":ivar operator\_: what"
    assert plain(":vartype low, high_: float") == r":vartype low,high\_: float"
    assert plain("C. And more.") == r"C\. And more."


def markdown() -> list[Path]:
    found = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode:
        pytest.skip("this is no clone of the repository")
    return [
        path for path in (ROOT / line for line in found.stdout.split("\n") if line) if path.exists()
    ]


def anchors(page: str) -> set[str]:
    """Return what links to headings of a page are called on GitHub and by Sphinx."""
    plain = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+?)\s*$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_between_pages_lead_somewhere() -> None:
    lost = []
    for path in markdown():
        text = re.sub(r"^(`{3,}|~{3,}).*?^\1", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if re.match(r"\w+:", target):
                continue
            name, _, anchor = target.partition("#")
            # The text of a suite's page of results is shown where its results are.
            shown = ROOT / "benchmarks" / "results" if path.name == "page.md" else path.parent
            page = shown / name if name else path
            if not page.exists():
                lost.append(f"{path.relative_to(ROOT)}: {target}")
            elif anchor and page.suffix == ".md" and anchor not in anchors(page.read_text()):
                lost.append(f"{path.relative_to(ROOT)}: {target} (no such heading)")
    assert not lost, "\n".join(lost)


def test_links_to_generated_tables_are_links_to_pages() -> None:
    docs = ROOT / "docs"
    here, tables = docs / "notes", ROOT / "benchmarks" / "results"
    link = "[all](../../benchmarks/results/tiles.md#errors), [else](../tiles.md)"
    assert generated.seen_from(link, here, here, docs) == (
        "[all](../results/tiles.md#errors), [else](../tiles.md)"
    )
    text = "![a](figures/tiles/a.svg) [page](../../docs/tiles.md) [site](https://example.org/a)"
    assert generated.seen_from(text, tables, docs / "results", docs) == (
        "![a](../../benchmarks/results/figures/tiles/a.svg) [page](../tiles.md) "
        "[site](https://example.org/a)"
    )


@pytest.mark.parametrize("name", plots.PLOTS)
def test_plots_show_the_tables_of_their_pages(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    drawn = (ROOT / "docs" / "figures" / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn == plots.draw(name, page), "write it anew: python docs/_ext/plots.py"


def test_the_page_on_kernels_shows_the_stored_results() -> None:
    found, page = kernels_page.stored(), kernels_page.PAGE.read_text(encoding="utf-8")
    drawn = kernels_page.PLOT.read_text(encoding="utf-8")
    assert drawn == kernels_page.draw(found), "write it anew: python docs/_ext/kernels_page.py"
    assert page == kernels_page.with_table(page, found)


def test_the_page_on_networks_shows_the_stored_results() -> None:
    found, page = networks_page.stored(), networks_page.PAGE.read_text(encoding="utf-8")
    drawn = networks_page.PLOT.read_text(encoding="utf-8")
    assert drawn == networks_page.draw(found), "write it anew: python docs/_ext/networks_page.py"
    assert page == networks_page.with_table(page, found)


def test_cells_of_plots() -> None:
    assert [plots.numbers(cell) for cell in ("13", ".5", "4.2–8.8", "", "**2**", "99 %")] == [
        [13.0],
        [0.5],
        [4.2, 8.8],
        [],
        [2.0],
        [],
    ]


@pytest.mark.slow
def test_pictures_can_be_read_by_all() -> None:
    """Each is well-formed, fits a phone, and has a title and a description of its own."""
    page = (ROOT / "docs" / "how-it-works.md").read_text(encoding="utf-8")
    names = re.findall(r"^```\{picture\} (\w+)$", page, re.MULTILINE)
    assert sorted(names) == sorted(pictures.PICTURES)
    said = set()
    for name in names:
        drawn = ElementTree.fromstring(pictures.PICTURES[name](example_models.example()))
        assert drawn.attrib["viewBox"].split()[2] == "360"
        title, desc = (drawn.find(f"{{*}}{tag}") for tag in ("title", "desc"))
        assert title is not None
        assert desc is not None
        assert title.text
        assert desc.text
        said |= {title.text, desc.text}
    assert len(said) == 2 * len(names)


def test_the_list_of_decisions_has_every_decision() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"^\d+\. \[.+\]\((.+)\)$", (folder / "README.md").read_text(), re.MULTILINE)
    assert listed == sorted(path.name for path in folder.glob("0*.md"))


def test_long_lines_of_output_are_folded() -> None:
    pytest.importorskip("sphinx", reason="Sphinx is not installed")
    folded = import_module("printed").folded
    assert folded("  a b") == ["  a b"]
    assert folded("  " + "12345678 " * 11) == [
        "  " + "12345678 " * 8 + "12345678",
        "      12345678 12345678",
    ]
