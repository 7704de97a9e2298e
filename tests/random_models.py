"""Random models and rows that sit on, beside and far from their thresholds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from maddjit.models.core import LowRankCore
from maddjit.models.encoders import AdditiveCodes, HashTrees, Projection
from maddjit.models.maddness import Accumulate, MaddnessModel
from maddjit.models.short_list import ShortList

SPECIAL = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45, 1.2e-38, 3.4e38)


def random_model(
    seed: int,
    *,
    n_features: int,
    n_codebooks: int,
    n_prototypes: int,
    n_outputs: int,
    accumulate: Accumulate = "exact",
    largest: int = 255,
) -> MaddnessModel:
    """Return a model of random arrays; entries of the tables are at most `largest`."""
    rng = np.random.default_rng(seed)
    depth = n_prototypes.bit_length() - 1
    thresholds = rng.standard_normal((n_codebooks, n_prototypes - 1)).astype(np.float32)
    special = rng.choice([np.inf, -np.inf, 0.0, -0.0, 1e-45, -1e-45], thresholds.shape)
    thresholds = np.where(rng.random(thresholds.shape) < 0.1, special, thresholds)
    return MaddnessModel(
        HashTrees(rng.integers(0, n_features, (n_codebooks, depth)), thresholds, n_features),
        tables=rng.integers(0, largest + 1, (n_codebooks, n_prototypes, n_outputs)),
        scale=rng.standard_normal(n_outputs).astype(np.float32),
        offset=rng.standard_normal(n_outputs).astype(np.float32),
        accumulate=accumulate,
    )


def with_trees(model: MaddnessModel, **changes: Any) -> MaddnessModel:
    """Return the model with other split columns, thresholds or columns of A."""
    return replace(model, encoder=replace(model.trees, **changes))


def random_codes(
    seed: int, *, n_features: int, n_codebooks: int, n_prototypes: int, rank: int | None = None
) -> AdditiveCodes:
    """Return additive codes of random arrays, for rows that are drawn as `rows_near` draws them.

    Scores are as large as what is added to them; with many codes some scores are equal.
    """
    rng = np.random.default_rng(seed)
    projection, directions = None, n_features
    if rank is not None:
        directions = rank
        matrix = rng.integers(-64, 65, (n_features, rank))
        reach = 64 * 30 * np.sqrt(n_features)
        shifts = np.full(rank, max(0, int(np.log2(reach / 64))))
        added = rng.integers(100, 156, rank) << shifts
        added = added - 128 * matrix.sum(axis=0)
        projection = Projection(matrix, added, shifts)
    prototypes = rng.integers(-64, 65, (n_codebooks, n_prototypes, directions))
    most = int(64 * 64 * np.sqrt(directions)) + 1
    shifts = max(0, int(np.log2(most / 4096))) + rng.integers(0, 3, n_codebooks)
    unit = (most >> shifts)[:, np.newaxis]
    gram = rng.integers(-unit, unit, (n_codebooks, n_prototypes, n_codebooks, n_prototypes))
    later = np.arange(n_codebooks)[:, np.newaxis] < np.arange(n_codebooks)
    return AdditiveCodes(
        rng.uniform(20, 40, n_features),
        rng.uniform(100, 156, n_features),
        projection,
        prototypes,
        (128 * prototypes.sum(axis=2)) + rng.integers(-most, most, (n_codebooks, n_prototypes)),
        shifts,
        gram * later[:, np.newaxis, :, np.newaxis],
    )


def random_additive(
    seed: int,
    *,
    n_features: int,
    n_codebooks: int,
    n_prototypes: int,
    n_outputs: int,
    rank: int | None = None,
    largest: int = 255,
) -> MaddnessModel:
    """Return a model of random additive codes and tables; entries are at most `largest`."""
    rng = np.random.default_rng(seed)
    sizes = {"n_features": n_features, "n_codebooks": n_codebooks, "n_prototypes": n_prototypes}
    return MaddnessModel(
        random_codes(seed, rank=rank, **sizes),
        tables=rng.integers(0, largest + 1, (n_codebooks, n_prototypes, n_outputs)),
        scale=rng.standard_normal(n_outputs).astype(np.float32),
        offset=rng.standard_normal(n_outputs).astype(np.float32),
    )


def byte_model(seed: int, dtype: str, n_prototypes: int, is_right: bool) -> MaddnessModel:
    """Return a model whose thresholds lie on, between and outside the bytes of a format.

    With `is_right`, every row goes right at some nodes: none of their bytes is below a threshold.
    """
    rng = np.random.default_rng(seed)
    model = random_model(
        seed, n_features=9, n_codebooks=21, n_prototypes=n_prototypes, n_outputs=7, largest=9
    )
    least = np.iinfo(dtype).min
    wholes = np.arange(least - 40.0, least + 300)
    known = np.concatenate([wholes, wholes + 0.5, [np.inf, -np.inf, -0.0, 1e-45, -1e-45]])
    if not is_right:
        known = known[np.ceil(known.astype(np.float32)) > least]
    thresholds = rng.choice(known, model.thresholds.shape).astype(np.float32)
    return with_trees(model, thresholds=thresholds)


def with_core(model: MaddnessModel, rank: int, seed: int = 0) -> MaddnessModel:
    """Return the model with a core of random numbers, some of them 0, tiny or large."""
    rng = np.random.default_rng(seed)

    def numbers(*shape: int) -> NDArray[np.float32]:
        some = rng.standard_normal(shape).astype(np.float32)
        special = rng.choice(np.array([0.0, -0.0, 1e-45, -1e-38, 1e10], np.float32), shape)
        return np.where(rng.random(shape) < 0.1, special, some)

    core = LowRankCore(numbers(model.n_features, rank), numbers(rank, model.n_outputs))
    return replace(model, core=core)


def rows_for(model: MaddnessModel, n_rows: int, dtype: str, seed: int) -> NDArray[Any]:
    """Return rows of which most values are thresholds, their neighbours, or special values."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((n_rows, model.n_features)).astype(dtype)
    exact = rng.choice(model.thresholds.ravel(), A.shape).astype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        above = np.nextafter(exact, np.array(np.inf, dtype))
        below = np.nextafter(exact, np.array(-np.inf, dtype))
    special = rng.choice(np.array(SPECIAL), A.shape).astype(dtype)
    kind = rng.integers(0, 6, A.shape)
    return np.select([kind == i for i in range(4)], [exact, above, below, special], A)


@st.composite
def cored_models(draw: st.DrawFn) -> MaddnessModel:
    """Draw models with a core, of ranks around those that are summed together."""
    rank = draw(st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 24, 33, 64])))
    return with_core(draw(models()), rank, draw(st.integers(0, 100)))


@st.composite
def models(draw: st.DrawFn, max_codebooks: int = 40) -> MaddnessModel:
    """Draw models of all K, with C and M around the widths of vectors and unrolled loops."""
    n_codebooks = draw(st.one_of(st.integers(1, 9), st.integers(1, max_codebooks)))
    return random_model(
        draw(st.integers(0, 2**32 - 1)),
        n_features=draw(st.integers(1, 40)),
        n_codebooks=n_codebooks,
        n_prototypes=draw(st.sampled_from([2, 4, 8, 16, 16, 32, 64, 128, 256])),
        n_outputs=draw(st.one_of(st.integers(1, 9), st.integers(10, 140))),
        accumulate=draw(st.sampled_from(["exact", "exact", "average"])),
        largest=draw(st.sampled_from([255, 255, 255 // n_codebooks, 60])),
    )


def with_short_list(
    model: MaddnessModel, k: int, margin: int, seed: int = 0, largest: int = 255
) -> MaddnessModel:
    """Return the model with scores of random entries and a B that has equal columns."""
    rng = np.random.default_rng(seed)
    twins = rng.integers(0, max(1, model.n_outputs // 2), model.n_outputs)
    bias = rng.integers(-1, 2, model.n_outputs)
    short = ShortList(
        k=k,
        tables=rng.integers(0, largest + 1, model.tables.shape),
        B=rng.standard_normal((model.n_features, model.n_outputs))[:, twins],
        bias=bias.astype(np.float32),
        n_rows=9,
        margins=[margin],
        covered=[9],
        lengths=[[2.0, 3.0, 4.0]],
    )
    return replace(model, core=None, accumulate="exact", short_list=short)


def with_margins(model: MaddnessModel, k: int, **options: Any) -> MaddnessModel:
    """Return one with margins from none to that of all outputs, for coverages of .2, .5, .7, .9."""
    model = with_short_list(model, k, 0, **options)
    assert model.short_list
    longest = np.array([2.0, 9.0, 300.0, 500.0])  # the last lists are longer than they have room
    short = replace(
        model.short_list,
        margins=np.array([0, 9, 60, 10**6]),
        covered=np.array([2, 5, 7, 9]),
        lengths=np.repeat(longest[:, np.newaxis], 3, axis=1),
    )
    return replace(model, short_list=short)
