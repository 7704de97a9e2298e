"""The default learner as a whole: error, unusual input, options, interrupts and time limits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import MaddnessModel, reference
from maddjit.learning.maddness import best, settings
from maddjit.learning.maddness.fitting import Fitting
from tests.learning.test_fit import assert_equal, features, nmse, report_of, right_side

any_accuracy = pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")

SINGLE = 2.0**-24


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def assert_finite(model: MaddnessModel, A: NDArray[Any]) -> None:
    assert np.isfinite(reference.apply(model, A)).all()


# Error


def dealt_groups(n_rows: int, seed: int) -> NDArray[np.float64]:
    """Four groups of four columns that vary together, dealt out in turns."""
    hidden = rng(seed).standard_normal((n_rows, 4))
    A: NDArray[np.float64] = np.tile(hidden, 4)
    return A + 0.2 * rng(seed + 1).standard_normal(A.shape)


def relu_features(n_rows: int, seed: int) -> NDArray[np.float64]:
    return np.maximum(features(n_rows, seed=seed), 0)


def loud_and_useless(n_rows: int, seed: int) -> NDArray[np.float64]:
    """In each block of four a loud column, which B does not use (see `silencing`)."""
    A = rng(seed).standard_normal((n_rows, 16))
    A[:, ::4] *= 10
    return A


def silencing() -> NDArray[np.float64]:
    B = right_side()
    B[::4] = 0
    return B


@any_accuracy
@pytest.mark.parametrize(
    ("rows", "B", "share"),
    [
        (dealt_groups, right_side(), 0.5),
        (features, right_side(), 0.8),
        (relu_features, right_side(), 0.9),
        (loud_and_useless, silencing(), 0.5),
    ],
)
def test_held_out_rows_are_met_better_than_by_the_paper(
    rows: Any, B: NDArray[np.float64], share: float
) -> None:
    """Nothing guarantees that for all data; on these it should win by a margin."""
    A, others = rows(1500, seed=10), rows(500, seed=20)
    found, paper = (
        maddjit.fit(A, B, 4, method=method, validation=others) for method in ("best", "paper")
    )
    assert nmse(found, others, B) < share * nmse(paper, others, B)
    assert nmse(found, A, B) < share * nmse(paper, A, B)


def test_a_table_for_each_column_of_rare_ones() -> None:
    """15 rows have a column's one. The penalty λ draws it to zero by a share of about λ/(15 + λ).

    λ may be 3 here, for the rows set apart are few: a sixth, squared 0.03.
    """
    A = (rng(0).random((1500, 16)) < 0.01).astype(np.float32)
    assert report_of(maddjit.fit(A, right_side(), 16, 2)).nmse < 0.03


def test_the_report_is_on_rows_that_were_kept_back() -> None:
    """Other held-out rows change no tree and no table, if they do not choose the byte group."""
    A, B = features(600), right_side()
    first, second = (
        maddjit.fit(A, B, 4, byte_group=1, validation=features(100, seed=seed)) for seed in (1, 2)
    )
    assert_equal(first, second)
    assert report_of(first).nmse != report_of(second).nmse


@pytest.mark.parametrize(
    ("rank", "shape"), [(1, (16, 4)), (3, (16, 20)), (4, (16, 4)), (5, (40, 9))]
)
@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_a_core_of_the_rank_of_b_leaves_rounding_only(
    rank: int, shape: tuple[int, int], offset: float
) -> None:
    """p[s] is off by (⌈D/16⌉ + 6)·u of Σ|a||U|: U, products, D/16 sums in a lane, 4 across lanes.

    V, its products with p, and r sums into y, which starts at an offset of next to nothing, add
    (r + 3)·u of Σ|p||V|. Twice that covers products of roundings and float64.
    """
    n_features, n_outputs = shape
    A = (rng(1).standard_normal((300, n_features)) + offset).astype(np.float32)
    B = rng(2).standard_normal((n_features, rank)) @ rng(3).standard_normal((rank, n_outputs))
    model = maddjit.fit(A, B, 4, core_rank=rank)
    core = model.core
    assert core is not None
    assert core.rank == rank
    sizes = np.abs(A.astype(np.float64)) @ np.abs(core.projection) @ np.abs(core.expansion)
    bound = 2 * (-(-n_features // 16) + rank + 9) * SINGLE * sizes
    assert (np.abs(reference.apply(model, A) - A.astype(np.float64) @ B) <= bound).all()


def test_a_core_helps_where_few_directions_matter() -> None:
    A, B = rng(4).standard_normal((800, 16)), right_side(16, 10)
    B += 5 * rng(5).standard_normal((16, 1)) * rng(6).standard_normal(10)
    errors = [report_of(maddjit.fit(A, B, 8, core_rank=rank)).nmse for rank in (0, 1)]
    assert errors[1] < 0.3 * errors[0]


@any_accuracy
@pytest.mark.parametrize(("n_features", "n_outputs"), [(5, 3), (3, 5), (1, 1), (4, 1)])
def test_a_core_has_no_more_directions_than_the_product(n_features: int, n_outputs: int) -> None:
    A, B = features(60, n_features), right_side(n_features, n_outputs)
    core = maddjit.fit(A, B, 1, core_rank=64).core
    assert core is not None
    assert core.rank == min(n_features, n_outputs)


def test_a_product_of_zeros() -> None:
    for core_rank in (0, 2):
        model = maddjit.fit(features(), np.zeros((16, 3)), 4, core_rank=core_rank)
        assert (reference.apply(model, features(seed=5)) == 0).all()


# Unusual input


@pytest.mark.quick(8)
@any_accuracy
@pytest.mark.parametrize("n_rows", [1, 2, 5, 19, 20, 54, 55])
@pytest.mark.parametrize(("n_prototypes", "core_rank"), [(2, 0), (16, 2), (256, 0)])
def test_few_rows(n_rows: int, n_prototypes: int, core_rank: int) -> None:
    """Choices need 10 rows to judge by, a fifth of those that are not kept back."""
    A, B = features(n_rows), right_side()
    model = maddjit.fit(A, B, 4, n_prototypes, core_rank=core_rank)
    assert_finite(model, features(50, seed=3))
    assert report_of(model).held_out == (n_rows >= 20)


@pytest.mark.parametrize("core_rank", [0, 2])
@pytest.mark.parametrize("n_rows", [1, 30, 200])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_that_are_all_equal_are_met(n_rows: int, core_rank: int, dtype: str) -> None:
    """No node is split, so a row is met up to the rounding of its product: 6 to 20 roundings."""
    row = features(1).astype(dtype)
    B = right_side()
    model = maddjit.fit(np.repeat(row, n_rows, axis=0), B, 4, core_rank=core_rank)
    slack = 20 * SINGLE * np.abs(row) @ np.abs(B) * 4
    assert (np.abs(reference.apply(model, row) - row.astype(np.float64) @ B) <= slack).all()
    assert np.isinf(model.thresholds).all()


@pytest.mark.parametrize("n_codebooks", [4, 9, 10, 16])
def test_constant_columns_are_split_only_if_too_few_others_are_left(n_codebooks: int) -> None:
    A, B = features(), right_side()
    constant = [0, 1, 2, 3, 7, 15]
    A[:, constant] = [0, 3.5, -1e6, 1, 2, 3]
    model = maddjit.fit(A, B, n_codebooks, byte_group=1)
    assert_finite(model, A)
    assert report_of(model).output_nmse.max() < 0.2
    used = set(model.split_dims[np.isfinite(model.thresholds).any(axis=1)].ravel())
    if n_codebooks <= 10:
        assert not used & set(constant)


@any_accuracy
def test_only_constant_columns_but_one() -> None:
    A = np.full((200, 6), 2.0)
    A[:, 4] = rng(0).standard_normal(200)
    model = maddjit.fit(A, right_side(6), 3, 64)
    assert report_of(model).output_nmse.max() < 0.01


@pytest.mark.parametrize("core_rank", [0, 1])
def test_columns_far_from_zero_in_float64(core_rank: int) -> None:
    """Float32 thresholds step by 1/16 there, 1/1600 of a deviation, and outputs by up to 1/4."""
    A, B = 100 * features(800), right_side()
    moved = A + 1e6 * (np.arange(16) % 2)
    near, far = (maddjit.fit(rows, B, 8, byte_group=1, core_rank=core_rank) for rows in (A, moved))
    assert report_of(far).output_nmse.max() < 1.3 * report_of(near).output_nmse.max() + 1e-4


@pytest.mark.quick(16)
@any_accuracy
@pytest.mark.parametrize("n_prototypes", [2, 4, 8, 16, 32, 64, 128, 256])
@pytest.mark.parametrize(
    ("n_features", "n_outputs", "n_codebooks"),
    [(1, 1, 1), (1, 3, 1), (6, 1, 2), (3, 9, 3), (5, 5, 5), (7, 2, 3)],
    ids=["D = 1", "D = 1 < M", "M = 1", "C = D < M", "C = D = M", "C does not divide D"],
)
def test_small_shapes(n_features: int, n_outputs: int, n_codebooks: int, n_prototypes: int) -> None:
    A, B = features(150, n_features), right_side(n_features, n_outputs)
    model = maddjit.fit(A, B, n_codebooks, n_prototypes)
    assert model.tables.shape == (n_codebooks, n_prototypes, n_outputs)
    assert_finite(model, A)
    if n_codebooks == n_features and n_prototypes >= 16:  # every column has a table of its own
        assert report_of(model).nmse < 0.05


@pytest.mark.parametrize("accumulate", ["exact", "average"])
@pytest.mark.parametrize("table_scale", ["per-output", "global", "power-of-two"])
def test_all_kinds_of_tables(accumulate: Any, table_scale: Any) -> None:
    model = maddjit.fit(features(), right_side(), 4, accumulate=accumulate, table_scale=table_scale)
    assert report_of(model).nmse < 0.15


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prototypes": "bucket-means"}, 'prototypes is for method="paper"'),
        ({"n_candidates": None}, 'n_candidates is for method="paper"'),
        ({"n_candidates": 8}, 'n_candidates is for method="paper"'),
        ({"penalty": 2.0}, 'penalty is for method="paper"'),
        ({"method": "paper", "core_rank": 1}, 'core_rank is for method="best"'),
        ({"core_rank": -1}, "core_rank must be from 0 to 64, not -1"),
        ({"core_rank": 65}, "core_rank must be from 0 to 64, not 65"),
        ({"method": "better"}, "method must be one of best, paper, not 'better'"),
    ],
)
def test_options_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maddjit.fit(features(), right_side(), 4, **options)


def test_a_rank_that_is_not_a_whole_number() -> None:
    with pytest.raises(TypeError, match="core_rank must be a whole number"):
        maddjit.fit(features(), right_side(), 4, core_rank=1.5)  # type: ignore[arg-type]


def test_the_seed_decides() -> None:
    A, B = features(300), right_side()
    first, again, other = (maddjit.fit(A, B, 4, core_rank=1, random_state=s) for s in (7, 7, 8))
    assert_equal(first, again)
    assert first.core is not None
    assert again.core is not None
    np.testing.assert_array_equal(first.core.projection, again.core.projection)
    assert not np.array_equal(first.tables, other.tables)


def test_the_rows_are_left_alone() -> None:
    A, B = features(100), right_side()
    before = A.copy(), B.copy()
    A.flags.writeable = B.flags.writeable = False
    maddjit.fit(A, B, 4, core_rank=1)
    np.testing.assert_array_equal(A, before[0])
    np.testing.assert_array_equal(B, before[1])


# Progress, limits and interrupts


class Watch:
    """A progress callback that counts, and at one call answers something or raises."""

    def __init__(self, at: int = 0, event: object = None) -> None:
        self.at, self.event = at, event
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> object:
        self.calls.append((done, total))
        if len(self.calls) != self.at:
            return None
        if isinstance(self.event, BaseException):
            raise self.event
        return self.event


def fitted(watch: Any = False, **options: Any) -> MaddnessModel:
    return maddjit.fit(features(300), right_side(), 4, 8, progress=watch, **options)


@any_accuracy
@pytest.mark.parametrize("n_rows", [1, 40, 80, 1000])
@pytest.mark.parametrize("n_prototypes", [2, 64])
def test_progress_never_exceeds_its_total(n_rows: int, n_prototypes: int) -> None:
    watch = Watch()
    maddjit.fit(features(n_rows), right_side(), 4, n_prototypes, progress=watch)
    assert [done for done, _ in watch.calls] == list(range(1, len(watch.calls) + 1))
    assert {total for _, total in watch.calls} == {best.N_STEPS}
    assert len(watch.calls) <= best.N_STEPS


def test_as_many_passes_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pass is followed by another if it does no harm, and here none does."""
    monkeypatch.setattr(settings, "LEAST_PASS_GAIN", -np.inf)
    monkeypatch.setattr(Fitting, "error_of", lambda *_: 1.0)
    watch = Watch()
    fitted(watch)
    assert best.N_STEPS - 2 <= len(watch.calls) <= best.N_STEPS


def test_a_callback_that_answers_false_ends_early() -> None:
    """At the first call trees are those of no time at all. Two more calls tell of the rest."""
    complete = Watch()
    fitted(complete)
    for at in range(1, len(complete.calls) + 1):
        watch = Watch(at, False)
        model = fitted(watch)
        assert_finite(model, features())
        assert at <= len(watch.calls) <= at + 2
        assert report_of(model).nmse < 0.3
        if at == 1:
            hurried = fitted(time_limit=0)
            np.testing.assert_array_equal(model.split_dims, hurried.split_dims)
            np.testing.assert_array_equal(model.thresholds, hurried.thresholds)


@pytest.mark.parametrize("answer", [None, 0, True, "stop"])
def test_no_other_answer_ends_anything(answer: object) -> None:
    watch = Watch(2, answer)
    assert_equal(fitted(watch), fitted())


@pytest.mark.parametrize("time_limit", [0, 1e-9])
def test_no_time_at_all_gives_the_paper_s_blocks(time_limit: float) -> None:
    model = fitted(time_limit=time_limit)
    for codebook, columns in enumerate(model.split_dims):
        assert set(columns // 4) == {codebook}
    assert report_of(model).nmse < 0.3


def test_time_enough_changes_nothing() -> None:
    assert_equal(fitted(time_limit=1e6), fitted())


def test_an_interrupt_while_choosing_or_refitting_ends_early(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From the callback, as if it had answered False: it leaves out as much.

    The first call comes before any choice, the last one after all work.
    """
    complete = Watch()
    fitted(complete)
    for at in range(2, len(complete.calls)):
        caplog.clear()
        model = fitted(Watch(at, KeyboardInterrupt()))
        assert "interrupted" in caplog.text
        assert_equal(model, fitted(Watch(at, False)))


@pytest.mark.parametrize(
    "place",
    [
        "best.clusters",
        "best.shuffled",
        "fitting.alternate",
        "best._best_penalty",
        "best._with_passes",
    ],
)
def test_an_interrupt_in_the_middle_of_a_step(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"maddjit.learning.maddness.{place}", interrupted)
    model = fitted()
    assert_finite(model, features())
    assert report_of(model).nmse < 0.3


@pytest.mark.parametrize("place", ["best.find_edges", "best._finished"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_cannot_be_left_out_is_not_swallowed(
    place: str, error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> None:
        raise error

    monkeypatch.setattr(f"maddjit.learning.maddness.{place}", failing)
    with pytest.raises(error):
        fitted()


@pytest.mark.parametrize("place", ["best.clusters", "fitting.alternate", "best._best_penalty"])
def test_errors_are_not_taken_for_interrupts(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(f"maddjit.learning.maddness.{place}", failing)
    with pytest.raises(ZeroDivisionError):
        fitted()


def test_the_last_interrupt_and_those_of_the_paper_s_learner_are_not_swallowed() -> None:
    complete = Watch()
    fitted(complete)
    with pytest.raises(KeyboardInterrupt):
        fitted(Watch(len(complete.calls), KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        fitted(Watch(2, KeyboardInterrupt()), method="paper")


@pytest.mark.parametrize("sigma", [1.0, 2.0])
def test_heavy_tails(sigma: float) -> None:
    """The largest one in a hundred values hold most of the variance; quantiles do not part them."""
    rng = np.random.default_rng(0)
    A = np.exp(sigma * rng.standard_normal((4000, 4))) @ rng.random((4, 16))
    B = rng.standard_normal((16, 3))
    held = A[3000:]
    losses = {}
    for method in ("best", "paper"):
        model = maddjit.fit(A[:3000], B, 4, method=method, validation=held)  # type: ignore[arg-type]
        assert model.report is not None
        losses[method] = model.report.lost_variance
    assert losses["best"] < losses["paper"]
