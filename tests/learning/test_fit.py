"""`fit` as a whole: bad and unusual input, options, the report, and the published error."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

import maddjit
from maddjit import AccuracyWarning, MaddnessModel, reference
from maddjit.learning.maddness.options import Method, TableScale
from maddjit.learning.task import split
from maddjit.models.storage import from_bytes, to_bytes

ARRAYS = ("split_dims", "thresholds", "tables", "scale", "offset")

paper_fit = partial(maddjit.fit, method="paper")
"""For what is true of the paper's learner alone."""

any_accuracy = pytest.mark.filterwarnings("ignore::maddjit.AccuracyWarning")


def features(n_rows: int = 400, n_features: int = 16, rank: int = 3, seed: int = 0) -> NDArray[Any]:
    """Return rows near a subspace, the same for every seed, so that codebooks can say much."""
    subspace = np.random.default_rng(98).standard_normal((rank, n_features))
    rng = np.random.default_rng(seed)
    A: NDArray[np.float64] = rng.standard_normal((n_rows, rank)) @ subspace
    return A + 0.1 * rng.standard_normal(A.shape)


def right_side(n_features: int = 16, n_outputs: int = 4) -> NDArray[np.float64]:
    return np.random.default_rng(99).standard_normal((n_features, n_outputs))


def nmse(model: MaddnessModel, A: ArrayLike, B: ArrayLike) -> float:
    """mean((Ŷ − Y)²) / var(Y), by the definition of the operator."""
    rows = np.asarray(A, dtype=np.float64)
    exact = rows @ np.asarray(B, dtype=np.float64)
    return float(((reference.apply(model, rows) - exact) ** 2).mean() / exact.var())


def assert_equal(left: MaddnessModel, right: MaddnessModel) -> None:
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name), err_msg=name)
    assert left.accumulate == right.accumulate


def report_of(model: MaddnessModel) -> maddjit.FitReport:
    assert model.report is not None
    return model.report


# Bad input


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_a_non_finite_entry_of_a_train_is_named(value: float, dtype: str) -> None:
    A = features().astype(dtype)
    A[17, 5] = A[18, 0] = value
    with pytest.raises(ValueError, match=rf"A_train .*{value} at row 17, column 5\b"):
        maddjit.fit(A, right_side(), 4)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_non_finite_entry_of_the_other_arrays_is_named(value: float) -> None:
    A, B = features(), right_side()
    bad_B = B.copy()
    bad_B[3, 2] = value
    with pytest.raises(ValueError, match=rf"^B .*{value} at row 3, column 2\b"):
        maddjit.fit(A, bad_B, 4)
    with pytest.raises(ValueError, match=rf"bias .*{value} at position 1\b"):
        maddjit.fit(A, B, 4, bias=[0.0, value, 0.0, 0.0])
    held = A[:30].copy()
    held[29, 15] = value
    with pytest.raises(ValueError, match=rf"validation .*{value} at row 29, column 15\b"):
        maddjit.fit(A, B, 4, validation=held)


@pytest.mark.parametrize(
    ("A", "B", "message"),
    [
        (features(), right_side(15), "A_train has 16 columns but B has 15 rows"),
        (features(), right_side()[:, 0], "B must have 2"),
        (features()[0], right_side(), "A_train must have 2"),
        (features()[np.newaxis], right_side(), "A_train must have 2"),
        (features()[:0], right_side(), "A_train must have 2 non-empty"),
        (features()[:, :0], right_side()[:0], "A_train must have 2 non-empty"),
        (features(), right_side()[:, :0], "B must have 2 non-empty"),
        (3.0, right_side(), "A_train must have 2"),
        ([[1.0, 2.0], [3.0]], right_side(), "A_train must be an array, but its rows differ"),
        (1e30 * features(), 1e30 * right_side(), r"A_train @ B \+ bias reaches .*, which float32"),
    ],
)
def test_shapes_that_do_not_fit(A: ArrayLike, B: ArrayLike, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maddjit.fit(A, B, 4)


@pytest.mark.parametrize("bias", [1.0, np.zeros(3), np.zeros((1, 4)), []])
def test_a_bias_of_another_shape(bias: ArrayLike) -> None:
    with pytest.raises(ValueError, match="bias must have"):
        maddjit.fit(features(), right_side(), 4, bias=bias)


@pytest.mark.parametrize(
    "validation",
    [-0.1, 1, 1.5, np.nan, features(n_features=15), features()[0], features()[:0]],
)
def test_impossible_validation(validation: float | NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="validation must"):
        maddjit.fit(features(), right_side(), 4, validation=validation)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_codebooks": 17}, "n_codebooks must be from 1 to the number of columns, 16, not 17"),
        ({"n_codebooks": 0}, "n_codebooks"),
        ({"n_codebooks": -4}, "n_codebooks"),
        ({"n_prototypes": 1}, "n_prototypes must be a power of two from 2 to 256, not 1"),
        ({"n_prototypes": 0}, "n_prototypes"),
        ({"n_prototypes": -2}, "n_prototypes"),
        ({"n_prototypes": 12}, "n_prototypes"),
        ({"n_prototypes": 512}, "n_prototypes"),
        ({"method": "k-means"}, "method must be .*paper.*not 'k-means'"),
        ({"prototypes": "means"}, "prototypes must be .*ridge.*bucket-means.*not 'means'"),
        ({"prototypes": None}, "prototypes"),
        ({"accumulate": "sum"}, "accumulate must be .*exact.*average.*not 'sum'"),
        ({"table_scale": "per-row"}, "table_scale must be .*global.*not 'per-row'"),
        ({"byte_group": 0}, 'byte_group must be "auto" or from 1 to 4, not 0'),
        ({"byte_group": 5}, "byte_group"),
        ({"byte_group": "all"}, "byte_group must be .*all"),
        ({"method": "paper", "n_candidates": 0}, "n_candidates must be at least 1 or None, not 0"),
        ({"method": "paper", "penalty": 0}, "penalty must be finite"),
        ({"method": "paper", "penalty": -1.0}, "penalty"),
        ({"method": "paper", "penalty": np.nan}, "penalty"),
        ({"random_state": -1}, "random_state must be a whole number from 0, not -1"),
        ({"time_limit": -1}, "time_limit must be 0 seconds or more, not -1"),
        ({"time_limit": np.nan}, "time_limit"),
    ],
)
def test_options_that_do_not_exist(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        maddjit.fit(features(), right_side(), **{"n_codebooks": 4, **options})


@pytest.mark.parametrize(
    "options",
    [
        {"n_codebooks": 2.5},
        {"n_codebooks": 2.5, "byte_group": 1},
        {"n_codebooks": "4"},
        {"n_prototypes": 16.5},
        {"byte_group": 1.5},
        {"n_candidates": 2.5},
    ],
)
def test_sizes_that_are_not_whole_numbers(options: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        maddjit.fit(features(), right_side(), **{"n_codebooks": 4, **options})


@pytest.mark.parametrize(
    "convert",
    [
        lambda array: array.astype(str),
        lambda array: array.astype(object),
        lambda array: array.astype(complex),
        lambda array: array.astype("timedelta64[s]"),
        lambda array: None,
    ],
    ids=["str", "object", "complex", "timedelta64", "None"],
)
def test_arrays_that_hold_no_real_numbers(convert: Callable[[NDArray[Any]], Any]) -> None:
    A, B = features(), right_side()
    with pytest.raises(TypeError, match="A_train must hold real numbers"):
        maddjit.fit(convert(A), B, 4)
    with pytest.raises(TypeError, match="B must hold real numbers"):
        maddjit.fit(A, convert(B), 4)


# Unusual input


def test_constant_columns() -> None:
    A, B = features(), right_side()
    A[:, [0, 1, 2, 3, 7, 15]] = [0, 3.5, -1e6, 1, 2, 3]  # the whole first block, and others
    model = paper_fit(A, B, 4)
    assert report_of(model).nmse < 0.15
    assert (model.thresholds[0] == np.inf).all()
    assert (reference.encode(model, A)[:, 0] == 0).all()


def test_duplicated_columns() -> None:
    A, B = features(n_features=4), right_side()
    within_blocks, across_blocks = np.repeat(A, 4, axis=1), np.tile(A, 4)
    assert report_of(paper_fit(within_blocks, B, 4)).nmse < 0.15
    model = paper_fit(across_blocks, B, 4)
    assert report_of(model).nmse < 0.5
    codes = reference.encode(model, across_blocks)
    assert (codes == codes[:, :1]).all()  # equal blocks, equal trees


@pytest.mark.parametrize("n_rows", [1, 2, 50])
@pytest.mark.parametrize("n_outputs", [1, 4])
@pytest.mark.parametrize("size", [1.0, 1000.0])
def test_rows_that_are_all_equal_are_met_exactly(n_rows: int, n_outputs: int, size: float) -> None:
    """Up to the rounding of float32. No variance can be lost, so there is nothing to warn of."""
    row, B = size * features(n_rows=1), right_side(n_outputs=n_outputs)
    model = maddjit.fit(np.repeat(row, n_rows, axis=0), B, 4)
    np.testing.assert_allclose(reference.apply(model, row), row @ B, rtol=1e-6, atol=1e-6 * size)
    assert (model.thresholds == np.inf).all()


def test_an_output_that_does_not_vary_and_is_met_has_no_error() -> None:
    B = right_side()
    B[:, 2] = 0
    model = maddjit.fit(features(), B, 4, bias=[0, 0, 1000.1, 0])
    assert (reference.apply(model, features())[:, 2] == np.float32(1000.1)).all()
    assert report_of(model).output_nmse[2] == pytest.approx(0, abs=1e-6)


@any_accuracy
@pytest.mark.parametrize("n_rows", [1, 2, 5, 19, 20])
@pytest.mark.parametrize("n_prototypes", [16, 256])
def test_fewer_rows_than_prototypes(n_rows: int, n_prototypes: int) -> None:
    A, B = features(n_rows=n_rows), right_side()
    model = paper_fit(A, B, 4, n_prototypes, validation=0)
    assert report_of(model).n_rows == n_rows
    assert not report_of(model).held_out
    assert "nmse" not in repr(model)
    assert np.isfinite(reference.apply(model, A)).all()
    codes = reference.encode(model, A)
    alone = all(len(np.unique(column)) == n_rows for column in codes.T)
    assert alone or n_rows > 5
    if alone and n_rows > 1:  # each row is the mean of its leaves: only the quantisation is left
        assert nmse(model, A, B) < 1e-2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_far_from_zero(dtype: str) -> None:
    """An offset of 10⁶ costs no more than the rounding of inputs, thresholds and outputs.

    At 10⁶ float32 steps by 1/16; the outputs are near 10⁶, where they step by 1/8 or ¼. Columns
    and outputs have standard deviations of some hundreds, so these errors are about 10⁻³ of them,
    10⁻⁶ in squares; they may also move a threshold across a row or two. The figure to compare is
    that of each output: the outputs now have very different means, which var(Y) over all entries
    counts as variance.
    """
    A, B = 100 * features(1000), right_side()
    moved = A.copy()
    moved[:, ::2] += 1e6
    near = paper_fit(A.astype(dtype), B, 8, byte_group=1)
    far = paper_fit(moved.astype(dtype), B, 8, byte_group=1)
    assert report_of(near).output_nmse.max() < 0.1
    np.testing.assert_allclose(
        report_of(far).output_nmse, report_of(near).output_nmse, rtol=0.05, atol=1e-5
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "int64", "uint64", ">i2"])
def test_integers(dtype: str) -> None:
    A, B = np.abs(10 * features()).clip(0, 127).astype(dtype), np.rint(5 * right_side())
    expected = maddjit.fit(A.astype(np.float64), B, 8)
    assert_equal(maddjit.fit(A, B.astype(np.int64), 8), expected)
    assert_equal(maddjit.fit(A.tolist(), B.tolist(), 8), expected)


def test_booleans() -> None:
    A, B = features() > 0, right_side() > 0
    expected = maddjit.fit(A.astype(np.float64), B.astype(np.float64), 8)
    assert_equal(maddjit.fit(A, B, 8), expected)


@pytest.mark.parametrize("dtype", ["float16", ">f4", ">f8", "longdouble"])
def test_other_floats(dtype: str) -> None:
    A, B = features().astype(dtype), right_side()
    assert_equal(maddjit.fit(A, B, 8), maddjit.fit(A.astype(np.float64), B, 8))


@any_accuracy
@pytest.mark.parametrize("n_prototypes", [2, 4, 8, 16, 32, 64, 128, 256])
def test_all_numbers_of_prototypes(n_prototypes: int) -> None:
    A, B = features(), right_side()
    model = paper_fit(A, B, 4, n_prototypes, validation=A)
    depth = int(np.log2(n_prototypes))
    assert model.split_dims.shape == (4, depth)
    assert model.thresholds.shape == (4, n_prototypes - 1)
    assert model.tables.shape == (4, n_prototypes, 4)
    codes = reference.encode(model, A)
    if n_prototypes <= 32:  # beyond, 400 rows no longer fill every leaf
        assert [len(np.unique(column)) for column in codes.T] == [n_prototypes] * 4
    assert report_of(model).nmse == pytest.approx(nmse(model, A, B), rel=1e-9)


@pytest.mark.slow
def test_more_prototypes_help() -> None:
    A, B = features(2000), right_side()
    errors = [report_of(maddjit.fit(A, B, 8, 2**depth)).nmse for depth in range(2, 9)]
    assert errors[0] > 2 * errors[2]
    assert errors[2] > 2 * errors[6]


@pytest.mark.parametrize(("n_features", "n_codebooks"), [(13, 4), (7, 3), (16, 5), (5, 5), (9, 1)])
def test_blocks_are_contiguous_and_of_about_equal_size(n_features: int, n_codebooks: int) -> None:
    """Whether or not C divides D. Leaves enough for every pattern of bits make the result exact
    if each column is in one block; the split columns show the order.
    """
    A = np.random.default_rng(3).integers(0, 2, (2000, n_features)).astype(np.float32)
    B = right_side(n_features)
    largest = -(-n_features // n_codebooks)
    model = paper_fit(
        A, B, n_codebooks, 2 ** max(largest, 1) if largest <= 8 else 256, n_candidates=None
    )
    used = [np.unique(dims) for dims in model.split_dims]
    smallest = n_features // n_codebooks
    for codebook, columns in enumerate(used):
        assert np.ptp(columns) < largest
        assert columns.min() >= codebook * smallest
    assert all(left.max() < right.min() for left, right in pairwise(used))
    if largest <= 8:
        assert sorted(np.concatenate(used)) == list(range(n_features))
        assert report_of(model).nmse < 1e-3


def test_the_default_number_of_codebooks_needs_as_many_columns() -> None:
    with pytest.raises(ValueError, match="n_codebooks"):
        maddjit.fit(features(n_features=15), right_side(15))


@pytest.mark.slow
@any_accuracy
@pytest.mark.parametrize("table_scale", ["per-output", "power-of-two"])
@pytest.mark.parametrize("n_codebooks", [509, 510, 511, 512])
def test_more_codebooks_than_a_byte_can_add_up(n_codebooks: int, table_scale: Any) -> None:
    A, B = features(60, n_codebooks), right_side(n_codebooks, 2)
    model = maddjit.fit(A, B, n_codebooks, 2, table_scale=table_scale)
    assert (model.scale > 0).all()


def test_a_right_hand_side_of_zeros() -> None:
    model = maddjit.fit(features(), np.zeros((16, 2)), 4, bias=[0.5, -2.0])
    assert (reference.apply(model, features()) == [0.5, -2.0]).all()


def test_a_right_hand_side_below_the_range_of_float32() -> None:
    with pytest.warns(AccuracyWarning):  # nothing of a product so small is in the outputs
        model = maddjit.fit(features(), 1e-50 * right_side(), 4, bias=[0.0, 1.0, 2.0, 3.0])
    assert np.abs(reference.apply(model, features()) - [0, 1, 2, 3]).max() < 1e-37


def test_a_right_hand_side_beyond_the_range_of_float32() -> None:
    with pytest.raises(ValueError, match="finite"):
        maddjit.fit(features(), 1e50 * right_side(), 4)


def test_arguments_stay_as_they_are() -> None:
    arrays = [features(), right_side(), np.ones(4), features(50)]
    copies = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    A, B, bias, held = arrays
    maddjit.fit(A, B, 4, bias=bias, validation=held)
    maddjit.fit(A, B[:, :2], 4, bias=bias[:2])
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


# Options


def test_two_fits_are_equal() -> None:
    A, B = features().astype(np.float32), right_side()
    first = maddjit.fit(A, B, 8)
    np.random.default_rng().random()  # no generator's state matters
    second = maddjit.fit(A.copy(), B.copy(), 8)
    assert_equal(first, second)
    one, other = report_of(first), report_of(second)
    assert one.nmse == other.nmse
    np.testing.assert_array_equal(one.worst_rows, other.worst_rows)


def test_the_seed_chooses_the_rows_kept_back_and_nothing_else() -> None:
    A, B = features(), right_side()
    assert_equal(
        paper_fit(A, B, 8, validation=0, random_state=1),
        paper_fit(A, B, 8, validation=0, random_state=2),
    )
    one = report_of(paper_fit(A, B, 8, random_state=1))
    other = report_of(paper_fit(A, B, 8, random_state=2))
    assert one.worst_rows.tolist() != other.worst_rows.tolist()


def test_rows_kept_back_are_not_trained_on() -> None:
    A, B = features(), right_side()
    train, held, index = split(A, 0.25, 7)
    assert held is not None
    np.testing.assert_array_equal(A[index], held)
    np.testing.assert_array_equal(np.delete(A, index, axis=0), train)
    kept_back = maddjit.fit(A, B, 8, validation=0.25, random_state=7)
    assert_equal(kept_back, maddjit.fit(train, B, 8, validation=held, random_state=7))


def test_bias_moves_the_offset_and_nothing_else() -> None:
    A, B, bias = features(), right_side(), np.array([5.0, -1.0, 0.0, 100.0])
    without, plus = maddjit.fit(A, B, 8), maddjit.fit(A, B, 8, bias=bias)
    for name in ("split_dims", "thresholds", "tables", "scale"):
        np.testing.assert_array_equal(getattr(plus, name), getattr(without, name))
    np.testing.assert_allclose(plus.offset, without.offset + bias, rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(report_of(plus).bias, report_of(without).bias, rtol=0, atol=1e-4)
    # A bias of 100 makes float32 outputs round by up to 1.5 · 2^-24 · 128 = 1.1e-5, against errors
    # of .1 and more: twice their ratio is 2e-4 of the squared error.
    output_nmse = report_of(without).output_nmse
    np.testing.assert_allclose(report_of(plus).output_nmse, output_nmse, rtol=1e-3)
    assert_equal(maddjit.fit(A, B, 8, bias=[0, 0, 0, 0]), without)


def test_ridge_is_better_than_bucket_means() -> None:
    A, B = features(2000), right_side()
    errors = {
        kind: report_of(paper_fit(A, B, 8, prototypes=kind)).nmse
        for kind in ("ridge", "bucket-means")
    }
    assert errors["ridge"] < 0.8 * errors["bucket-means"]


def test_a_great_penalty_leaves_the_bucket_means() -> None:
    A, B = features(), right_side()
    model = paper_fit(A, B, 8, penalty=1e12)
    assert_equal(model, paper_fit(A, B, 8, prototypes="bucket-means"))


@pytest.mark.quick(6)
@pytest.mark.parametrize("table_scale", ["per-output", "global", "power-of-two"])
@pytest.mark.parametrize("accumulate", ["exact", "average"])
@pytest.mark.parametrize("n_codebooks", [3, 8, 16])
def test_every_way_to_store_and_sum(table_scale: Any, accumulate: Any, n_codebooks: int) -> None:
    A, B = features(1000), right_side()
    best = maddjit.fit(A, B, n_codebooks, byte_group=1)
    model = maddjit.fit(A, B, n_codebooks, table_scale=table_scale, accumulate=accumulate)
    assert model.accumulate == accumulate
    # Averages cost most with U = 16 and the largest step, 1/8: an average is ½ too high half of the
    # time, variance 1/16, and halved by each level after it, so (1 + ½ + ¼ + ⅛)/16 in units of
    # (16/8)², that is 0.47, beside a variance of the outputs of about 29: 0.016.
    assert report_of(model).nmse < report_of(best).nmse + 0.02
    if table_scale != "per-output":
        assert len(np.unique(model.scale)) == 1
    if table_scale == "power-of-two":
        assert (np.log2(model.scale) % 1 == 0).all()


@pytest.mark.parametrize("byte_group", [1, 2, 3, 8])
def test_byte_groups_add_up_in_a_byte(byte_group: int) -> None:
    model = maddjit.fit(features(), right_side(), 8, byte_group=byte_group)
    largest = model.tables.max(axis=1).astype(int)
    for at in range(0, 8, byte_group):
        assert largest[at : at + byte_group].sum(axis=0).max() <= 255


@pytest.mark.slow
@pytest.mark.parametrize("n_prototypes", [4, 16, 64, 256])
def test_the_largest_byte_group_that_costs_little_is_taken(n_prototypes: int) -> None:
    """Few prototypes lose more than the coarser step; many make the step what counts."""
    A, B = features(3000, rank=2), right_side()
    models = {g: maddjit.fit(A, B, 8, n_prototypes, byte_group=g) for g in (8, 4, 2, 1)}
    tolerated = 1.02 * report_of(models[1]).nmse
    chosen = next(model for model in models.values() if report_of(model).nmse <= tolerated)
    assert_equal(maddjit.fit(A, B, 8, n_prototypes), chosen)


# The report


def assert_report(
    model: MaddnessModel,
    A: NDArray[Any],
    B: NDArray[Any],
    index: NDArray[np.intp],
    bias: ArrayLike = 0.0,
) -> None:
    """Recompute a report on the rows `index` of A through the reference."""
    report = report_of(model)
    exact = A[index].astype(np.float64) @ B + bias
    errors = reference.apply(model, A[index]) - exact
    assert report.n_rows == len(index)
    assert report.nmse == pytest.approx((errors**2).mean() / (exact - bias).var(), rel=1e-9)
    expected = (errors**2).mean(axis=0) / exact.var(axis=0)
    np.testing.assert_allclose(report.output_nmse, expected, rtol=1e-9)
    np.testing.assert_allclose(report.bias, errors.mean(axis=0), rtol=1e-9, atol=1e-12)
    row_errors = np.sqrt((errors**2).mean(axis=1))
    n_worst = min(10, len(index))
    assert report.worst_rows.shape == report.worst_errors.shape == (n_worst,)
    worst = np.sort(row_errors)[::-1][:n_worst]
    np.testing.assert_allclose(report.worst_errors, worst, rtol=1e-9, atol=1e-12)
    assert len(set(report.worst_rows.tolist())) == n_worst
    error_of = dict(zip(index.tolist(), row_errors.tolist(), strict=True))
    named = [error_of[row] for row in report.worst_rows.tolist()]
    np.testing.assert_allclose(named, report.worst_errors, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_report_on_a_share_of_the_training_rows(dtype: str) -> None:
    A, B = features().astype(dtype), right_side()
    for share in (0.1, 0.25, 0.9):
        model = maddjit.fit(A, B, 8, 8, validation=share, random_state=3)
        index = split(A, share, 3)[2]
        assert len(index) == round(share * len(A))
        assert report_of(model).held_out
        assert_report(model, A, B, index)
    assert report_of(maddjit.fit(A, B, 8)).n_rows == 40  # a tenth unless told otherwise


def test_report_on_given_rows() -> None:
    A, B, held = features(), right_side(), features(37, seed=1)
    model = maddjit.fit(A, B, 8, validation=held)
    assert report_of(model).held_out
    assert_report(model, held, B, np.arange(37))
    assert_equal(model, maddjit.fit(A, B, 8, validation=held.tolist()))
    # The rows are judged by, not learned from.
    others = maddjit.fit(A, B, 8, validation=-held, byte_group=1)
    assert_equal(others, maddjit.fit(A, B, 8, validation=held, byte_group=1))


def test_report_on_fewer_than_ten_rows() -> None:
    A, B, held = features(), right_side(), features(3, seed=1)
    assert_report(maddjit.fit(A, B, 8, validation=held), held, B, np.arange(3))


@pytest.mark.parametrize(("n_rows", "validation"), [(400, 0), (400, 0.001), (19, 0.5)])
def test_report_without_rows_kept_back(n_rows: int, validation: float) -> None:
    A, B = features(n_rows), right_side()
    model = maddjit.fit(A, B, 8, validation=validation)
    assert not report_of(model).held_out
    assert "none held out" in str(model.report)
    assert_report(model, A, B, np.arange(n_rows))


def test_a_bias_is_met_and_adds_no_variance() -> None:
    A, B, bias = features(), right_side(), np.array([3.0, 0.0, -50.0, 1.0])
    model = maddjit.fit(A, B, 8, validation=0, bias=bias)
    assert_report(model, A, B, np.arange(400), bias)


def test_report_in_words() -> None:
    model = maddjit.fit(features(), right_side(), 8)
    report = report_of(model)
    text = str(report)
    assert f"{report.nmse:.4g}" in text
    assert "40 held-out rows" in text
    assert str(report.worst_rows[0]) in text


def test_white_noise_brings_a_warning() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((1000, 64)), rng.standard_normal((64, 3))
    with pytest.warns(AccuracyWarning, match="held-out rows and should not be used") as caught:
        model = paper_fit(A, B, 2)
    assert len(caught) == 1
    assert caught[0].filename == __file__
    assert f"{report_of(model).nmse:.0%}" in str(caught[0].message)
    assert 0.5 < report_of(model).nmse < 1.2
    with pytest.warns(AccuracyWarning, match="training rows"):
        paper_fit(A, B, 2, validation=0)


def test_a_bias_does_not_hide_that_the_variance_is_lost() -> None:
    """Constants add nothing to the variance of any output, nor to the variance of A @ B."""
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((1000, 64)), rng.standard_normal((64, 3))
    with pytest.warns(AccuracyWarning):
        maddjit.fit(A, B, 2, bias=[0.0, 1000.0, 0.0])


def test_what_a_large_bias_rounds_away_is_an_error() -> None:
    """Float32 numbers at 10⁹ are 64 apart; the products' standard deviations are 4 to 7."""
    A, B = features(1000), right_side()
    with pytest.warns(AccuracyWarning):
        model = maddjit.fit(A, B, 8, bias=np.full(4, 1e9), validation=A)
    errors = reference.apply(model, A) - 1e9 - A @ B
    lost = (errors**2).mean(axis=0) / (A @ B).var(axis=0)
    np.testing.assert_allclose(report_of(model).output_nmse, lost, rtol=1e-9)
    assert report_of(model).lost_variance > 1


def test_a_column_offset_does_not_hide_that_the_variance_is_lost() -> None:
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((1000, 64)), rng.standard_normal((64, 3))
    A[:, 0] += 1000
    with pytest.warns(AccuracyWarning):
        model = maddjit.fit(A, B, 2)
    report = report_of(model)
    assert report.nmse < 1e-4  # as the paper defines it
    assert report.lost_variance > 0.9


@pytest.mark.parametrize("penalty", [0, -1, 1e-16, np.inf, np.nan])
def test_penalty_in_its_range(penalty: float) -> None:
    with pytest.raises(ValueError, match="penalty must be finite and at least 1e-6"):
        paper_fit(features(), right_side(), 4, penalty=penalty)


@pytest.mark.parametrize("size", [1e39, 1e160])
def test_rows_beyond_the_range_of_float32(size: float) -> None:
    with pytest.raises(ValueError, match="A_train must be finite in float32"):
        maddjit.fit(size * features(), right_side(), 4)


# Progress


@pytest.mark.parametrize("n_codebooks", [1, 5, 16])
def test_progress_is_told_to_a_function(
    n_codebooks: int, capfd: pytest.CaptureFixture[str]
) -> None:
    calls: list[tuple[int, int]] = []
    B = features().T @ features() @ right_side()  # along what varies, so one codebook will do
    model = paper_fit(
        features(), B, n_codebooks, 64, progress=lambda done, total: calls.append((done, total))
    )
    total = calls[-1][1]
    assert total >= n_codebooks
    assert calls == [(done, total) for done in range(1, total + 1)]
    assert_equal(model, paper_fit(features(), B, n_codebooks, 64))
    assert capfd.readouterr() == ("", "")


def test_progress_bar(capfd: pytest.CaptureFixture[str]) -> None:
    paper_fit(features(), right_side(), 8, progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert "9/9" in err


# The published error


@pytest.fixture(scope="module")
def digits() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]]:
    """Training rows, test rows, and the weights of a logistic regression on the training rows."""
    from sklearn.datasets import load_digits
    from sklearn.linear_model import LogisticRegression

    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    order = np.random.default_rng(0).permutation(1797)
    train, test = order[:1200], order[1200:]
    weights = LogisticRegression(max_iter=2000).fit(X[train], y[train]).coef_.T
    return X[train], X[test], weights


@pytest.mark.quick(2)
@pytest.mark.parametrize(
    ("n_codebooks", "authors"), [(4, 0.293), (8, 0.160), (16, 0.0756), (32, 0.0388)]
)
def test_no_worse_than_the_authors_on_digits(
    digits: tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float64]],
    n_codebooks: int,
    authors: float,
) -> None:
    """The figures are of the authors' public code (github.com/dblalock/bolt), run on this split."""
    train, test, weights = digits
    model = maddjit.fit(train, weights, n_codebooks, validation=test)
    assert nmse(model, test, weights) <= 1.1 * authors
    assert report_of(model).nmse == pytest.approx(nmse(model, test, weights), rel=1e-6)


@any_accuracy
def test_bfloat16_rows_are_learned_from_as_the_numbers_that_they_are() -> None:
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    A, B = features(3000).astype(bfloat16), right_side()
    model, same = (maddjit.fit(rows, B, 4) for rows in (A, A.astype(np.float32)))
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(model, name), getattr(same, name))
    calibrated = maddjit.calibrate(model, A, B)
    op = maddjit.compile(calibrated, result="argmax", coverage=0.99)
    np.testing.assert_array_equal(op(A), op(A.astype(np.float32)))


@pytest.mark.parametrize("method", ["best", "paper"])
@pytest.mark.parametrize("table_scale", ["per-output", "power-of-two"])
def test_averages_of_nothing_are_nothing(method: Method, table_scale: TableScale) -> None:
    """Outputs of no B are their bias, and tiny ones keep their mean, beside large ones.

    Of a tiny output all tables may be rounded away; its mean on other rows than those of the fit
    is then off by six standard errors or less, never or always with the fixed seed.
    """
    rng = np.random.default_rng(0)
    A = rng.standard_normal((1500, 5)) @ rng.standard_normal((5, 32)) + 1
    B = rng.standard_normal((32, 6))
    B[:, 2:4], bias = 0, np.arange(6.0)
    B[:, 4] *= 1e-4
    model = maddjit.fit(
        A, B, 8, accumulate="average", method=method, table_scale=table_scale, bias=bias
    )
    Y = maddjit.compile(model)(A)
    assert (Y[:, 2:4] == bias[2:4]).all()
    assert model.report is not None
    assert (model.report.bias[2:4] == 0).all()
    spread = (A @ B[:, 4]).std()
    error = spread * np.sqrt(1 / 1350 + 1 / 150) + 4 * 2.0**-24
    assert abs(model.report.bias[4]) <= 6 * error


@pytest.mark.filterwarnings("error")
def test_a_single_row_has_no_nmse() -> None:
    """Nor is it a reason to warn, whatever is lost on it."""
    A, B = features(), right_side()
    for model in (
        maddjit.fit(A, B, 4, validation=100 * A[:1]),
        maddjit.fit(A, B, 4, validation=100 * A[:1], objective="argmax", time_limit=0),
        maddjit.fit(A[:1], B, 4, validation=0),
    ):
        report = model.report
        assert report is not None
        assert report.n_rows == 1
        for figure in (report.nmse, report.lost_variance, *report.output_nmse):
            assert np.isnan(figure)
        assert np.isfinite(report.bias).all()
        assert "nan" not in repr(model)
        if report.objective == "product":
            assert str(report).startswith("no NMSE on 1 ")
        assert str(from_bytes(to_bytes(model)).report) == str(report)
    tiles = maddjit.fit_strassen_tile(B, 48, A_train=A[:1], max_iterations=0)
    assert tiles.report is not None
    assert np.isnan(tiles.report.error)
