"""The page of a suite's results: its text, with the tables of every machine side by side.

The text is `page.md` of the suite. Lines like ``{{ name }}`` stand for tables. Nothing is measured
here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import suppress
from io import StringIO
from pathlib import Path

from benchmarks.harness import machine
from benchmarks.harness.suite import RESULTS, Section, Suite
from benchmarks.harness.tables import Record, paragraph, reasons, table

_NOTHING = "Nothing was measured."
_SEVEN_BITS = (
    "Without VNNI, as here, 8-bit products of onnxruntime and FBGEMM have weights of 7 bits, as "
    "onnxruntime's guide advises: with 8 bits their sums of pairs of products would saturate."
)


def read_results(suite: Suite, paths: Sequence[Path] = ()) -> list[Record]:
    """Return what results files hold: those of `paths`, or all that the suite has."""
    chosen = paths or sorted(RESULTS.glob(f"{suite.name}-*.json"))
    return [json.loads(path.read_text()) for path in chosen]


def write_page(suite: Suite, found: Sequence[Record], page: Path) -> None:
    """Draw the figures beside the page, and write the page."""
    for results in found if suite.figures else ():
        with suppress(ImportError):  # without matplotlib earlier figures stay
            _draw(suite, results, page.parent)
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(render(suite, found, page.parent))


def render(suite: Suite, found: Sequence[Record], folder: Path = RESULTS) -> str:
    """Return the page of results of one machine or of several, with the figures of a folder."""
    found = [results | {"figures": _links(suite, results, folder)} for results in found]
    command = f"python -m benchmarks {suite.name} --render"
    text = re.sub(
        r"^\{\{ (\w+) \}\}$",
        lambda marker: _shown(suite, marker[1], found),
        suite.text.read_text(),
        flags=re.MULTILINE,
    )
    return f"<!-- Written by `{command}`; edit `suites/{suite.name}/page.md`. -->\n\n{text}"


def _shown(suite: Suite, name: str, found: Sequence[Record]) -> str:
    """Return a section's blocks, under each heading those of one machine after another."""
    if across := suite.across.get(name):
        return across(found) or _NOTHING
    sections: dict[str, Section] = {"origin": origin, "wishes": _wishes, **suite.sections}
    section = sections[name]
    parts = [(label(results), section(results)) for results in found]
    blocks = []
    for heading in dict.fromkeys(heading for _, part in parts for heading in part):
        blocks += [f"### {heading}"] if heading else []
        for name, part in parts:
            if shown := [block for block in part.get(heading, ()) if block]:
                blocks += [f"*{name}*", *shown]
    return "\n\n".join(blocks) or _NOTHING


def label(results: Record) -> str:
    """Return the machine, the level and the day of results, as they stand above each table."""
    facts = results["machine"]
    return f"{facts['cpu']} ({facts['llvm_cpu']}), {facts['level']}, {results['date'][:10]}"


def origin(results: Record) -> dict[str, list[str]]:
    """Say when, where and with what was measured, and what was left out."""
    facts = results["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in facts["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    limits = ", ".join(f"{name} {value}" for name, value in results["limits"].items() if value)
    words = (
        f"Measured on {results['date'][:16].replace('T', ' ')} UTC at commit {results['commit']}, "
        f"{facts['cores']} cores, {f'caches {caches}, ' if caches else ''}{facts['platform']}. "
        f"Versions: {versions}. Limits: {limits}."
    )
    lines = [words, *results.get("notes", ())]
    if facts.get("largest_weight", 127) < 127:
        lines.append(_SEVEN_BITS)
    return {"": [*map(paragraph, lines), *reasons(results)]}


def _wishes(results: Record) -> dict[str, list[str]]:
    """Show what was wished for and reached. It was judged once; results files keep the rows."""
    return {"": [table(["where", "what", "wished", "reached", ""], results.get("wishes", ()))]}


def _links(suite: Suite, results: Record, folder: Path) -> dict[str, str]:
    """Return the path of each figure of a machine, from the page's folder."""
    place = machine.file_name(results["machine"])
    return {
        path.stem.removesuffix(f"-{place}"): path.relative_to(folder).as_posix()
        for path in sorted((folder / "figures" / suite.name).glob(f"*-{place}.svg"))
    }


def _draw(suite: Suite, results: Record, folder: Path) -> None:
    """Save a machine's figures as SVG files that change only if the results do."""
    import matplotlib as mpl

    assert suite.figures
    place = folder / "figures" / suite.name
    place.mkdir(parents=True, exist_ok=True)
    for name, figure in suite.figures(results).items():
        drawn = StringIO()
        with mpl.rc_context({"svg.hashsalt": "maddjit", "font.size": 9}):
            figure.savefig(drawn, format="svg", metadata={"Date": None}, bbox_inches="tight")
        # Without indentation and with two decimals the files are a third shorter.
        short = re.sub(
            r"(?<!scale\()(\d\.\d\d)\d{4}\b", r"\1", re.sub(r"\n +", "\n", drawn.getvalue())
        )
        (place / f"{name}-{machine.file_name(results['machine'])}.svg").write_text(short)
