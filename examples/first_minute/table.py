"""The demo's table: how often each way is right, how fast it is, and which other way beats it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from measure import speed_up
from tqdm import tqdm

from first_minute.layers import Layer
from first_minute.ways import Way


@dataclass(frozen=True)
class Row:
    """What was measured of one way.

    Attributes
    ----------
    right, same : float
        Shares of the test images for which the network names the true class, and the class that
        the exact network names.
    low, speed, high : float
        Times as fast as the exact way: lower quartile, median and upper quartile.
    """

    family: str
    size: str
    name: str
    right: float
    same: float
    low: float = 1
    speed: float = 1
    high: float = 1

    @property
    def short(self) -> str:
        """A shorter name, for remarks about other rows."""
        return f"{self.family.removesuffix(' and rank')} {self.size}".rstrip()


@dataclass(frozen=True)
class Table:
    """The ways to compute one layer; the exact one comes first."""

    title: str
    rows: tuple[Row, ...]

    def best(self) -> list[Row]:
        """Return the ways that no other way beats (the frontier), from slow to fast."""
        found = [row for row in self.rows if self.beaten_by(row) is None]
        return sorted(found, key=lambda row: row.speed)

    def beaten_by(self, row: Row) -> Row | None:
        """Return the fastest of the ways that beat `row`: faster, and right at least as often."""
        better = [
            other for other in self.rows if other.speed > row.speed and other.right >= row.right
        ]
        return max(better, key=lambda other: other.speed, default=None)

    def remark(self, row: Row) -> str:
        """Return what speaks against a way; empty if nothing does."""
        other = self.beaten_by(row)
        if row.family == "exact":
            return ""
        if row.speed < 1:
            return "slower than NumPy"
        return f"beaten by {other.short}" if other else ""

    def fastest(self, loss: float) -> Row:
        """Return the fastest way whose share of right answers is at most `loss` below exact."""
        enough = [row for row in self.rows if row.right >= self.rows[0].right - loss]
        return max(enough, key=lambda row: row.speed)

    def __str__(self) -> str:
        chosen = self.fastest(0.01)
        lines = [self.title, f"{'':31}{'right':>7}{'as exact':>9}   speed"]
        for row in self.rows:
            speed = f"{_times(row.speed):>4} ({_times(row.low)}–{_times(row.high)})"
            speed = "   1" if row.family == "exact" else speed
            shares = f"{row.right:7.1%}{row.same:9.2%}"
            lines.append(f"  {row.name:29}{shares}   {speed:18}{self.remark(row)}".rstrip())
        lines.append(
            f"  Fastest with at most 1 point less right: {chosen.name}, {chosen.speed:.1f} ×"
        )
        return "\n".join(lines)


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 99.95 else f"{ratio:.0f}"


def measure(
    title: str, layer: Layer, peer: Way, ways: Iterable[Way], batch: int, rounds: int
) -> Table:
    """Return the table of `ways`.

    Shares are of all test rows. For its speed, each way takes turns with `peer` on `batch` rows.
    """
    few = layer.test[:batch]
    exact = layer.classes(layer.test @ layer.B + layer.bias)
    rows = [Row(peer.family, peer.size, peer.name, float(np.mean(exact == layer.labels)), 1)]
    for way in tqdm(ways, title, leave=False, unit=" ways", disable=None):
        answer = way.prepare(layer.test)()
        classes = layer.classes(answer) if answer.ndim == 2 else answer
        right, same = np.mean(classes == layer.labels), np.mean(classes == exact)
        times = speed_up(peer.prepare(few), way.prepare(few), rounds)
        rows.append(Row(way.family, way.size, way.name, float(right), float(same), *times))
    return Table(title, tuple(rows))
