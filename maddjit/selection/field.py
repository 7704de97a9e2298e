"""The field of all candidates: each is judged, timed beside the exact product, and searched for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from numpy.typing import NDArray

from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import CoverageError
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.tuning import fastest
from maddjit.selection import settings
from maddjit.selection.candidates import Candidate, frontier
from maddjit.selection.losses import Loss, Way

_NO_TIME = "the time was over"
_NO_SIZE = "no size fits D and M"
"""Reasons why something was left out."""


@dataclass
class Field:
    """All candidates so far, how they are judged and timed, and why others are missing.

    Attributes
    ----------
    exact : callable
        The exact product, which every candidate is timed beside.
    loss : Loss
        Judges candidates on the rows that the choice is made by.
    budget : float
        The largest loss inside the budget.
    timed : (n, D)
        The rows of a timed call.
    found : list of Candidate
    left_out : dict of str to str
        What was not tried or not chosen, and why.
    """

    exact: Way
    loss: Loss
    budget: float
    timed: NDArray[Any]
    found: list[Candidate] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def enter(
        self,
        name: str,
        operator: Way,
        model: MaddnessModel | StrassenTileModel | None = None,
    ) -> Candidate:
        """Judge and time a way to the product, and return it as a candidate."""
        loss = self.loss(operator)
        exact, own = self._seconds(operator)
        per_row = 1e9 * own / len(self.timed)
        self.found.append(Candidate(name, operator, loss, per_row, exact / own, model))
        return self.found[-1]

    def _seconds(self, operator: Way) -> tuple[float, float]:
        """Return the seconds of the exact product and of another way, timed in turns."""
        runs = [partial(way, self.timed) for way in (self.exact, operator)]
        for run in runs:
            run()  # some ways are compiled when they are first called
        _, (exact, own) = fastest(runs)
        return exact, exact if operator is self.exact else own

    def time_again(self) -> None:
        """Time the best candidates once more, in the same turns, and sort all, fastest first.

        Minutes, and other work on the machine, may lie between the turns of two candidates. Their
        new times can bring other candidates forward, which are then timed with them, and so on for
        a few rounds. Other candidates keep their ratio to the exact product, and their nanoseconds
        follow from its new time.
        """
        timed: list[Way] = []
        for _ in range(settings.MOST_ROUNDS_AGAIN):
            again = self._contenders()
            if all(candidate.operator in timed for candidate in again):
                break
            timed = [candidate.operator for candidate in again]
            _, seconds = fastest([partial(operator, self.timed) for operator in timed])
            exact = 1e9 * seconds[0] / len(self.timed)
            ratios = dict(zip(map(id, timed), (seconds[0] / own for own in seconds), strict=True))
            for i, candidate in enumerate(self.found):
                ratio = ratios.get(id(candidate.operator), candidate.speed_up)
                self.found[i] = replace(candidate, nanoseconds=exact / ratio, speed_up=ratio)
        self.found.sort(key=lambda candidate: -candidate.speed_up)

    def _contenders(self) -> list[Candidate]:
        """Return what may be chosen or shown, the exact product first.

        The others are the frontier, and the candidates inside the budget that take up to twice as
        long as the fastest of them.
        """
        by_speed = sorted(self.found, key=lambda candidate: -candidate.speed_up)
        inside = [c for c in by_speed if c.loss <= self.budget]
        close = [c for c in inside if 2 * c.speed_up >= inside[0].speed_up]
        exact = [c for c in by_speed if c.operator is self.exact]
        return list(dict.fromkeys([*exact, *frontier(by_speed), *close]))

    def is_slower_than_best(self, speed_up: float) -> bool:
        """Tell whether a candidate inside the budget is faster than this."""
        inside = [c.speed_up for c in self.found if c.loss <= self.budget]
        return speed_up < max(inside, default=0.0)

    def cannot_win(self, operator: Way) -> bool:
        """Tell whether this way is clearly slower than a candidate inside the budget."""
        exact, own = self._seconds(operator)
        return self.is_slower_than_best(settings.TIMES_ARE_ALIKE * exact / own)

    def in_time(self, what: str, go_on: Callable[[], bool]) -> bool:
        """Tell whether there is time to go on; if not, note what is left out for it."""
        if go_on():
            return True
        self.left_out[what] = _NO_TIME
        return False

    def by_halving(
        self,
        what: str,
        sizes: Sequence[Any],
        enter: Callable[[Any], Candidate],
        go_on: Callable[[], bool],
        quickest: Callable[[Any], Way] | None = None,
    ) -> None:
        """Enter sizes, by halving, until the first one inside the budget is known.

        Loss and speed fall along the sizes. The search ends once a size is outside the budget and
        slower than a candidate inside it. `quickest` returns a way that is as fast as a size can
        be: sizes that could not be the fastest with any loss are then not even learned.
        """
        if not sizes:
            self.left_out[what] = _NO_SIZE
            return
        low, high = 0, len(sizes)
        while low < high:
            if not self.in_time(what, go_on):
                return
            middle = (low + high) // 2
            if quickest and self.cannot_win(quickest(sizes[middle])):
                reason = f"{sizes[middle]} cannot be faster than a way inside the budget"
                self.left_out[f"more of {what}"] = f"{reason}, so it was not fitted"
                high = middle
                continue
            candidate = enter(sizes[middle])
            if candidate.loss <= self.budget:
                high = middle
            elif self.is_slower_than_best(candidate.speed_up):
                reason = f"already {candidate.name} is slower than a way inside the budget"
                self.left_out[f"more of {what}"] = reason
                return
            else:
                low = middle + 1
        if low == len(sizes):
            self.left_out[f"more of {what}"] = f"none up to {sizes[-1]} is inside the budget"

    def in_turn(
        self,
        what: str,
        sizes: Sequence[Any],
        enter: Callable[[Any], Candidate],
        go_on: Callable[[], bool],
    ) -> None:
        """Enter sizes in their order until two were slower; all of them are inside the budget."""
        if not sizes:
            self.left_out[what] = _NO_SIZE
        best, slower = 0.0, 0
        for size in sizes:
            if not self.in_time(f"more of {what}", go_on):
                return
            try:
                candidate = enter(size)
            except CoverageError as error:
                self.left_out[what] = str(error)
                return
            slower = 0 if candidate.speed_up > best else slower + 1
            best = max(best, candidate.speed_up)
            if slower == settings.SLOWER_IN_TURN:
                self.left_out[f"more of {what}"] = f"from {candidate.name} on they are slower"
                return

    def confirmed(self, confirm: Loss) -> tuple[Candidate, float]:
        """Return the fastest candidate inside the budget on other rows too, and its loss there.

        Candidates are sorted, fastest first. The exact product is inside every budget.
        """
        for best in self.found:
            is_exact = best.operator is self.exact
            if not is_exact and not best.loss <= self.budget:
                continue
            fresh_loss = confirm(best.operator)
            if is_exact or fresh_loss <= self.budget:
                return best, fresh_loss
            self.left_out[best.name] = (
                f"its loss on the rows that confirm is {fresh_loss:.4g}; "
                "those next to it are not tried"
            )
        raise AssertionError("the exact product is always among the candidates")
