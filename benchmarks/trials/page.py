"""From results to the page of the experiments; nothing is measured here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from layout import heading, number, origin, paragraph, reasons, spread, table
from report import write_between

from trials import claims, targets
from trials.analysis import Point, shown
from trials.candidates import is_own

Record = dict[str, Any]

TITLE = "# Experiments"


def write_page(results: Record, page: Path) -> None:
    """Write plots beside the page, and the generated part into it."""
    write_between(page, TITLE, lambda: render(results, _pictures(results, page)))


def _pictures(results: Record, page: Path) -> dict[str, str]:
    """Draw what can be drawn; return each task's picture as the page names it."""
    try:
        from trials import pictures
    except ImportError:  # matplotlib is optional
        return {}
    folder = page.parent / page.stem
    return {
        name: f"{folder.name}/{path.name}"
        for name, path in pictures.draw(results["tasks"], folder).items()
    }


def render(results: Record, pictures: dict[str, str]) -> str:
    """Return the generated part of the page."""
    tasks = results["tasks"]
    blocks = [_origin(results), _targets(tasks), _claims(tasks)]
    for task in tasks:
        blocks += _task(task, pictures.get(task["name"]))
    return "\n\n".join(block for block in blocks if block)


def _origin(results: Record) -> str:
    lines = [
        origin(results),
        f"NMSE is mean((Ŷ − Y)²) / var(Y) on the test rows, of which nothing is learned. Methods "
        f"learn from at most {results['limits']['train_rows']} rows, fewer where that takes long. "
        "Random ones are the median of three seeds, with the least and the largest in brackets. "
        f"Speeds are times as fast as `numpy.matmul`: medians of {results['limits']['rounds']} "
        "rounds or more with the quartiles in brackets, in one thread, row-major float32 in and "
        "out, into fresh arrays. Each group that takes turns holds the exact product; that of "
        "maddjit and MADDNESS also holds the 8-bit products and the fastest others. Operators of "
        "maddjit are timed with a column-major A too. Tables have the settings that no other of "
        "the same method beats in both error and speed; plots leave out what lies far off. "
        "MADDNESS and MADDNESS-PQ are the paper's learning (K = 16) compiled by maddjit.",
    ]
    lines += reasons(results)
    return "\n\n".join(paragraph(line) for line in lines)


def _targets(tasks: list[Record]) -> str:
    head = ["", "task", "what", "wished", "reached", ""]
    rows = [target.cells() for target in targets.judge(tasks)]
    words = (
        "What was wished for before anything was measured. At equal time, log NMSE is interpolated "
        "over log time between settings, and the best variant counts at each time; at a metric as "
        "good, the fastest setting whose metric is no worse."
    )
    return f"{heading('Targets')}\n\n{paragraph(words)}\n\n{table(head, rows)}"


def _claims(tasks: list[Record]) -> str:
    words = (
        "The paper claims products up to 100 times as fast as exact ones and 10 times as fast as "
        "other approximations. For each task, the fastest settings that reach a quality: points "
        "are hundredths of the task's metric, against the exact product. *Other* is everything "
        "that is neither maddjit nor MADDNESS: 8 bits, bfloat16, low rank, sketches, codebooks."
    )
    blocks = [heading("The paper's two claims"), paragraph(words)]
    for task in tasks:
        blocks += [f"**{task['title']}**", paragraph(claims.words(task))]
        blocks.append(table(claims.HEAD, claims.rows(task)))
    return "\n\n".join(blocks)


def _task(task: Record, picture: str | None) -> list[str]:
    exact = task["exact"]
    metrics = [(task["metric"], exact["score"]), *exact["extra"].items()]
    told = ", ".join(f"{name} {score_text(task, name, value)}" for name, value in metrics)
    lines = f"{task['source']}. Learned from {task['train_rows']} rows at most. Exact: {told}"
    if "ns_per_row" in exact:
        lines += (
            f"; {spread(exact['ns_per_row'])} ns a row for {task['timed_rows']} rows, "
            f"{spread(exact['reused'])} × as fast into memory that is there, "
            f"{spread(exact['columns'])} × with a column-major A"
        )
    blocks = [heading(task["title"]), paragraph(f"{lines}.")]
    if picture:
        blocks.append(f"![{task['title']}]({picture})")
    return [*blocks, _runs(task), *map(paragraph, reasons(task))]


def score_text(task: Record, name: str, value: float) -> str:
    """Return a metric as the page shows it: an NMSE as such, all others in per cent."""
    return number(value) if name == task["metric"] == "NMSE" else f"{100 * value:.2f} %"


def _runs(task: Record) -> str:
    extra = list(task["exact"]["extra"])
    metrics = [] if task["metric"] == "NMSE" else [task["metric"]]
    head = ["method", "setting", "NMSE", *metrics, *extra, "× exact", "× exact, column-major A"]
    rows = [
        [
            f"**{point.method}**" if is_own(point.method) else point.method,
            str(point.setting) if point.record["words"] else "",
            _seeds(point),
            *(score_text(task, name, point.score) if point.score is not None else "–"
              for name in metrics),
            *(score_text(task, name, point.record["extra"][name][1])
              if name in point.record["extra"] else "–" for name in extra),
            spread(point.record["speed"]),
            spread(point.record["columns"]["speed"]) if "columns" in point.record else "",
        ]
        for point in shown(task)
    ]  # fmt: skip
    return table(head, rows)


def _seeds(point: Point) -> str:
    least, median, largest = point.record["nmse"]
    seeds = f" ({number(least)}–{number(largest)})" if least < largest else ""
    return number(median) + seeds
