"""The tables of the kernels page: a column for each machine and level."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.harness.levels import called
from benchmarks.harness.page import label
from benchmarks.harness.suite import Across
from benchmarks.harness.tables import Record, number, spread, table
from benchmarks.suites.kernels.steps import STEP


def head(results: Record) -> str:
    """Return a column's heading: the level and the CPU."""
    return f"{called(results)}: {results['machine']['cpu']} ({results['machine']['llvm_cpu']})"


def cases(found: Sequence[Record]) -> str:
    """Return every case, with its medians, quartiles and what was wished for."""
    parts = []
    for name in dict.fromkeys(task["name"] for results in found for task in results["tasks"]):
        by_case: dict[tuple[str, str], list[str]] = {}
        for place, results in enumerate(found):
            task = next((task for task in results["tasks"] if task["name"] == name), {})
            for row in task.get("rows", ()):
                cells = by_case.setdefault((row["case"], row["unit"]), [""] * 2 * len(found))
                wished = row["wished"][called(results) == "AVX-512"]
                cells[2 * place : 2 * place + 2] = [spread(row["value"]), wished]
        heads = [cell for results in found for cell in (head(results), "wished")]
        lines = [[*key, *cells] for key, cells in by_case.items()]
        if lines:
            parts += [f"### {name[0].upper()}{name[1:]}", table(["case", "value", *heads], lines)]
    return "\n\n".join(parts)


def rows(found: Sequence[Record]) -> str:
    """Return the time per row of each shape; steps upwards are bold."""
    parts = []
    for results in found:
        shapes = [task for task in results["tasks"] if "points" in task]
        sizes = sorted({point["N"] for task in shapes for point in task["points"]})
        lines = []
        for task in shapes:
            cells = {point["N"]: point for point in task["points"]}
            lines.append([task["title"], *(_cell(cells.get(N)) for N in sizes)])
        shown = table(["ns a row, N =", *map(str, sizes)], lines)
        parts += [f"*{label(results)}*", shown] if shown else []
    return "\n\n".join(parts)


def _cell(point: Record | None) -> str:
    if point is None:
        return ""
    ns = number(point["ns"][1])
    step = point["step"]
    return f"**{ns} (× {number(step)})**" if step and step > STEP else ns


ACROSS: dict[str, Across] = {"cases": cases, "rows": rows}
