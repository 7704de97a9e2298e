"""From results to the page of tile operators; nothing is measured here."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from layout import heading, number, origin, paragraph, reasons, spread, table
from report import write_between

from tiling import wishes
from tiling.layer_page import layer
from tiling.rivals import NUMPY
from tiling.ways import Record

TITLE = "# Tile operators"
_TOGETHER = 4
"""Shapes of one table."""


def write_page(results: Record, page: Path) -> None:
    """Write the generated part into the page."""
    write_between(page, TITLE, lambda: render(results))


def render(results: Record) -> str:
    """Return the generated part of the page."""
    tasks = results["tasks"]
    shapes = [task for task in tasks if task["kind"] == "shape"]
    blocks = [_origin(results), _wishes(tasks)]
    if shapes:
        blocks += [_speeds(shapes), _errors(shapes), _operators(shapes)]
    for task in tasks:
        if task["kind"] == "layer":
            blocks += layer(task)
    return "\n\n".join(blocks)


def _origin(results: Record) -> str:
    lines = [
        origin(results),
        *reasons(results),
    ]
    return "\n\n".join(paragraph(line) for line in lines)


def _wishes(tasks: Sequence[Record]) -> str:
    words = (
        "What was wished for before anything was measured; medians count. A scheme whose rounding "
        f"error is above {wishes.ROUNDING:g} × that of `numpy.matmul` in float32 at a shape does "
        "not count there for speed. Errors are root mean squares relative to the outputs' own "
        "deviation, the largest over the places named."
    )
    rows = wishes.rows(tasks)
    return "\n\n".join([heading("Targets"), paragraph(words), table(wishes.HEAD, rows)])


def _speeds(shapes: list[Record]) -> str:
    words = (
        "White noise times white noise, N × D × M. Times as fast as `numpy.matmul`, whose time "
        "stands in the first line. Approximate ways are in the same table for their speed; the "
        "next one tells how wrong they are."
    )
    told = "; ".join(f"{task['rounds']} rounds at {task['title']}" for task in shapes)
    blocks = [heading("Products of many shapes"), paragraph(f"{words} {told}.")]
    for first in range(0, len(shapes), _TOGETHER):
        some = shapes[first : first + _TOGETHER]
        rows = [["`numpy.matmul`, µs", *(spread(task["ways"][NUMPY]["us"]) for task in some)]]
        rows += _by_way(some, lambda record: spread(record["speed"]), leave=(NUMPY,))
        blocks.append(table(["", *(task["title"] for task in some)], rows))
    left_out = [f"{task['title']}: {line}" for task in shapes for line in reasons(task)]
    return "\n\n".join([*blocks, *(paragraph(line) for line in left_out)])


def _errors(shapes: list[Record]) -> str:
    words = (
        "Root mean square error against float64, relative to the root mean square of the outputs; "
        "of exact schemes in float32 also how many times the error of `numpy.matmul` that is, "
        "which OpenBLAS keeps small by adding up blocks of columns. White noise is the worst case "
        "of approximate schemes: what is fitted to a layer's rows stands further down."
    )

    def cell(record: Record) -> str:
        if "error" not in record:
            return ""
        times = f" ({number(record['rounding'])} ×)" if "rounding" in record else ""
        return f"{record['error']:.2g}{times}"

    blocks = [heading("Errors on white noise"), paragraph(words)]
    for first in range(0, len(shapes), _TOGETHER):
        some = shapes[first : first + _TOGETHER]
        blocks.append(table(["", *(task["title"] for task in some)], _by_way(some, cell)))
    return "\n\n".join(blocks)


def _by_way(shapes: list[Record], cell: object, leave: tuple[str, ...] = ()) -> list[list[str]]:
    """Return a row for each way that one of the shapes has, rivals first."""
    assert callable(cell)
    names = dict.fromkeys(name for task in shapes for name in task["ways"] if name not in leave)
    return [
        [_named(name, shapes)]
        + [cell(task["ways"][name]) if name in task["ways"] else "" for task in shapes]
        for name in names
    ]


def _named(name: str, shapes: list[Record]) -> str:
    own = any(task["ways"].get(name, {}).get("kind") == "maddjit" for task in shapes)
    return f"**{name}**" if own else name


def _operators(shapes: list[Record]) -> str:
    """Say what an operator takes beside its time, at the largest shape that has all."""
    most = max(len(task["ways"]) for task in shapes)
    task = [task for task in shapes if len(task["ways"]) == most][-1]
    task = next((known for known in shapes if known["name"] == wishes.CUBES[1]), task)
    words = (
        f"At {task['title']}: the class, multiplications saved, vector operations that encode a "
        "tile of A and decode one of outputs, memory and the time to compile."
    )
    head = [
        "scheme",
        "class",
        "× fewer",
        "encode, decode",
        "B, KB",
        "workspace, KB",
        "compiled, ms",
    ]
    rows = [
        [
            name,
            record["class"],
            number(record["saving"]),
            ", ".join(map(str, record["additions"])),
            number(record["packed_bytes"] / 1024),
            number(record["workspace_bytes"] / 1024),
            number(record["compile_ms"]),
        ]
        for name, record in task["ways"].items()
        if record["kind"] == "maddjit"
    ]
    return "\n\n".join([heading("What an operator takes"), paragraph(words), table(head, rows)])
