"""From results to the page: ``python benchmarks/report.py results.json``; nothing is measured here.

Only what stands between the two markers is replaced; text around them survives.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import topics
from layout import heading, origin, paragraph, spread, table

START, END = "<!-- generated -->", "<!-- end of generated -->"
PAGE = Path(__file__).resolve().parent.parent / "docs" / "performance.md"

Record = dict[str, Any]


def write_page(results: Record, page: Path) -> None:
    """Write plots beside the page, and the generated part into it."""
    write_between(page, "# Performance", lambda: render(results, _plots(results, page)))


def write_between(page: Path, title: str, generate: Callable[[], str]) -> None:
    """Replace what stands between the markers of a page, or begin a page with this title."""
    page.parent.mkdir(parents=True, exist_ok=True)
    text = page.read_text() if page.exists() else f"{title}\n\n{START}\n{END}\n"
    if text.count(START) != 1 or text.count(END) != 1:
        raise SystemExit(f"{page} must hold {START} and {END}, once each")
    before, rest = text.split(START)
    after = rest.split(END)[1]
    page.write_text(f"{before}{START}\n{generate()}\n{END}{after}")


def _plots(results: Record, page: Path) -> dict[str, str]:
    """Draw what can be drawn; return each plot's path as the page names it."""
    folder = page.parent / page.stem
    try:
        import plots
    except ImportError:  # matplotlib is optional
        return {}
    return {
        name: f"{folder.name}/{path.name}" for name, path in plots.draw(results, folder).items()
    }


def render(results: Record, plots: dict[str, str]) -> str:
    """Return the generated part of the page."""
    cases = results["cases"]
    blocks = [_origin(results), _targets(cases)]
    for topic in topics.TOPICS:
        chosen = [case for case in cases if topic.takes(case)]
        if chosen:
            blocks += [heading(topic.title), paragraph(topic.text)]
            blocks += [f"![{topic.title}]({plots[topic.plot]})"] if topic.plot in plots else []
            blocks.append(topic.show(chosen))
    return "\n\n".join(block for block in blocks if block)


def _origin(results: Record) -> str:
    lines = [
        origin(results),
        "All candidates of a case take turns in one process, in one thread on one processor, in "
        "another random order each round; a turn repeats its candidate for 5 ms at least. Ratios "
        f"are taken round by round: medians of {results['rounds']} rounds, with the quartiles in "
        "brackets. Arrays are row-major float32 and outputs go into memory that is there, unless "
        "it says otherwise. Rows are made of a few hidden directions, noise and a ReLU; models are "
        "fitted as the paper does on other rows. `make bench` repeats all of it.",
    ]
    for key, words in (("left_out", "Left out"), ("failed", "Failed")):
        if results[key]:
            reasons = "; ".join(f"{name} ({why})" for name, why in results[key].items())
            lines.append(f"{words}: {reasons}.")
    return "\n\n".join(paragraph(line) for line in lines)


def _targets(cases: Sequence[Record]) -> str:
    rows = [
        [
            topics.title(case),
            target["own"],
            target["text"],
            _reached(target),
            {True: "yes", False: "**no**", None: "not measured"}[target["met"]],
        ]
        for case in cases
        for target in case.get("targets", ())
    ]
    if not rows:
        return ""
    head = ["case", "what", "target", "reached", "met"]
    return f"{heading('Targets')}\n\n{table(head, rows)}"


def _reached(target: Record) -> str:
    return f"{spread(target['reached'])} {target['unit']}" if target["reached"] else "–"


def main() -> None:
    """Read results, write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path)
    parser.add_argument("--page", type=Path, default=PAGE)
    options = parser.parse_args()
    write_page(json.loads(options.results.read_text()), options.page)


if __name__ == "__main__":
    main()
