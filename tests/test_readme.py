"""The README is short and true, and the pages beside it name files and targets that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks.harness.page import Record
from benchmarks.suites.front import readme
from tests.benchmarks.small import measured

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = ("README.md", "CONTRIBUTING.md", "SECURITY.md")
TABLE = README.partition(readme.START)[2].partition(readme.END)[0]


def words(page: str) -> list[str]:
    """Return the words that a reader reads: tables too, but no code blocks and no addresses."""
    text = re.sub(r"^```.*?^```$|^    .*?$|<!--.*?-->", "", page, flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"\]\([^)]*\)", "] ", text)
    return [word for word in text.split() if re.search(r"\w", word)]


def stored() -> list[Record]:
    """Return the results of the machine that the README's figures are of, AVX2 first."""
    return readme.machines()[0]


def test_words_are_counted() -> None:
    page = (
        "# A title\n\n```python\nx = 1\n```\n\n    pip install .\n\n| a | [b](c/d.md) |\n<!-- e -->"
    )
    assert words(page) == ["A", "title", "a", "[b]"]


def test_the_readme_takes_a_few_minutes() -> None:
    assert 500 <= len(words(README)) <= 700
    assert README.count("![") == 1
    assert "](docs/front.svg)" in README.partition("\n## ")[0]


def test_the_figures_are_those_that_were_measured() -> None:
    assert readme.with_figures(README, stored()) == README


def test_the_first_figures_are_those_of_the_table() -> None:
    told = re.search(
        r"(\d+) times .* AVX2 and (\d+) times\swith\sAVX-512.*names\s([\d.]+ %).*of\s([\d.]+ %)",
        README.partition("![")[0],
        re.DOTALL,
    )
    assert told
    avx2, avx512, right, exact = told.groups()
    assert f"**32 look-ups an output** | 0.05 | {right} | {avx2} | {avx512} |" in TABLE
    assert f"`numpy.matmul` | 0 | {exact} | 1 | 1 |" in TABLE


def test_the_stored_measurements_are_of_levels_that_were_held() -> None:
    avx2, avx512 = stored()
    assert {task["onednn"] for task in avx2["tasks"]} == {"Intel AVX2"}
    assert "(Haswell)" in avx2["versions"]["OpenBLAS of numpy"]
    for results, has_onnx in ((avx2, False), (avx512, True)):
        rows = [row for task in results["tasks"] for row in task["rows"]]
        assert any("onnxruntime" in row["name"] for row in rows) == has_onnx
        for row in rows:
            low, median, high = row["speed"]
            assert low <= median <= high


def test_the_plot_is_small_and_says_nothing_of_where_it_was_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="matplotlib is not installed")
    drawn = tmp_path / "front.svg"
    readme.draw(readme.machines(), drawn)
    for path in (drawn, readme.PLOT):
        text = path.read_text(encoding="utf-8")
        assert len(text) < 60_000
        assert not re.search(r"dc:date|/home/|/tmp/", text)
        assert str(ROOT) not in text
        for label in ("low rank,", "8 bits", "AVX2", "AVX-512"):
            assert f"<!-- {label}" in text


@pytest.mark.slow
def test_ways_of_the_plot_are_checked_and_timed(tmp_path: Path) -> None:
    results, text = measured("front", tmp_path)
    rows = {(task["name"], row["name"]): row for task in results["tasks"] for row in task["rows"]}
    assert rows["hidden", "exact: numpy.matmul"]["nmse"] == 0
    assert rows["hidden", "exact: numpy.matmul"]["speed"] == [1, 1, 1]
    # Both leave eight directions to an exact product; the tables then find more of what is left.
    mixed, low_rank = rows["hidden", "look-ups: 16 + rank 8"], rows["hidden", "low rank: 8 of 512"]
    assert mixed["nmse"] < low_rank["nmse"]
    assert rows["winner", "exact winners: 99.9% promised"]["nmse"] is None
    assert "### last, largest output alone" in text


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page: str) -> None:
    for address in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text(encoding="utf-8")):
        assert address.startswith("https://") or (ROOT / address).exists(), address


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "SECURITY.md"])
def test_named_files_and_targets_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    rooms = r"(?:maddjit|tests|templates|docs|benchmarks)(?:/[\w./]+)?"
    for name in re.findall(rf"`({rooms})`", text):
        assert (ROOT / name).exists(), name
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for used in re.findall(r"(?:`|^    )make ([a-z ]+)(?:`|  )", text, re.MULTILINE):
        assert set(used.split()) <= targets, used


@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_make_lists_every_target() -> None:
    done = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True)
    listed = dict(re.findall(r"^  make (\w+) +(\S.*)$", done.stdout, re.MULTILINE))
    (phony,) = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert listed.keys() == set(phony.split())
