"""The README's plot, table and first figures: error against speed, at AVX-512 and at AVX2.

    python -m benchmarks.suites.front            # measure, then draw and write
    python -m benchmarks.suites.front --render   # draw and write what is stored

The layers are those of `examples/demo.py`, whose rows are in the repository. Each level is measured
by a process of its own, in one thread, and has its own file in `results`. On a machine with
AVX-512, maddjit, OpenBLAS and PyTorch are held to AVX2 for the second level. onnxruntime cannot be
held to it, and is left out there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import machine
from benchmarks.suites.front import ways

ROOT = Path(__file__).resolve().parents[3]
RESULTS = ROOT / "benchmarks" / "results"
PLOT, README, PAGE = ROOT / "docs" / "front.svg", ROOT / "README.md", RESULTS / "front.md"
START, END = "<!-- results -->\n", "<!-- /results -->"

Record = dict[str, Any]

FAMILIES = {
    "look-ups": ("look-ups,\n8 to 64 an output", "#0b6e4f", (0.985, 0.70), "right"),
    "look-ups and rank": ("look-ups and low rank", "#1d6fb8", (0.985, 0.535), "right"),
    "low rank": ("low rank,\n64 to 8 of 512", "#9a5b00", (0.335, 0.62), "right"),
    "8 bits": ("8 bits", "#b3263e", (0.335, 0.145), "right"),
}
"""What the plot calls each kind of way, its colour, and where in the panel its name stands."""
IN_README = {
    ("hidden", "exact: numpy.matmul"): "`numpy.matmul`",
    ("hidden", "8 bits"): "8 bits",
    ("hidden", "low rank: 16 of 512"): "low rank, 16 of 512",
    ("hidden", "look-ups: 16 + rank 8"): "**16 look-ups an output, and rank 8**",
    ("hidden", "look-ups: 32 an output"): "**32 look-ups an output**",
    ("head", "8 bits"): "8 bits",
    ("head", "look-ups: 16 an output"): "**16 look-ups an output**",
    ("winner", "8 bits"): "8 bits and argmax",
    ("winner", "exact winners: 99.9% promised"): "**exact for 99.9 % of rows**",
}
"""The rows of the README's table, and their names there. "8 bits" is the fastest of them."""
FIRST = ("hidden", "look-ups: 32 an output")
"""The way that the README's second sentence is about."""
TITLES = {
    "hidden": "hidden, 512 × 512",
    "head": "last, 512 × 10",
    "winner": "last, largest output alone",
}
LIBRARIES = ("numpy", "OpenBLAS of numpy", "torch", "oneDNN of torch", "onnxruntime")
PAGE_TEXT = """\
`make front` measures these figures and writes this page. The layers are those of
`examples/demo.py`: two layers of a small CNN on Fashion-MNIST. All ways learn from 4000 rows.
Error and shares are of 2000 other rows. NMSE is the squared error of the outputs over their squared
distance from their mean.

All ways take turns in one process, in one thread, float32 in and out. The exact product is
`numpy.matmul` without the bias; the others add it. Speeds are ratios of CPU time, taken round by
round. At AVX2, maddjit, OpenBLAS and PyTorch with oneDNN are held to AVX2. "With VNNI", oneDNN
alone may also use the 8-bit dot products of AVX-VNNI. onnxruntime cannot be held to a level, so it
is missing at AVX2.
"""


def main(rounds: int, batch: int) -> None:
    """Measure each level in a process of its own and store what each prints."""
    here = _measured({}, rounds, batch)
    _store(here)
    if _level(here) != "AVX2":
        held = _measured(ways.HELD_TO_AVX2, rounds, batch)
        with_vnni = _measured(ways.WITH_VNNI, rounds, batch, "--eight-bit")
        held["rows"] += [row for row in with_vnni["rows"] if row["family"] == "8 bits"]
        _store(held)


def _measured(environment: dict[str, str], rounds: int, batch: int, *more: str) -> Record:
    print(f"measuring {environment or 'all that this CPU has'} …", file=sys.stderr, flush=True)
    command = [
        "-m",
        "benchmarks.suites.front",
        "--measure",
        f"--rounds={rounds}",
        f"--batch={batch}",
    ]
    done = subprocess.run(
        [sys.executable, *command, *more],
        cwd=ROOT,
        env=os.environ | machine.ENVIRONMENT | environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    record: Record = json.loads(done.stdout)
    return record


def measure(rounds: int, batch: int, eight_bit_alone: bool) -> Record:
    """Return what this process measures, with the machine and the versions."""
    rows = ways.measure(batch, rounds, eight_bit_alone)
    libraries = {"oneDNN of torch": ways.onednn()}
    return (
        machine.describe()
        | {"libraries": libraries, "batch": batch, "rounds": rounds}
        | {"rows": rows}
    )


def _store(record: Record) -> None:
    path = RESULTS / f"front-{machine.file_name(record['machine'])}"
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(path.relative_to(ROOT), file=sys.stderr)


def _level(record: Record) -> str:
    name = record["machine"]["level"]
    return {"x86-64-v3": "AVX2"}.get(name, "AVX-512" if name.startswith("x86-64-v4") else name)


def records() -> list[Record]:
    """Return what is stored, AVX2 first."""
    paths = sorted(RESULTS.glob("front-*.json"))
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return sorted(found, key=_level, reverse=True)


def machines(stored: list[Record]) -> list[list[Record]]:
    """Return the records of each machine together."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in stored:
        name = record["machine"]["cpu"], record["machine"]["llvm_cpu"]
        found.setdefault(name, []).append(record)
    return list(found.values())


def render() -> None:
    """Draw the plot; write the page of results and the README's table."""
    found = machines(records())
    draw(found, PLOT)
    PAGE.write_text(page(found), encoding="utf-8")
    README.write_text(with_figures(README.read_text(encoding="utf-8"), found[0]), encoding="utf-8")


def with_figures(text: str, of_machine: list[Record]) -> str:
    """Return the README with the table and the first sentence's figures of a machine."""
    before, after = text.partition(START)[0], text.partition(END)[2]
    text = f"{before}{START}{table(of_machine)}{END}{after}"
    rows = {_level(record): _chosen(record["rows"], *FIRST)[0] for record in of_machine}
    for level, row in rows.items():
        figure = rf"\d+( times\s(?:as fast as `numpy.matmul` )?with\s{level})"
        text = re.sub(figure, rf"{row['speed'][1]:.0f}\1", text, count=1)
    right = min(row["right"] for row in rows.values())
    return re.sub(r"(names )[\d.]+", rf"\g<1>{100 * right:.1f}", text, count=1)


def table(of_machine: list[Record]) -> str:
    """Return the README's table: some ways, with the medians of a machine's two levels."""
    levels = sorted(map(_level, of_machine), reverse=True)
    lines = ["| layer | way | error | images right | " + " | ".join(levels) + " |"]
    lines.append("| --- | --- " + "| ---: " * (2 + len(levels)) + "|")
    before = ""
    for (layer, name), shown in IN_README.items():
        found = [_chosen(record["rows"], layer, name) for record in of_machine]
        first = [rows[0] for rows in found]
        errors = [row["nmse"] for row in first if row["nmse"] is not None]
        right = min(row["right"] for row in first)
        speeds = dict(zip(map(_level, of_machine), map(_speeds, found), strict=True))
        cells = ["" if layer == before else TITLES[layer], shown]
        cells += [_error(max(errors)) if errors else "–", f"{100 * right:.1f} %"]
        lines.append(f"| {' | '.join([*cells, *(speeds[level] for level in levels)])} |")
        before = layer
    return "\n".join(lines) + "\n"


def _chosen(rows: list[Record], layer: str, name: str) -> list[Record]:
    """Return the fastest row of that name or family, and those for other instruction sets."""
    found = [r for r in rows if r["layer"] == layer and name in (r["name"], r["family"])]
    others = [row for row in found if row["size"].startswith("with ")]
    plain = [row for row in found if row not in others]
    return [max(plain, key=lambda row: row["speed"][1]), *others]


def _speeds(rows: list[Record]) -> str:
    first, *others = rows
    more = "".join(f" ({_number(row['speed'][1])} {row['size']})" for row in others)
    return _number(first["speed"][1]) + more


def _number(speed: float) -> str:
    return "1" if speed == 1 else f"{speed:.1f}" if speed < 9.95 else f"{speed:.0f}"


def _error(nmse: float) -> str:
    return f"{nmse:.1g}" if nmse >= 1e-4 else f"{nmse:.5f}" if nmse else "0"


def page(found: list[list[Record]]) -> str:
    """Return all that was measured, as a page of results."""
    lines = ["# Error and speed of two layers", "", PAGE_TEXT]
    for record in (record for of_machine in found for record in of_machine):
        versions = record["versions"] | record["libraries"]
        kept = {name: text for name, text in versions.items() if name in LIBRARIES and text}
        lines += [
            f"## {_level(record)}: {record['machine']['cpu']} ({record['machine']['llvm_cpu']})",
            "",
            f"maddjit's level: {record['machine']['level']}. "
            f"{', '.join(f'{name} {text}' for name, text in kept.items())}. "
            f"{record['rounds']} rounds, {record['batch']} rows a call.",
            "",
            "| layer | way | NMSE | images right | as exact | times as fast (quartiles) |",
            "| --- | --- | ---: | ---: | ---: | ---: |",
        ]
        for row in record["rows"]:
            nmse = "" if row["nmse"] is None else f"{row['nmse']:.2g}"
            low, speed, high = (f"{value:.3g}" for value in row["speed"])
            cells = [TITLES[row["layer"]], row["name"], nmse]
            cells += [f"{100 * row['right']:.2f} %", f"{100 * row['same']:.2f} %"]
            lines.append(f"| {' | '.join(cells)} | {speed} ({low}–{high}) |")
        lines.append("")
    return "\n".join(lines)


def draw(found: list[list[Record]], path: Path) -> None:
    """Draw the hidden layer: a panel for each machine, a kind of marker for each level."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "maddjit", "font.size": 12, "axes.linewidth": 0.8}):
        figure = Figure(figsize=(5.6, 5.2 * len(found)), layout="constrained", facecolor="white")
        panels = figure.subplots(len(found), 1, squeeze=False)[:, 0]
        for axes, of_machine in zip(panels, found, strict=True):
            _panel(axes, of_machine)
        figure.savefig(path, metadata={"Date": None, "Creator": None})


def _panel(axes: Any, of_machine: list[Record]) -> None:
    for record in of_machine:
        is_avx2 = _level(record) == "AVX2"
        dashes = (0, (4, 2)) if is_avx2 else "-"
        axes.plot([], [], "o", label=_level(record), **_look("#444444", is_avx2, dashes))
        for family, (_, colour, *_) in FAMILIES.items():
            rows = [r for r in record["rows"] if (r["layer"], r["family"]) == ("hidden", family)]
            rows.sort(key=lambda row: row["nmse"])
            low, speed, high = zip(*(row["speed"] for row in rows), strict=True)
            errors = [row["nmse"] for row in rows]
            axes.hlines(errors, low, high, color=colour, linewidth=4, alpha=0.35)
            lines = "none" if family == "8 bits" else dashes  # not sizes of one way
            axes.plot(speed, errors, "o", **_look(colour, is_avx2, lines))
    for name, colour, place, side in FAMILIES.values():
        axes.text(*place, name, color=colour, ha=side, va="center", transform=axes.transAxes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    axes.set_yticks([1e-4, 1e-3, 1e-2, 1e-1], [".0001", ".001", ".01", ".1"])
    axes.minorticks_off()
    axes.set_xlim(0.9, 45)
    axes.set_ylim(1.2e-5, 0.3)
    axes.axvline(1, color="#444444", linewidth=1, linestyle=":")
    axes.annotate("NumPy", (1, 0.16), (4, 0), textcoords="offset points", color="#444444")
    axes.grid(color="#e4e4e4", linewidth=0.7)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="lower right", frameon=False)
    axes.set_xlabel("times as fast as numpy.matmul (faster to the right)")
    axes.set_ylabel("error, NMSE (better below)")


def _look(colour: str, is_avx2: bool, lines: Any) -> dict[str, Any]:
    """Return how a level's points look: filled for AVX-512, empty for AVX2."""
    return {
        "color": colour,
        "markerfacecolor": "white" if is_avx2 else colour,
        "markersize": 6.5,
        "linestyle": lines,
        "linewidth": 1.4,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60, help="rounds of timing")
    parser.add_argument("--batch", type=int, default=500, help="rows a call, at most 2000")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--eight-bit", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.rounds, given.batch, given.eight_bit)))
    else:
        if not given.render:
            main(given.rounds, given.batch)
        render()
