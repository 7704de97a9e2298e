"""Ways to a product that `select` weighs, found one after another and timed in turns."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.fit import fit
from maddjit.learning.winners.calibration import calibrate
from maddjit.models.maddness import MAX_RANK, MaddnessModel, tree_depth
from maddjit.models.short_list import CoverageError
from maddjit.models.storage import ModelFileError, load, save
from maddjit.models.strassen_tile import StrassenTileModel
from maddjit.operators.tuning import fastest
from maddjit.pipeline import compile
from maddjit.selection.blas import one_thread
from maddjit.selection.losses import Loss, Operator

logger = logging.getLogger(__name__)

_CALIBRATION, _MAX_CALIBRATION = 0.4, 20000
"""Share of the rows that short lists are calibrated on, and how many at most."""
LEARNER = 2
"""Counted up when the same rows, B and sizes give another model: kept ones are then not read."""


_TIMES_ARE_ALIKE = 1.1
"""Times that differ by less may be the other way round in other turns."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to the product.

    Attributes
    ----------
    name : str
    operator : callable
        (N, D) → (N, M).
    loss : float
        On the rows to choose by.
    nanoseconds : float
        Per row.
    speed_up : float
        Over the exact product in the same turns.
    model : MaddnessModel or StrassenTileModel, optional
    """

    name: str
    operator: Operator
    loss: float
    nanoseconds: float
    speed_up: float
    model: MaddnessModel | StrassenTileModel | None = None


def frontier(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Return those that lose less than all faster ones, of candidates that are fastest first."""
    kept: list[Candidate] = []
    for candidate in candidates:
        if not kept or candidate.loss < kept[-1].loss:
            kept.append(candidate)
    return tuple(kept)


@dataclass(frozen=True)
class Sizes:
    """What a model is fitted with."""

    n_codebooks: int
    n_prototypes: int
    core_rank: int

    def check(self) -> None:
        """Refuse sizes that `fit` would refuse for any rows.

        Raises
        ------
        ValueError, TypeError
        """
        if self.n_codebooks < 1:
            raise ValueError(f"n_codebooks must be at least 1, not {self.n_codebooks}")
        tree_depth(self.n_prototypes)
        if not 0 <= self.core_rank <= MAX_RANK:
            raise ValueError(f"core_ranks must be from 0 to {MAX_RANK}, not {self.core_rank}")

    def __str__(self) -> str:
        core = f" core={self.core_rank}" if self.core_rank else ""
        return f"MADDNESS C={self.n_codebooks} K={self.n_prototypes}{core}"


@dataclass(frozen=True)
class WinnersAsked:
    """That winners are asked: how many, with which coverage, and rows to calibrate on.

    `tuned` asks for tables that are tuned for the winner.
    """

    k: int
    coverage: float
    tuned: bool
    rows: NDArray[Any]


@dataclass(frozen=True)
class Workshop:
    """Rows, B and bias that models are fitted to, and where models are kept."""

    rows: NDArray[Any]
    B: NDArray[Any]
    bias: NDArray[Any]
    random_state: int
    threads: int
    folder: Path | None
    winners: WinnersAsked | None = None

    def for_winners(self, k: int, coverage: float, tuned: bool) -> Workshop:
        """Return one that names winners, and calibrates on some rows that it does not fit to."""
        order = np.random.default_rng(self.random_state).permutation(len(self.rows))
        n_known = max(1, min(_MAX_CALIBRATION, int(_CALIBRATION * len(self.rows))))
        known, fitted = np.sort(order[:n_known]), np.sort(order[n_known:])
        asked = WinnersAsked(k, coverage, tuned, self.rows[known])
        return replace(self, rows=self.rows[fitted], winners=asked)

    def model(self, sizes: Sizes, in_haste: bool = False) -> MaddnessModel:
        """Fit a model, or read what an earlier search has left in the folder.

        In haste nothing is chosen and no tree is refitted, which takes a fifth of the time, about.
        """
        path = self.folder and self.folder / f"{self._key(sizes, in_haste)}.npz"
        if path and path.exists():
            try:
                kept = load(path)
                if isinstance(kept, MaddnessModel):
                    return kept
            except ModelFileError as error:
                logger.warning("%s; it is fitted again", error)
        with warnings.catch_warnings(), one_thread():
            warnings.simplefilter("ignore", AccuracyWarning)  # the budget judges
            model = fit(
                self.rows,
                self.B,
                sizes.n_codebooks,
                sizes.n_prototypes,
                core_rank=sizes.core_rank,
                bias=self.bias,
                random_state=self.random_state,
                on_interrupt="raise",
                objective="argmax" if self.winners and self.winners.tuned else "product",
                progress=_choose_nothing if in_haste else False,
            )
        if path:
            save(model, path)
        return model

    def operator(self, model: MaddnessModel) -> Operator:
        """Compile it, calibrated if winners are asked.

        Raises
        ------
        CoverageError
            If there are too few rows to calibrate on.
        """
        if self.winners is None:
            return compile(model, threads=self.threads)
        asked = self.winners
        model = calibrate(model, asked.rows, self.B, bias=self.bias, k=asked.k)
        return compile(
            model, result="topk", k=asked.k, coverage=asked.coverage, threads=self.threads
        )

    def _key(self, sizes: Sizes, in_haste: bool) -> str:
        tuned = " tuned" if self.winners and self.winners.tuned else ""
        tuned += " in haste" * in_haste
        digest = hashlib.sha256(f"{LEARNER} {sizes}{tuned} {self.random_state}".encode())
        for array in (self.rows, self.B, self.bias):
            digest.update(f"{array.shape} {array.dtype.str}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


def _choose_nothing(done: int, total: int) -> bool:
    return False


@dataclass
class Field:
    """All candidates so far, what judges and times them, and why some are missing."""

    exact: Operator
    loss: Loss
    budget: float
    timed: NDArray[Any]
    found: list[Candidate] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    def enter(
        self,
        name: str,
        operator: Operator,
        model: MaddnessModel | StrassenTileModel | None = None,
    ) -> Candidate:
        """Judge and time a way."""
        loss = self.loss(operator)
        exact, own = self._seconds(operator)
        per_row = 1e9 * own / len(self.timed)
        self.found.append(Candidate(name, operator, loss, per_row, exact / own, model))
        return self.found[-1]

    def _seconds(self, operator: Operator) -> tuple[float, float]:
        """Time the exact product and another way in turns."""
        runs = [partial(way, self.timed) for way in (self.exact, operator)]
        for run in runs:
            run()  # compiles what is compiled when first called
        _, (exact, own) = fastest(runs)
        return exact, exact if operator is self.exact else own

    def time_again(self) -> None:
        """Sort, fastest first, after timing all that may be chosen or shown in the same turns.

        Minutes may lie between the turns of two candidates, and other work on the machine. The
        exact product, those on the frontier, and those inside the budget that took up to twice
        as long as the fastest of them are timed.
        """
        by_speed = sorted(self.found, key=lambda candidate: -candidate.speed_up)
        inside = [c for c in by_speed if c.loss <= self.budget]
        close = [c for c in inside if 2 * c.speed_up >= inside[0].speed_up]
        exact = [c for c in by_speed if c.operator is self.exact]
        again = list(dict.fromkeys([*exact, *frontier(by_speed), *close]))
        _, seconds = fastest([partial(candidate.operator, self.timed) for candidate in again])
        for candidate, own in zip(again, seconds, strict=True):
            self.found[self.found.index(candidate)] = replace(
                candidate,
                nanoseconds=1e9 * own / len(self.timed),
                speed_up=seconds[0] / own,
            )
        self.found.sort(key=lambda candidate: -candidate.speed_up)

    def is_slower_than_best(self, speed_up: float) -> bool:
        """Tell whether a candidate inside the budget is faster."""
        inside = [c.speed_up for c in self.found if c.loss <= self.budget]
        return speed_up < max(inside, default=0.0)

    def cannot_win(self, operator: Operator) -> bool:
        """Tell whether even this, which is as fast as the like can be, is slower than that."""
        exact, own = self._seconds(operator)
        return self.is_slower_than_best(_TIMES_ARE_ALIKE * exact / own)

    def cheapest(
        self,
        what: str,
        settings: Sequence[Any],
        enter: Callable[[Any], Candidate],
        go_on: Callable[[], bool],
        as_fast_as_can_be: Callable[[Any], Operator] | None = None,
    ) -> None:
        """Find the first setting inside the budget by halving: loss and speed fall along them.

        It is given up once a setting is outside the budget and slower than a candidate inside. With
        `as_fast_as_can_be`, what no loss could make the fastest is not even learned.
        """
        low, high = 0, len(settings)
        if not settings:
            self.left_out[what] = "no size fits D and M"
        while low < high:
            if not go_on():
                self.left_out[what] = "the time was over"
                return
            middle = (low + high) // 2
            if as_fast_as_can_be and self.cannot_win(as_fast_as_can_be(settings[middle])):
                reason = f"{settings[middle]} cannot be faster than a way inside the budget"
                self.left_out[f"more of {what}"] = f"{reason}, so it was not fitted"
                high = middle
                continue
            candidate = enter(settings[middle])
            if candidate.loss <= self.budget:
                high = middle
            elif self.is_slower_than_best(candidate.speed_up):
                reason = f"already {candidate.name} is slower than a way inside the budget"
                self.left_out[f"more of {what}"] = reason
                return
            else:
                low = middle + 1
        if settings and low == len(settings):
            self.left_out[f"more of {what}"] = f"none up to {settings[-1]} is inside the budget"

    def quickest(
        self,
        what: str,
        settings: Sequence[Any],
        enter: Callable[[Any], Candidate],
        go_on: Callable[[], bool],
    ) -> None:
        """Try settings in their order until two have become slower: all are inside the budget."""
        if not settings:
            self.left_out[what] = "no size fits D and M"
        best, slower = 0.0, 0
        for setting in settings:
            if not go_on():
                self.left_out[f"more of {what}"] = "the time was over"
                return
            try:
                candidate = enter(setting)
            except CoverageError as error:
                self.left_out[what] = str(error)
                return
            slower = 0 if candidate.speed_up > best else slower + 1
            best = max(best, candidate.speed_up)
            if slower == 2:
                self.left_out[f"more of {what}"] = f"from {candidate.name} on they are slower"
                return
