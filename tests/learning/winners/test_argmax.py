"""Tables tuned for the winner: agreement, short lists, bias, core, limits, interrupts, options."""

from __future__ import annotations

import tracemalloc
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import AccuracyWarning, MaddnessModel, reference
from maddjit.learning.maddness import best
from maddjit.learning.ranking import divergence, standing
from maddjit.learning.winners import argmax, descent
from tests.learning.maddness.test_best import Watch
from tests.learning.test_fit import assert_equal, features, report_of, right_side

any_accuracy = pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")

argmax_fit = partial(maddjit.fit, objective="argmax")


def clusters(n_rows: int, seed: int, n_classes: int = 30) -> NDArray[np.float64]:
    """Rows about centres that are the same for every seed, one for each class."""
    rng = np.random.default_rng(seed)
    rows: NDArray[np.float64] = rng.standard_normal((n_rows, 32))
    return rows + head(n_classes)[0].T[rng.integers(n_classes, size=n_rows)]


@cache
def head(n_classes: int = 30) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """B and bias of the best linear classifier of these rows: the logits of the classes."""
    B = np.random.default_rng(98).standard_normal((n_classes, 32)).T
    return B, -(B**2).sum(axis=0) / 2


def exact(rows: NDArray[Any], n_classes: int = 30) -> NDArray[np.float64]:
    B, bias = head(n_classes)
    outputs: NDArray[np.float64] = rows @ B + bias
    return outputs


def fitted(n_rows: int = 1500, n_classes: int = 30, **options: Any) -> MaddnessModel:
    B, bias = head(n_classes)
    options = {"objective": "argmax", "bias": bias} | options
    return maddjit.fit(clusters(n_rows, 1, n_classes), B, 4, 16, **options)


def names(model: MaddnessModel, rows: NDArray[Any], n_classes: int = 30) -> NDArray[np.bool_]:
    """Tell in which rows the model's winner is the exact one."""
    winners = exact(rows, n_classes).argmax(axis=1)
    named: NDArray[np.bool_] = reference.apply(model, rows).argmax(axis=1) == winners
    return named


def deviations(more: NDArray[np.bool_], less: NDArray[np.bool_]) -> float:
    """Return by how many standard deviations more rows are named (McNemar)."""
    gained, lost = (more & ~less).sum(), (less & ~more).sum()
    return float((gained - lost) / np.sqrt(gained + lost))


# What it is for


@pytest.mark.quick(2)
@any_accuracy
@pytest.mark.parametrize("n_classes", [30, 100])
@pytest.mark.parametrize("method", ["best", "paper"])
@pytest.mark.parametrize("n_rows", [1000, 2500])
def test_more_winners_of_fresh_rows_are_named(method: str, n_classes: int, n_rows: int) -> None:
    """By chance three deviations come once in 700 cases; here is no chance, for seeds are given."""
    rows = clusters(4000, 2, n_classes)
    of = partial(fitted, n_rows, n_classes, method=method)
    tuned, plain = of(), of(objective="product")
    assert deviations(names(tuned, rows, n_classes), names(plain, rows, n_classes)) > 3
    wanted = exact(rows, n_classes)
    now, before = (standing(reference.apply(model, rows), wanted) for model in (tuned, plain))
    assert now.length < before.length


@any_accuracy
def test_the_trees_stay() -> None:
    tuned, plain = fitted(), fitted(objective="product")
    np.testing.assert_array_equal(tuned.split_dims, plain.split_dims)
    np.testing.assert_array_equal(tuned.thresholds, plain.thresholds)
    assert not np.array_equal(tuned.tables, plain.tables)


@any_accuracy
@pytest.mark.parametrize("n_rows", [600, 1500])
def test_the_loss_on_training_rows_falls(n_rows: int) -> None:
    rows = clusters(n_rows, 1)
    wanted = exact(rows)
    two = np.sort(wanted, axis=1)[:, -2:]
    sharpness = 6 / float((two[:, 1] - two[:, 0]).mean())
    now, before = (
        divergence(reference.apply(model, rows), wanted, sharpness)
        for model in (fitted(n_rows), fitted(n_rows, objective="product"))
    )
    assert now < before


@any_accuracy
@pytest.mark.parametrize("size", [1e-12, 1e12])
def test_the_size_of_the_outputs_does_not_matter(size: float) -> None:
    B, bias = head()
    scaled = argmax_fit(clusters(1500, 1), size * B, 4, 16, bias=size * bias)
    rows = clusters(4000, 2)
    share = np.mean(reference.apply(scaled, rows).argmax(1) == exact(rows).argmax(1))
    assert share > names(fitted(objective="product"), rows).mean() + 0.02


@any_accuracy
def test_the_bias_takes_part() -> None:
    """Tables tuned without it, to which it is then added, name fewer winners."""
    rows, (_, bias) = clusters(4000, 2), head()
    without = reference.apply(fitted(bias=np.zeros(30)), rows) + bias
    assert deviations(names(fitted(), rows), without.argmax(1) == exact(rows).argmax(1)) > 3


@any_accuracy
def test_the_core_stays_exact() -> None:
    tuned, plain = (fitted(core_rank=4, objective=objective) for objective in ("argmax", "product"))
    assert tuned.core is not None
    assert plain.core is not None
    np.testing.assert_array_equal(tuned.core.projection, plain.core.projection)
    np.testing.assert_array_equal(tuned.core.expansion, plain.core.expansion)
    rows = clusters(4000, 2)
    assert deviations(names(tuned, rows), names(plain, rows)) > 3


# What it must not break


@any_accuracy
@pytest.mark.parametrize("n_rows", [1, 2, 19, 20, 54, 60])
@pytest.mark.parametrize("method", ["best", "paper"])
def test_few_rows(n_rows: int, method: Any) -> None:
    model = argmax_fit(features(n_rows), right_side(), 4, method=method)
    assert np.isfinite(reference.apply(model, features(50, seed=3))).all()


@any_accuracy
def test_nothing_to_choose() -> None:
    """One output, equal outputs, and no outputs but zero: the tables are those for the product."""
    A = features()
    for B in (right_side(16, 1), np.repeat(right_side(16, 1), 3, axis=1), np.zeros((16, 3))):
        model = argmax_fit(A, B, 4)
        assert_equal(model, maddjit.fit(A, B, 4))
        assert report_of(model).agreement == 1


@pytest.mark.quick(3)
@any_accuracy
@pytest.mark.parametrize("accumulate", ["exact", "average"])
@pytest.mark.parametrize("table_scale", ["per-output", "global", "power-of-two"])
@pytest.mark.parametrize("byte_group", [1, "auto"])
def test_all_kinds_of_tables(accumulate: Any, table_scale: Any, byte_group: Any) -> None:
    model = fitted(600, accumulate=accumulate, table_scale=table_scale, byte_group=byte_group)
    assert names(model, clusters(2000, 2)).mean() > 0.5


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_columns_far_from_zero_in_float64(offset: float) -> None:
    model = argmax_fit(features(800) + offset, right_side(), 8, bias=-offset * right_side().sum(0))
    assert report_of(model).agreement > 0.9


@any_accuracy
def test_it_is_saved_and_compiled_like_any_model(tmp_path: Path) -> None:
    model = fitted(600)
    maddjit.save(model, tmp_path / "model.npz")
    again = maddjit.load(tmp_path / "model.npz")
    assert_equal(model, again)
    rows = clusters(100, 2).astype(np.float32)
    winners = maddjit.compile(again).argmax(rows)
    np.testing.assert_array_equal(winners, reference.argmax(model, rows))


def test_the_seed_decides() -> None:
    first, again, other = (fitted(600, random_state=seed) for seed in (7, 7, 8))
    assert_equal(first, again)
    assert not np.array_equal(first.tables, other.tables)


def test_the_default_is_the_product() -> None:
    model = maddjit.fit(features(), right_side(), 4)
    assert_equal(model, maddjit.fit(features(), right_side(), 4, objective="product"))
    assert report_of(model).objective == "product"


def test_an_unknown_objective() -> None:
    with pytest.raises(ValueError, match="objective must be one of product, argmax, not 'rank'"):
        maddjit.fit(features(), right_side(), 4, objective="rank")  # type: ignore[arg-type]


@any_accuracy
@pytest.mark.slow
def test_many_outputs_take_bounded_memory() -> None:
    """Exact outputs of the 4000 rows in float64 would be 160 MB; 2000 rows are judged at once."""
    B = np.random.default_rng(0).standard_normal((16, 5000))
    tracemalloc.start()
    try:
        argmax_fit(features(4000), B, 4, 16, validation=0.05, time_limit=1)
        assert tracemalloc.get_traced_memory()[1] < 5e8
    finally:
        tracemalloc.stop()


# The report


def test_the_report_tells_the_agreement() -> None:
    rows = clusters(1500, 3)
    for objective in ("product", "argmax"):
        report = report_of(fitted(objective=objective, validation=rows))
        named = names(fitted(objective=objective, validation=rows), rows)
        assert report.agreement == named.mean()
        assert report.objective == objective
    assert f"{named.mean():.2%} of 1500 held-out rows" in str(report)
    assert "rank the outputs and do not approximate" in str(report)


def test_lost_variance_is_no_reason_to_warn_but_lost_winners_are() -> None:
    """The outputs have a large part in common, which the scores leave out."""
    A, B = clusters(1500, 1), head()[0]
    common = 30 * np.random.default_rng(0).standard_normal((32, 1))
    report = report_of(argmax_fit(A, B + common, 8))
    assert report.lost_variance > 0.5
    assert report.agreement > 0.5
    noise = np.random.default_rng(1).standard_normal((600, 32))
    with pytest.warns(AccuracyWarning, match=r"names the exact winner on \d+% of held-out rows"):
        argmax_fit(noise, np.random.default_rng(2).standard_normal((32, 100)), 1)


def test_the_bound_is_for_the_product() -> None:
    with pytest.raises(ValueError, match="the bound is known for"):
        fitted(600, method="paper").error_bound()


# Progress, limits and interrupts


@any_accuracy
@pytest.mark.parametrize("n_rows", [10, 600])
@pytest.mark.parametrize(("method", "before"), [("best", best.N_STEPS), ("paper", 5)])
def test_progress_never_exceeds_its_total(n_rows: int, method: str, before: int) -> None:
    watch = Watch()
    fitted(n_rows, method=method, progress=watch)
    assert [done for done, _ in watch.calls] == list(range(1, len(watch.calls) + 1))
    assert {total for _, total in watch.calls} == {before + argmax.N_STEPS}
    assert len(watch.calls) <= before + argmax.N_STEPS


@any_accuracy
def test_no_time_at_all_leaves_the_tables() -> None:
    for method in ("best", "paper"):
        of = partial(fitted, 600, method=method, time_limit=0)
        assert_equal(of(), of(objective="product"))


@pytest.mark.slow
@any_accuracy
def test_an_answer_of_false_and_an_interrupt_end_alike(caplog: pytest.LogCaptureFixture) -> None:
    complete = Watch()
    full = fitted(600, progress=complete)
    n_calls = len(complete.calls)
    rows = clusters(2000, 2)
    for at in (2, 5, *range(n_calls - 12, n_calls, 3)):
        caplog.clear()
        stopped = fitted(600, progress=Watch(at, False))
        interrupted = fitted(600, progress=Watch(at, KeyboardInterrupt()))
        assert "interrupted" in caplog.text
        assert_equal(stopped, interrupted)
        plain = fitted(600, objective="product", progress=Watch(at, False))
        assert names(stopped, rows).mean() > names(plain, rows).mean() - 0.03
    assert_equal(fitted(600, progress=Watch(n_calls, False)), full)
    with pytest.raises(KeyboardInterrupt):
        fitted(600, progress=Watch(n_calls - 3, KeyboardInterrupt()), on_interrupt="raise")


@any_accuracy
@pytest.mark.parametrize(
    "place", ["argmax.unit_of", "argmax.rounds", "descent._gradient", "argmax.standing"]
)
def test_an_interrupt_in_the_middle_of_a_step(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"maddjit.learning.winners.{place}", interrupted)
    assert_equal(fitted(600), fitted(600, objective="product"))


def test_errors_are_not_taken_for_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(descent, "_gradient", failing)
    with pytest.raises(ZeroDivisionError):
        fitted(600)


@any_accuracy
def test_nothing_worse_is_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps up the slope help nobody."""
    slope = descent._gradient
    monkeypatch.setattr(descent, "_gradient", lambda *given: -slope(*given))
    assert_equal(fitted(600), fitted(600, objective="product"))
