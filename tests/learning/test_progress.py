"""Time limits, held against a clock that only the work that is done moves on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import maddjit
from maddjit import MaddnessModel, reference
from maddjit.learning import progress, task
from maddjit.learning.maddness import best
from maddjit.learning.maddness.fitting import Fitting
from maddjit.learning.maddness.regression import TreeRidge
from maddjit.learning.maddness.rounding import Rounding
from maddjit.learning.progress import Steps, steps
from maddjit.learning.winners import descent
from tests.learning.test_fit import assert_equal, features, right_side

any_accuracy = pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")


class Clock:
    """A clock whose seconds are those that work is said to take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def charge(
        self, monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, cost: Callable[..., float]
    ) -> None:
        """Let calls of a function move the clock on."""
        work = getattr(owner, name)

        def charged(*args: Any, **options: Any) -> Any:
            self.seconds += cost(*args)
            return work(*args, **options)

        monkeypatch.setattr(owner, name, charged)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Minutes for each of the steps, so that none can be overlooked."""
    made = Clock()
    monkeypatch.setattr(progress, "clock", made)
    charge = partial(made.charge, monkeypatch)
    charge(Fitting, "grown", lambda here, blocks: here.n_rows / 50)
    charge(Fitting, "refitted", lambda here, *_: here.n_rows / 200)
    charge(best, "clusters", lambda *_: 2.0)
    charge(
        TreeRidge,
        "tables",
        lambda ridge, targets, _: targets.size * ridge.codes.shape[1] / 5e4,
    )
    charge(Rounding, "apply", lambda *_: 3.0)
    charge(reference, "apply", lambda model, rows: len(rows) / 50)
    charge(descent, "_gradient", lambda problem, entries, sample, factor: len(sample.rows) / 1000)
    return made


def fitted(clock: Clock, **options: Any) -> tuple[MaddnessModel, float]:
    """Return a model and the seconds that its fit took."""
    start = clock.seconds
    model = maddjit.fit(features(400), right_side(), 4, **options)
    return model, clock.seconds - start


@any_accuracy
@pytest.mark.parametrize("objective", ["product", "argmax"])
def test_a_limit_holds_within_a_fifth_for_all_of_a_fit(clock: Clock, objective: Any) -> None:
    """Unless even what cannot be left out takes longer. More time is used, if it is there."""
    _, least = fitted(clock, objective=objective, time_limit=0)
    complete, most = fitted(clock, objective=objective)
    assert most > 5 * least
    taken = []
    for share in (0.02, 0.2, 0.45, 0.8):
        limit = least + share * (most - least)
        model, seconds = fitted(clock, objective=objective, time_limit=limit)
        assert seconds <= 1.2 * limit
        taken.append(seconds)
    assert taken[-1] > 2 * taken[0]
    model, _ = fitted(clock, objective=objective, time_limit=1.5 * most)
    assert_equal(model, complete)


@any_accuracy
def test_the_paper_s_learner_leaves_out_byte_groups_only(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    paper = partial(fitted, clock, method="paper")
    in_haste, least = paper(time_limit=0)
    complete, most = paper()
    assert least < most
    assert_equal(in_haste, fitted(clock, method="paper", byte_group=1)[0])
    assert_equal(paper(time_limit=most + 60)[0], complete)


def test_time_counts_from_the_start_of_the_fit(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What comes before the first step counts as well."""
    in_haste, _ = fitted(clock, time_limit=0)
    clock.charge(monkeypatch, task, "split", lambda *_: 1000.0)
    assert_equal(fitted(clock, time_limit=1000)[0], in_haste)


def test_steps_predict_by_what_they_measured(clock: Clock) -> None:
    with steps(False, 1, "test", 100.0) as advance:
        assert advance.predicted("work", 5) == 0
        for seconds in (1, 3):
            with advance.measured("work", 2):
                clock.seconds += seconds
        assert advance.predicted("work", 5) == 5
        assert advance.allows(95)
        assert not advance.allows(96)
        with advance.reserved("work", 90):
            assert advance(5)
            assert not advance(6)
            assert not advance.in_time(7)
        assert advance.allows(95)
        advance.stop()
        assert not advance.allows()
        assert advance.in_time(95)
    assert isinstance(advance, Steps)
