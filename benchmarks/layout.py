"""Markdown: tables, and numbers with their spread."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

_SEVEN_BITS = (
    " This CPU has no VNNI, so weights of the 8-bit products of onnxruntime and FBGEMM have 7 "
    "bits, as onnxruntime's guide advises: their sums of pairs of products would saturate."
)


def heading(text: str) -> str:
    """Return a heading of the second level."""
    return f"## {text}"


def paragraph(text: str) -> str:
    """Return text in lines that an editor shows whole."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def number(value: float) -> str:
    """Return a number to three digits, never with an exponent unless it is tiny.

    >>> number(12345.6), number(0.06123), number(3e-14)
    ('12346', '0.0612', '3e-14')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(quartiles: Sequence[float]) -> str:
    """Return the median, with the quartiles in brackets."""
    low, median, high = (number(value) for value in quartiles)
    return f"{median} ({low}{' to ' if quartiles[0] < 0 else '–'}{high})".replace("-", "−")


def minutes(date: str) -> str:
    """Return a date of ISO 8601 to the minute."""
    return date[:16].replace("T", " ") + " UTC"


def origin(results: Mapping[str, Any]) -> str:
    """Say when, where and with what was measured."""
    machine = results["machine"]
    caches = ", ".join(f"{name} {size}" for name, size in machine["caches"].items())
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"Measured on {minutes(results['date'])} at commit {results['commit']}: {machine['cpu']} "
        f"({machine['llvm_cpu']}, {machine['level']}), {machine['cores']} cores"
        + (f", caches {caches}" if caches else "")
        + f", {machine['platform']}. With {versions}."
        + (_SEVEN_BITS if machine.get("largest_weight", 127) < 127 else "")
    )


def reasons(record: Mapping[str, Any]) -> list[str]:
    """Say what was left out and what failed, each reason once."""
    lines = []
    for key, words in (("left_out", "Left out"), ("failed", "Failed")):
        found: dict[str, list[str]] = {}
        for name, why in record[key].items():
            found.setdefault(why, []).append(name)
        if found:
            told = "; ".join(f"{', '.join(names)} ({why})" for why, names in found.items())
            lines.append(f"{words}: {told}.")
    return lines
