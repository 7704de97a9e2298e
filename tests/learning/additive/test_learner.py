"""`fit(encoder="additive")` as a whole: error, unusual input, options, interrupts, time limits."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import maddjit
from maddjit import MaddnessModel, reference
from maddjit.learning.additive import learner, part, settings
from maddjit.learning.maddness.regression import one_hot
from maddjit.models.encoders import AdditiveCodes
from tests.learning.test_fit import features, nmse, report_of, right_side

any_accuracy = pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")

fit = partial(maddjit.fit, encoder="additive")


def codes_in(model: MaddnessModel) -> AdditiveCodes:
    assert isinstance(model.encoder, AdditiveCodes)
    return model.encoder


def assert_same_codes(left: MaddnessModel, right: MaddnessModel) -> None:
    ours, theirs = codes_in(left), codes_in(right)
    for name in ("row_scale", "row_offset", "prototypes", "norms", "shifts", "gram"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name), err_msg=name)


def assert_same(left: MaddnessModel, right: MaddnessModel) -> None:
    assert_same_codes(left, right)
    for name in ("tables", "scale", "offset"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)


def wide(n_rows: int, seed: int, n_features: int = 160) -> NDArray[np.float64]:
    """Return rows that vary much in few directions, and less in more, none along a column."""
    sizes = np.arange(1, n_features + 1) ** -1.2
    turned = np.linalg.qr(np.random.default_rng(98).standard_normal((n_features, n_features)))[0]
    rows = np.random.default_rng(seed).standard_normal((n_rows, n_features)) * sizes
    A: NDArray[np.float64] = rows @ turned
    return A


# Error


def test_held_out_rows_are_met_much_better_than_by_trees() -> None:
    A, others, B = wide(1500, 1), wide(400, 2), right_side(160, 200)
    additive, trees = (
        maddjit.fit(A, B, 8, encoder=encoder, validation=0) for encoder in ("additive", "trees")
    )
    assert codes_in(additive).projection is not None
    assert nmse(additive, others, B) < 0.5 * nmse(trees, others, B)


def test_few_columns_are_not_projected() -> None:
    A, B = features(800, seed=1), right_side(n_outputs=30)
    model, trees = fit(A, B, 8), maddjit.fit(A, B, 8)
    assert codes_in(model).projection is None
    assert nmse(model, features(300, seed=2), B) < 0.5 * nmse(trees, features(300, seed=2), B)


def test_tables_are_the_least_squares_optimum_of_their_codes() -> None:
    """Of λ times the squares of entries and the squared errors, for one of the penalties."""
    A, B = features(600), right_side()
    advance = maddjit.learning.progress.Steps(lambda: None, np.inf)
    options = _options(n_codebooks=4, n_prototypes=8)
    learned = learner.learn(A, B, options, 0, advance)
    G = one_hot(reference.encode(learned.encoding(), A), 8)
    left = (A - A.mean(axis=0)) @ B - G @ learned.tables.reshape(-1, 4)
    slopes = G.T @ left
    sizes = [
        np.abs(slopes - penalty * learned.tables.reshape(-1, 4)).max()
        for penalty in settings.PENALTIES
    ]
    assert min(sizes) < 1e-8 * np.abs(slopes).max()


def test_a_core_of_the_rank_of_b_leaves_rounding_only() -> None:
    A, B = features(200), right_side(n_outputs=3)
    assert nmse(fit(A, B, 4, core_rank=3), A, B) < 1e-9


def test_a_core_helps_where_few_directions_matter() -> None:
    A, B = wide(800, 1), right_side(160, 50)
    assert nmse(fit(A, B, 8, core_rank=4), A, B) < 0.8 * nmse(fit(A, B, 8), A, B)


@any_accuracy
def test_tables_are_tuned_for_winners() -> None:
    A, others, B = features(3000), features(1000, seed=5), right_side(n_outputs=40)
    plain, tuned = (
        fit(A, B, 1, 8, objective=objective, validation=others)
        for objective in ("product", "argmax")
    )
    assert_same_codes(tuned, plain)
    assert report_of(tuned).agreement > report_of(plain).agreement


# Unusual input


@any_accuracy
@pytest.mark.parametrize("n_rows", [1, 2, 9, 30])
@pytest.mark.parametrize("n_prototypes", [2, 64])
@pytest.mark.parametrize("n_features", [16, 160])
def test_few_rows(n_rows: int, n_prototypes: int, n_features: int) -> None:
    A, B = features(n_rows, n_features), right_side(n_features)
    model = fit(A, B, 3, n_prototypes, validation=0)
    assert np.isfinite(reference.apply(model, A)).all()
    if n_rows < n_prototypes:
        assert n_rows == 1 or nmse(model, A, B) < 0.6


@pytest.mark.parametrize("n_rows", [1, 50])
@pytest.mark.parametrize("size", [0.0, 1.0, 1000.0])
def test_rows_that_are_all_equal_are_met(n_rows: int, size: float) -> None:
    row, B = size * features(n_rows=1), right_side()
    model = fit(np.repeat(row, n_rows, axis=0), B, 4)
    np.testing.assert_allclose(reference.apply(model, row), row @ B, rtol=1e-6, atol=1e-6 * size)


@pytest.mark.parametrize("n_features", [16, 160])
def test_constant_columns(n_features: int) -> None:
    A, B = features(400, n_features), right_side(n_features)
    A[:, [0, 1, 7]] = [0, -1e6, 2]
    model = fit(A, B, 8)
    assert report_of(model).nmse < 0.1
    others = A.copy()
    others[:, [0, 1, 7]] = [5, 3, 1e6]
    np.testing.assert_array_equal(reference.encode(model, others), reference.encode(model, A))


@pytest.mark.parametrize("size", [1e-30, 1e30])
@pytest.mark.parametrize("n_features", [16, 160])
def test_rows_and_columns_of_extreme_scales(size: float, n_features: int) -> None:
    A, B = features(400, n_features), right_side(n_features)
    plain = nmse(fit(A, B, 8), A, B)
    assert nmse(fit(size * A, B, 8), size * A, B) == pytest.approx(plain, rel=0.2)
    assert nmse(fit(A, size * B, 8), A, size * B) == pytest.approx(plain, rel=0.2)
    scales = np.where(np.arange(n_features) % 2, size**0.5, 1)
    assert nmse(fit(A * scales, (B.T / scales).T, 8), A * scales, (B.T / scales).T) < 1.5 * plain


def test_a_product_of_zeros() -> None:
    model = fit(features(), np.zeros((16, 4)), 4)
    assert (reference.apply(model, features()) == 0).all()


@any_accuracy
@pytest.mark.parametrize("n_features", [1, 2, 130])
@pytest.mark.parametrize("n_outputs", [1, 3])
@pytest.mark.parametrize("n_codebooks", [1, 5])
def test_small_shapes(n_features: int, n_outputs: int, n_codebooks: int) -> None:
    """There may be more codebooks than columns, and fewer outputs than directions to try."""
    A = np.random.default_rng(0).standard_normal((120, n_features))
    B = right_side(n_features, n_outputs)
    model = fit(A, B, n_codebooks, 8)
    assert codes_in(model).n_features == n_features
    assert nmse(model, A, B) < (1 if n_features > 2 else 0.2)


@any_accuracy
def test_heavy_tails() -> None:
    A = np.exp(2.5 * np.random.default_rng(0).standard_normal((600, 150)))
    B = right_side(150, 20)
    assert nmse(fit(A, B, 16), A, B) < 0.5


@pytest.mark.parametrize("kind", ["uint8", "int8"])
def test_integers_are_used_as_they_are(kind: str) -> None:
    A = np.clip(20 * features(500), -100, 100).astype(np.int8).astype(np.int16)
    rows = (A + (100 if kind == "uint8" else 0)).astype(kind)
    model = fit(rows, right_side(), 8)
    assert (codes_in(model).row_scale == 1).all()
    assert (codes_in(model).row_offset == (0 if kind == "uint8" else 128)).all()
    assert report_of(model).nmse < 0.05


@any_accuracy
def test_256_prototypes() -> None:
    A, B = features(700), right_side()
    model = fit(A, B, 2, 256)
    assert model.n_prototypes == 256
    assert nmse(model, A, B) < nmse(fit(A, B, 2, 16), A, B)


@pytest.mark.parametrize("accumulate", ["exact", "average"])
@pytest.mark.parametrize("table_scale", ["per-output", "global", "power-of-two"])
def test_all_kinds_of_tables(accumulate: Any, table_scale: Any) -> None:
    A, B = features(300), right_side()
    model = fit(A, B, 4, accumulate=accumulate, table_scale=table_scale)
    assert nmse(model, A, B) < 0.2


def test_rows_that_repeat_are_seen_whatever_their_period(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "RANGE_ROWS", 300)
    A, B = wide(600, 1), right_side(160, 200)
    A[::2] = A[0]
    model = fit(A, B, 8, validation=0)
    assert nmse(model, A, B) < 0.2


# Options


def _options(**given: Any) -> Any:
    from maddjit.learning.maddness.options import Options

    plain: dict[str, Any] = {
        "method": "best", "core_rank": 0, "prototypes": "ridge", "accumulate": "exact",
        "table_scale": "per-output", "byte_group": 1, "n_candidates": 4, "penalty": 1.0,
        "encoder": "additive",
    }  # fmt: skip
    return Options(**plain, **given)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"encoder": "forest"}, "encoder must be one of trees, additive, auto, not 'forest'"),
        ({"encoder": "additive", "method": "paper"}, "encoder='additive' is for method=\"best\""),
        ({"encoder": "additive", "n_codebooks": 0}, "n_codebooks must be at least 1"),
        ({"encoder": "additive", "n_prototypes": 12}, "n_prototypes"),
    ],
)
def test_options_that_do_not_exist(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maddjit.fit(features(), right_side(), **{"n_codebooks": 4, **options})


def test_the_seed_decides() -> None:
    A, B = features(600), right_side()
    first, again, other = (fit(A, B, 4, random_state=seed, validation=0) for seed in (0, 0, 1))
    assert_same(first, again)
    assert not np.array_equal(first.tables, other.tables)


def test_the_rows_are_left_alone() -> None:
    A, B = features(), right_side()
    kept = A.copy(), B.copy()
    fit(A, B, 4)
    np.testing.assert_array_equal(A, kept[0])
    np.testing.assert_array_equal(B, kept[1])


def test_a_model_is_stored() -> None:
    model = fit(features(), right_side(), 4)
    read = maddjit.models.storage.from_bytes(maddjit.models.storage.to_bytes(model))
    assert_same(read, model)
    assert "encoder='additive'" in report_of(read).learned_by


# Progress, time and interrupts


def calls(A: NDArray[Any], **options: Any) -> list[tuple[int, int]]:
    """Return what a progress function is told."""
    told: list[tuple[int, int]] = []
    fit(A, right_side(len(A[0])), 4, progress=lambda *both: told.append(both), **options)
    return told


@any_accuracy
@pytest.mark.parametrize("n_features", [16, 300])
@pytest.mark.parametrize("n_rows", [5, 300])
def test_progress_never_exceeds_its_total(n_rows: int, n_features: int) -> None:
    told = calls(features(n_rows, n_features))
    assert [done for done, _ in told] == list(range(1, len(told) + 1))
    assert len(told) <= told[0][1] == learner.N_STEPS


def test_as_many_turns_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "LEAST_TURN_GAIN", -np.inf)
    assert len(calls(features(), validation=0)) == learner.N_STEPS - len(settings.RANKS) + 1


@any_accuracy
def test_a_callback_that_answers_false_ends_early_and_so_does_no_time() -> None:
    A, B = features(), right_side()
    stopped = fit(A, B, 4, progress=lambda *_: False)
    assert_same_codes(stopped, fit(A, B, 4, time_limit=0))
    assert_same(fit(A, B, 4, time_limit=1000), fit(A, B, 4))


def interrupted_at(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupt the making of one of the encoders."""
    made = part.encoder_of
    numbers = iter(range(1000))

    def at_last(*given: Any) -> AdditiveCodes:
        if next(numbers) == number:
            raise KeyboardInterrupt
        return made(*given)

    monkeypatch.setattr(part, "encoder_of", at_last)


def test_an_interrupt_ends_early_once_there_is_an_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted_at(1, monkeypatch)
    model = fit(features(), right_side(), 4)
    assert_same_codes(model, fit(features(), right_side(), 4, time_limit=0))


@pytest.mark.parametrize(("number", "answer"), [(0, "finish"), (1, "raise")])
def test_other_interrupts_are_not_swallowed(
    number: int, answer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted_at(number, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        fit(features(), right_side(), 4, on_interrupt=answer)


def test_many_codes_are_not_regressed_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    A, B = features(1500), right_side(n_outputs=30)
    plain = fit(A, B, 4, validation=0)
    monkeypatch.setattr(settings, "MAX_CODES", 63)
    quick = fit(A, B, 4, validation=0)
    assert nmse(quick, A, B) < 1.3 * nmse(plain, A, B)
