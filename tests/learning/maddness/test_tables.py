"""8-bit tables: range, step, scale, byte sums, and the correction of averages."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit import reference
from maddjit.learning.maddness.options import TableScale
from maddjit.learning.maddness.tables import quantise
from maddjit.models.maddness import average_group

SCALES: tuple[TableScale, ...] = ("per-output", "global", "power-of-two")
FLOAT32 = 2.0**-24
"""Relative rounding of a float32."""


def real_tables(
    n_codebooks: int, n_prototypes: int, n_outputs: int, magnitude: float, seed: int
) -> NDArray[np.float64]:
    """Return tables some of whose codebooks, and some of whose outputs, hold one value only."""
    rng = np.random.default_rng(seed)
    tables = magnitude * rng.standard_normal((n_codebooks, n_prototypes, n_outputs))
    tables *= np.power(10.0, rng.integers(-3, 3, n_outputs))
    same = rng.random((n_codebooks, 1, n_outputs)) < 0.1
    same |= rng.random(n_outputs) < 0.1
    return np.where(same, tables[:, :1], tables)


def spans(tables: NDArray[np.float64]) -> NDArray[np.float64]:
    found: NDArray[np.float64] = tables.max(axis=1) - tables.min(axis=1)
    return found


def group_maxima(entries: NDArray[np.uint8], byte_group: int) -> list[NDArray[np.int64]]:
    """The largest sum of each group of neighbouring codebooks, for each output."""
    largest = entries.max(axis=1).astype(np.int64)
    return [largest[at : at + byte_group].sum(axis=0) for at in range(0, len(entries), byte_group)]


@st.composite
def tables_and_group(draw: st.DrawFn) -> tuple[NDArray[np.float64], int]:
    sizes = st.one_of(st.integers(1, 12), st.integers(1, 120), st.sampled_from([255, 256, 509]))
    n_codebooks = draw(sizes)
    tables = real_tables(
        n_codebooks,
        draw(st.sampled_from([2, 4, 16])),
        draw(st.integers(1, 4)),
        float(10.0 ** draw(st.integers(-12, 12))),
        draw(st.integers(0, 2**32 - 1)),
    )
    if draw(st.booleans()):  # equal spans: every codebook of a group fills its share
        tables /= np.where(spans(tables) > 0, spans(tables), 1)[:, np.newaxis]
    group = draw(st.one_of(st.sampled_from([1, n_codebooks]), st.integers(1, n_codebooks)))
    return tables, group


@settings(max_examples=200)
@given(given_tables=tables_and_group(), scale=st.sampled_from(SCALES))
def test_entries_fit_and_are_within_half_a_step(
    given_tables: tuple[NDArray[np.float64], int], scale: TableScale
) -> None:
    """An entry e is the nearest integer to (table − low)/s, so |s·e − (table − low)| ≤ s/2, unless
    clipped; but span/s is at most 255·(1 + 2⁻²⁴) when s is rounded down to float32: no half more.
    """
    tables, byte_group = given_tables
    base = np.random.default_rng(0).standard_normal((tables.shape[2],))
    entries, step, offset = quantise(
        tables, base, scale=scale, accumulate="exact", byte_group=byte_group
    )
    assert entries.dtype == np.uint8
    assert entries.shape == tables.shape
    assert step.dtype == offset.dtype == np.float32
    assert (entries.min(axis=1) == 0).all()
    assert (step > 0).all()
    for largest in group_maxima(entries, byte_group):
        assert largest.max() <= 255

    low = tables.min(axis=1, keepdims=True)
    wide = step.astype(np.float64)
    off = np.abs(wide * entries - (tables - low))
    assert (off <= wide / 2 * (1 + 1e-12)).all()
    expected = base + low.sum(axis=(0, 1))
    rounding = FLOAT32 * np.abs(expected) + 1e-12 * np.abs(low).sum(axis=(0, 1))
    assert (np.abs(offset - expected) <= rounding + 1e-15).all()


@settings(max_examples=200)
@given(given_tables=tables_and_group(), scale=st.sampled_from(SCALES))
def test_the_step_is_as_small_as_lets_the_entries_fit(
    given_tables: tuple[NDArray[np.float64], int], scale: TableScale
) -> None:
    """A group of g > 1 may be rounded up by g/2, so its spans may fill 255 − g/2 steps."""
    tables, byte_group = given_tables
    step = quantise(
        tables,
        np.zeros(tables.shape[2]),
        scale=scale,
        accumulate="exact",
        byte_group=byte_group,
    )[1].astype(np.float64)
    groups = range(0, len(tables), byte_group)
    needed = np.max([spans(tables)[at : at + byte_group].sum(axis=0) for at in groups], axis=0)
    needed /= 255 - (byte_group / 2 if byte_group > 1 else 0)
    if scale != "per-output":
        assert len(np.unique(step)) == 1
        needed = np.full_like(needed, needed.max())
    varies = needed > 0
    if scale == "power-of-two":
        assert (np.log2(step) % 1 == 0).all()
        needed *= 2
    assert (step[varies] <= needed[varies] * (1 + 4 * FLOAT32)).all()


@pytest.mark.parametrize("scale", SCALES)
def test_all_eight_bits_are_spent_on_each_entry(scale: TableScale) -> None:
    tables = real_tables(8, 16, 5, 1.0, seed=1)
    entries = quantise(tables, np.zeros(5), scale=scale, accumulate="exact")[0]
    if scale == "per-output":
        varies = spans(tables).max(axis=0) > 0
        assert (entries[:, :, varies].max(axis=(0, 1)) == 255).all()
    elif scale == "global":
        assert entries.max() == 255
    else:  # the step is less than twice what is needed
        assert entries.max() >= 127


def test_a_power_of_two_is_kept() -> None:
    tables = np.zeros((1, 2, 1))
    tables[0, 1] = 255 / 1024
    entries, step, _ = quantise(tables, np.zeros(1), scale="power-of-two", accumulate="exact")
    assert step == 2.0**-10
    assert entries.ravel().tolist() == [0, 255]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("accumulate", ["exact", "average"])
def test_tables_that_do_not_vary_are_all_offset(scale: TableScale, accumulate: str) -> None:
    tables = np.full((3, 4, 2), 0.25)
    entries, step, offset = quantise(
        tables,
        np.array([1.0, 2.0]),
        scale=scale,
        accumulate="exact" if accumulate == "exact" else "average",
        codes=np.zeros((2, 3), np.uint8),
    )
    assert (entries == 0).all()
    assert np.isfinite(step).all()
    assert offset.tolist() == [1.75, 2.75]


@pytest.mark.parametrize("magnitude", [1e-50, 1e-44, 1e-42])
@pytest.mark.parametrize("scale", SCALES)
def test_tables_too_small_for_float32_steps(magnitude: float, scale: TableScale) -> None:
    """The result may well be nothing but the offset, but it is a result, and no warning."""
    tables = magnitude * np.random.default_rng(2).random((4, 16, 3))
    entries, step, offset = quantise(tables, np.ones(3), scale=scale, accumulate="exact")
    assert np.isfinite(step).all()
    assert (step * entries.max(axis=(0, 1)) <= np.finfo(np.float32).tiny).all()
    np.testing.assert_array_equal(offset, np.float32(1))


def test_many_codebooks_add_up_in_a_byte() -> None:
    """Rounding 512 entries may add 256, so most codebooks have to say nothing."""
    tables = np.random.default_rng(3).random((512, 2, 2))
    entries, step, _ = quantise(
        tables, np.zeros(2), scale="per-output", accumulate="exact", byte_group=512
    )
    assert (step > 0).all()
    assert group_maxima(entries, 512)[0].max() <= 255


def averaging_tables(kind: str, n_codebooks: int, rng: np.random.Generator) -> NDArray[np.float64]:
    tables = rng.random((n_codebooks, 16, 40))
    if kind == "zero":
        tables[:, :, ::2] = 0
    elif kind == "nearly constant":
        tables[:, 1:, ::2] = tables[:, :1, ::2]
    elif kind == "few distinct":
        tables[:, :, ::2] = np.rint(tables[:, :, ::2])
    elif kind == "tiny scales":
        tables *= 10.0 ** rng.integers(-30, 3, 40)
    return tables


KINDS = ("varying", "zero", "nearly constant", "few distinct", "tiny scales")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("n_codebooks", [1, 2, 6, 16, 48])
def test_averages_have_no_bias(n_codebooks: int, scale: TableScale, kind: str) -> None:
    """Of the rows that tables were corrected by there is none, of others as little as promised.

    Float32 rounds a result three times, by 2⁻²⁴ of some number that is no larger than the sum of
    the moduli of offset and scaled sum. What quantise promises for other rows fails for one of 40
    outputs with a chance of at most 40 · 10⁻⁶.
    """
    rng = np.random.default_rng(n_codebooks)
    tables, base = averaging_tables(kind, n_codebooks, rng), rng.standard_normal(40)
    shares = rng.dirichlet(np.ones(16), n_codebooks)  # some codes are rare
    own, other = (
        np.stack([rng.choice(16, n, p=share) for share in shares], axis=1).astype(np.uint8)
        for n in (700, 3000)
    )
    entries, step, offset = quantise(tables, base, scale=scale, accumulate="average", codes=own)
    group = average_group(n_codebooks)
    reach = n_codebooks / group * (1 + np.log2(group) / 2)
    drawn = reach * np.sqrt(np.log(2e6) / 2 * (1 / len(own) + 1 / len(other)))
    for codes, bound in ((own, 0.0), (other, drawn)):
        sums = reference.added_up(entries, codes, "average").astype(np.float32)
        real = base + sum(tables[c, codes[:, c]] for c in range(n_codebooks))
        errors = (sums * step + offset - real).mean(axis=0)
        rounded = 3 * FLOAT32 * (np.abs(offset) + step * sums.max(axis=0))
        assert (np.abs(errors) <= bound * step.astype(np.float64) + rounded).all()


@pytest.mark.parametrize("n_codebooks", [2, 16, 48])
def test_the_correction_is_the_papers_where_tables_vary(n_codebooks: int) -> None:
    """C/4 · log2 U steps, but for what 4000 rows draw (Hoeffding) and entries are rounded by.

    Least entries are 0 by construction, so of K = 16 a sum a + b is odd with probability ½ − 2/32²:
    1/1024 step less a codebook at most. The mean rounding of a codebook's entries is uniform in
    ±½ step at most over √16 entries; over 200 outputs their mean is beyond 6 standard deviations
    never or always, for the seed is fixed.
    """
    rng = np.random.default_rng(0)
    tables = rng.random((n_codebooks, 16, 200))
    codes = rng.integers(0, 16, (4000, n_codebooks)).astype(np.uint8)
    base, group = np.zeros(200), average_group(n_codebooks)
    _, step, offset = quantise(tables, base, scale="per-output", accumulate="average", codes=codes)
    _, _, exact = quantise(tables, base, scale="per-output", accumulate="exact")
    taken = ((exact - offset) / (step / group)).mean(dtype=np.float64)
    reach = n_codebooks * (1 + np.log2(group) / 2)
    drawn = reach * np.sqrt(np.log(2e6) / 2 / len(codes))
    entries = 6 * np.sqrt(n_codebooks / 12 / 16 / 200)
    expected = n_codebooks / 4 * np.log2(group)
    assert abs(taken - expected) <= drawn + entries + n_codebooks / 1024
    assert expected > 3 * drawn or n_codebooks == 2


@pytest.mark.parametrize("n_codebooks", [1, 2, 3, 6, 16, 32])
def test_averages_differ_from_exact_sums_by_group_size_and_offset_only(n_codebooks: int) -> None:
    tables, base = real_tables(n_codebooks, 4, 7, 1.0, seed=5), np.arange(7.0)
    exact = quantise(tables, base, scale="per-output", accumulate="exact")
    codes = np.zeros((1, n_codebooks), np.uint8)
    average = quantise(tables, base, scale="per-output", accumulate="average", codes=codes)
    np.testing.assert_array_equal(average[0], exact[0])
    np.testing.assert_array_equal(average[1], exact[1] * average_group(n_codebooks))
