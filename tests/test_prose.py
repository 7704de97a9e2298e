"""Words of all pages: how many, how long their lines are, and whether what they name is there."""

from __future__ import annotations

import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.test_docs import markdown
from tests.test_readme import words

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 120
WRAPPED_ELSEWHERE = ("benchmarks/",)
"""The pages of results wrap their own text."""
MEASURED = (
    "performance",
    "experiments",
    "winners",
    "tiles",
    "service",
    "kernels",
    "networks",
    "convolutions",
)
OF_THE_REPOSITORY = re.compile(
    r"(?:maddjit|templates|tests|docs|benchmarks|examples|\.ci|\.github)/[\w./-]*|[\w./-]+\.(?:py|j2)"
)
SCRIPTS = [ROOT / "Makefile", *sorted((ROOT / ".ci").iterdir())]
EXTRAS = {"sklearn", "torch", "onnx", "dask"}


def without_code(page: str) -> str:
    """Return a page without fenced blocks and comments; lines keep their numbers."""
    return re.sub(
        r"^ *(`{3,}|~{3,}).*?^ *\1 *$|<!--.*?-->",
        lambda block: "\n" * block[0].count("\n"),
        page,
        flags=re.MULTILINE | re.DOTALL,
    )


def spans(page: str) -> list[str]:
    """Return what a page sets as code inside its sentences; a span may go on in the next line."""
    text = re.sub(r"\n(?=\S)", " ", without_code(page))
    return [re.sub(r" +", " ", span) for span in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text)]


def long_lines(page: str) -> list[int]:
    """Return the numbers of lines that are too long and neither table, heading, link nor code."""
    return [
        place
        for place, line in enumerate(without_code(page).split("\n"), start=1)
        if len(re.sub(r"\]\([^)]*\)|<https?:[^>]*>", "]", line)) > LONGEST
        and not line.startswith(("|", "    ", "#"))
    ]


def named_in(script: str) -> list[str]:
    """Return the files and folders of the repository that a script names."""
    found = re.finditer(rf"(?<![\w./$-])(?:{OF_THE_REPOSITORY.pattern})(?!\w)", script)
    return [match[0].rstrip(".") for match in found]


def exists(span: str, tracked: set[str]) -> bool:
    """Tell whether a file or folder is there; a bare name may be that of a file anywhere."""
    if "/" not in span:
        return any(name.rpartition("/")[2] == span for name in tracked)
    return (ROOT / span).exists()


def resolves(name: str) -> bool:
    """Tell whether a dotted name is a module, or leads to something in one."""
    parts = name.split(".")
    thing = import_module(parts[0])
    for i, part in enumerate(parts[1:], start=2):
        if not hasattr(thing, part):
            try:
                import_module(".".join(parts[:i]))
            except ModuleNotFoundError:
                return False
        thing = getattr(thing, part)
    return True


def test_spans_and_lines_of_a_page() -> None:
    page = f"# A\n`a/b.py` and `c\nd`\n```python\nx = `no`\n```\n{'e ' * 70}\n| {'f ' * 70}|\n"
    assert spans(page) == ["a/b.py", "c d"]
    assert long_lines(page) == [7]


def test_names_in_a_script() -> None:
    script = """cd "$folder/docs" && python .ci/use.py  # see tests/a.py, or docs/.
    pytest "tests/b.py::test[docs/c.md]" -o build/docs use_it.py
    platform.python_version()"""
    assert named_in(script) == [
        ".ci/use.py",
        "tests/a.py",
        "docs/",
        "tests/b.py",
        "docs/c.md",
        "use_it.py",
    ]


def test_what_is_there_and_what_is_not() -> None:
    assert resolves("maddjit.compiler.target.Target")
    assert not resolves("maddjit.compiler.nothing")
    assert exists("target.py", {"maddjit/compiler/target.py"})
    assert not exists("target.py", {"maddjit/compiler/no_target.py"})
    assert exists("maddjit/compiler/", set())


@pytest.mark.parametrize("name", MEASURED)
def test_pages_of_measurements_take_a_few_minutes(name: str) -> None:
    page = (ROOT / "docs" / f"{name}.md").read_text(encoding="utf-8")
    assert 550 <= len(words(page)) <= 650
    assert page.count("![") == 1
    assert "## Where another tool is the better choice" in page
    assert page.split("\n\n")[1].startswith("**What to expect.**")
    assert f"](../benchmarks/results/{name}.md)" in page


def test_no_line_of_prose_is_too_long() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{place}"
        for path in markdown()
        if not path.relative_to(ROOT).as_posix().startswith(WRAPPED_ELSEWHERE)
        for place in long_lines(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """The files of all rooms."""
    return {
        path.relative_to(ROOT).as_posix()
        for room in ("maddjit", "templates", "tests", "docs", "benchmarks", "examples", ".ci")
        for path in (ROOT / room).rglob("*.*")
    }


def test_files_that_pages_name_are_there(tracked: set[str]) -> None:
    lost = [
        f"{path.relative_to(ROOT)}: {span}"
        for path in markdown()
        if path.name != "CHANGELOG.md"  # it tells of files of other days
        for span in spans(path.read_text(encoding="utf-8"))
        if OF_THE_REPOSITORY.fullmatch(span) and not exists(span, tracked)
    ]
    assert not lost, "\n".join(lost)


def test_files_that_scripts_name_are_there(tracked: set[str]) -> None:
    """The Makefile's `$(CURDIR)` is the root of the repository."""
    lost = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SCRIPTS
        for name in named_in(path.read_text(encoding="utf-8").replace("$(CURDIR)/", ""))
        if not exists(name, tracked)
    ]
    assert not lost, "\n".join(lost)


def test_modules_that_scripts_run_are_there() -> None:
    lost = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SCRIPTS
        for name in re.findall(r" -m ((?:benchmarks|maddjit)[\w.]*)", path.read_text("utf-8"))
        if find_spec(name) is None
    ]
    assert not lost, "\n".join(lost)


def test_names_in_maddjit_that_pages_use_resolve() -> None:
    lost = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in markdown()
        if path.name != "CHANGELOG.md"
        for span in spans(path.read_text(encoding="utf-8"))
        for name in re.findall(r"(?<![\w.])maddjit(?:\.[A-Za-z_]\w*)+", span)
        if not EXTRAS & set(name.split(".")) and not resolves(name)
    ]
    assert not lost, "\n".join(lost)
