"""Markdown: tables, and numbers with their spread."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = dict[str, Any]


def paragraph(text: str) -> str:
    """Return text in lines of at most 120 characters."""
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table, or nothing if it has no rows."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) if len(lines) > 2 else ""


def number(value: float) -> str:
    """Return a number to three digits, without an exponent unless it is tiny.

    >>> number(12345.6), number(0.06123), number(3e-14)
    ('12346', '0.0612', '3e-14')
    """
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def spread(quartiles: Sequence[float]) -> str:
    """Return the median, with the quartiles in brackets."""
    low, median, high = (number(value) for value in quartiles)
    return f"{median} ({low}{' to ' if quartiles[0] < 0 else '–'}{high})".replace("-", "−")


def percent(value: float) -> str:
    """Return a share in per cent, a dash for one that is not finite."""
    return f"{100 * value:.2f} %" if math.isfinite(value) else "–"


def bold(name: str, is_own: bool) -> str:
    """Return a candidate's name as tables show it: ours are bold."""
    return f"**{name}**" if is_own else name


def scores(found: Mapping[str, float]) -> str:
    """Return named scores as one phrase."""
    return ", ".join(f"{name} {percent(value)}" for name, value in found.items())


def reasons(record: Mapping[str, Any]) -> list[str]:
    """Return sentences about what was left out and what failed, each reason once."""
    lines = []
    for key, words in (("left_out", "Left out"), ("failed", "Failed")):
        found: dict[str, list[str]] = {}
        for name, why in record[key].items():
            found.setdefault(why, []).append(name)
        if found:
            told = "; ".join(f"{', '.join(names)} ({why})" for why, names in found.items())
            lines.append(paragraph(f"{words}: {told}."))
    return lines
