"""What `select` returns: the choice and all candidates, as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.selection.candidates import Candidate, frontier


@dataclass(frozen=True)
class Selection:
    """The result of `select`: the chosen operator, which a call runs, and all candidates.

    Attributes
    ----------
    best : Candidate
        The chosen candidate: the fastest one inside the budget on both halves of the validation
        rows.
    fresh_loss : float
        The loss of `best` on the second half. Only faster candidates can have been refused by it.
    candidates : tuple of Candidate
        All candidates that were timed, fastest first.
    left_out : mapping of str to str
        What was not tried or not chosen, and why.
    metric : str
        What the losses measure.
    budget : float
        The largest loss that was allowed.
    n_timed : int
        Rows of a timed call.
    """

    best: Candidate
    fresh_loss: float
    candidates: tuple[Candidate, ...]
    left_out: Mapping[str, str]
    metric: str
    budget: float
    n_timed: int

    def __call__(self, A: ArrayLike) -> NDArray[Any]:
        """Return the chosen operator's result for A (N, D), which is converted to float32 first."""
        return self.best.operator(np.asarray(A, np.float32))

    @property
    def frontier(self) -> tuple[Candidate, ...]:
        """The candidates that lose less than all faster ones, fastest first."""
        return frontier(self.candidates)

    def __str__(self) -> str:
        lines = [f"  {'frontier':34}{self.metric:>18}{'ns per row':>12}{'× exact':>9}"]
        shown = {*self.frontier, self.best}
        for candidate in (c for c in self.candidates if c in shown):
            mark = "*" if candidate is self.best else " " if candidate.loss <= self.budget else "–"
            lines.append(
                f"{mark} {candidate.name:34}{candidate.loss:18.4g}"
                f"{candidate.nanoseconds:12.1f}{candidate.speed_up:9.2f}"
            )
        lines.append("* chosen, – outside the budget")
        lines.append(
            f"chosen within {self.budget:g}: {self.best.name}, "
            f"{self.fresh_loss:.4g} on the rows that confirm it"
        )
        lines += [f"left out: {what}: {why}" for what, why in self.left_out.items()]
        return "\n".join(lines)

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss of all candidates against their speed-up; the frontier is joined.

        Matplotlib must be installed.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where to draw; by default the axes of a new figure.

        Returns
        -------
        matplotlib.axes.Axes
        """
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.figure().add_subplot()
        for points, style in ((self.candidates, "."), (self.frontier, "o-")):
            ax.plot([c.speed_up for c in points], [c.loss for c in points], style, color="0.5")
        ax.plot([self.best.speed_up], [self.best.loss], "*", markersize=16, label=self.best.name)
        ax.axhline(self.budget, linestyle=":", color="0.3", label="budget")
        ax.set(xscale="log", xlabel="times as fast as the exact product", ylabel=self.metric)
        ax.legend()
        return ax
