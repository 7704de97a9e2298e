"""The candidates of `select`, with their losses and speeds, and the frontier of the best ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.selection.losses import Way


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to compute the product, with its loss and its speed.

    Attributes
    ----------
    name : str
        What tables call it.
    operator : callable
        Takes rows (N, D) and returns outputs (N, M), or winners (N, k).
    loss : float
        The loss on the rows that the choice is made by.
    nanoseconds : float
        The time per row.
    speed_up : float
        How many times as fast it is as the exact product, timed in the same turns.
    model : MaddnessModel or StrassenTileModel, optional
        The model that `operator` was compiled from.
    """

    name: str
    operator: Way
    loss: float
    nanoseconds: float
    speed_up: float
    model: MaddnessModel | StrassenTileModel | None = None


def frontier(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return the candidates that lose less than all faster ones; the fastest are given first."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if not kept or candidate.loss < kept[-1].loss:
            kept.append(candidate)
    return tuple(kept)
