"""The MADDNESS operators that `select` weighs: which are fitted at all, and which in haste only."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maddjit.models.maddness import LowRankCore, MaddnessModel, tree_depth
from maddjit.pipeline import compile
from maddjit.selection.candidates import Candidate, Field, Sizes, Workshop
from maddjit.selection.losses import Operator

_FAR_OUTSIDE, _LEEWAY = 3.0, 1.5
"""What a fit in haste loses beyond so many budgets, a whole one is not expected to make up for.

Once whole fits have shown what they save on these rows, it is the most of that, with leeway.
"""


@dataclass
class MaddnessWays:
    """Fits and compiles models of given sizes, and enters them into the field."""

    field: Field
    workshop: Workshop
    savings: list[float] = dataclasses.field(default_factory=list)

    def enter(self, sizes: Sizes) -> Candidate:
        """Enter a model: one that was fitted in haste, if a whole fit cannot make it the choice.

        That is so if it loses several times the budget, or if it is too slow. Only "nmse" and
        "agreement" are judged so: other metrics need not follow the error.
        """
        hasty = np.inf
        if self.field.loss.metric in ("nmse", "agreement"):
            model = self.workshop.model(sizes, in_haste=True)
            operator = self.workshop.operator(model)
            hasty = self.field.loss(operator)
            far = min(_FAR_OUTSIDE, _LEEWAY * max(self.savings, default=np.inf))
            if hasty > far * self.field.budget or self.field.cannot_win(operator):
                return self.field.enter(f"{sizes} in haste", operator, model)
        model = self.workshop.model(sizes)
        candidate = self.field.enter(str(sizes), self.workshop.operator(model), model)
        if candidate.loss > 0 and np.isfinite(hasty):
            self.savings.append(max(1.0, hasty / candidate.loss))
        return candidate

    def quickest(self, sizes: Sizes) -> Operator:
        """Compile a model that is as fast as one of these sizes can be."""
        model = quickest_model(sizes, *self.workshop.B.shape)
        return compile(model, threads=self.workshop.threads)


def series_of(
    field: Field,
    shape: tuple[int, int],
    n_codebooks: Sequence[int],
    n_prototypes: Sequence[int],
    core_ranks: Sequence[int],
) -> dict[str, list[Sizes]]:
    """Return the sizes to try, by what they have in common; impossible ones are an error."""
    n_features, smaller = shape[0], min(shape)
    series = {}
    for n_leaves in sorted(n_prototypes):
        for rank in sorted(core_ranks):
            sizes = [Sizes(c, n_leaves, rank) for c in sorted(n_codebooks)]
            for each in sizes:
                each.check()
            if rank < max(smaller, 1):
                name = f"MADDNESS K={n_leaves}" + (f" core={rank}" if rank else "")
                series[name] = [each for each in sizes if each.n_codebooks <= n_features]
            else:
                field.left_out[f"core={rank}"] = f"the product has rank {smaller}"
    if too_many := [c for c in sorted(n_codebooks) if c > n_features]:
        field.left_out[f"C={too_many}"] = f"there are {n_features} columns"
    return series


def quickest_model(sizes: Sizes, n_features: int, n_outputs: int) -> MaddnessModel:
    """Return a model of these sizes that nothing was learned for: no learned one is faster.

    All entries of an output add up in a byte. Its answers mean nothing.
    """
    rng = np.random.default_rng(0)
    n_codebooks, n_leaves = sizes.n_codebooks, sizes.n_prototypes
    blocks = np.array_split(np.arange(n_features), n_codebooks)
    split_dims = [rng.choice(block, tree_depth(n_leaves)) for block in blocks]
    core = None
    if rank := sizes.core_rank:
        core = LowRankCore(
            np.ones((n_features, rank), np.float32), np.ones((rank, n_outputs), np.float32)
        )
    return MaddnessModel(
        split_dims=np.stack(split_dims).astype(np.int32),
        thresholds=rng.standard_normal((n_codebooks, n_leaves - 1)).astype(np.float32),
        tables=rng.integers(0, 2, (n_codebooks, n_leaves, n_outputs)).astype(np.uint8),
        scale=np.ones(n_outputs, np.float32),
        offset=np.zeros(n_outputs, np.float32),
        n_features=n_features,
        core=core,
    )
