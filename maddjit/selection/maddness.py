"""The MADDNESS operators that `select` weighs: what is fitted, wholly or in haste."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.fit import fit
from maddjit.learning.winners.calibration import calibrate
from maddjit.models.core import MAX_RANK, LowRankCore
from maddjit.models.encoders import HashTrees, tree_depth
from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import ModelFileError, load, save
from maddjit.pipeline import compile
from maddjit.selection import settings
from maddjit.selection.blas import one_thread
from maddjit.selection.candidates import Candidate
from maddjit.selection.field import Field
from maddjit.selection.inputs import Inputs
from maddjit.selection.losses import Way

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sizes:
    """The sizes of a MADDNESS model: C, K and the rank of its core."""

    n_codebooks: int
    n_prototypes: int
    core_rank: int

    def check(self) -> None:
        """Refuse sizes that `fit` refuses, whatever the rows are.

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


@dataclass
class MaddnessWays:
    """The MADDNESS models of given inputs, fitted, compiled and entered into the field.

    Attributes
    ----------
    field : Field
    inputs : Inputs
    savings : list of float
        The factors by which whole fits have lowered the loss of fits in haste.
    """

    field: Field
    inputs: Inputs
    savings: list[float] = dataclasses.field(default_factory=list)

    def enter(self, sizes: Sizes) -> Candidate:
        """Enter a model of these sizes, fitted in haste if a whole fit cannot make it the choice.

        A whole fit cannot if the model fitted in haste loses several times the budget, or if it is
        too slow. This is judged for "nmse" and "agreement" alone, because other metrics need not
        follow the error.
        """
        hasty = np.inf
        if self.field.loss.metric in ("nmse", "agreement"):
            model = fitted_model(self.inputs, sizes, in_haste=True)
            operator = compiled(self.inputs, model)
            hasty = self.field.loss(operator)
            savings = settings.LEEWAY * max(self.savings, default=np.inf)
            far = min(settings.FAR_OUTSIDE, savings)
            if hasty > far * self.field.budget or self.field.cannot_win(operator):
                return self.field.enter(f"{sizes} in haste", operator, model)
        model = fitted_model(self.inputs, sizes)
        candidate = self.field.enter(str(sizes), compiled(self.inputs, model), model)
        if candidate.loss > 0 and np.isfinite(hasty):
            self.savings.append(max(1.0, hasty / candidate.loss))
        return candidate

    def quickest(self, sizes: Sizes) -> Way:
        """Return an operator that is as fast as one of these sizes can be; it learned nothing."""
        model = quickest_model(sizes, *self.inputs.B.shape)
        return compile(model, threads=self.inputs.threads)


def fitted_model(inputs: Inputs, sizes: Sizes, in_haste: bool = False) -> MaddnessModel:
    """Return a fitted model, or the one that an earlier search has kept in the folder.

    In haste nothing is chosen and no tree is refitted, which takes about a fifth of the time.
    """
    path = inputs.folder and inputs.folder / f"{_key(inputs, sizes, in_haste)}.npz"
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
            inputs.rows,
            inputs.B,
            sizes.n_codebooks,
            sizes.n_prototypes,
            core_rank=sizes.core_rank,
            bias=inputs.bias,
            random_state=inputs.random_state,
            on_interrupt="raise",
            objective="argmax" if inputs.winners and inputs.winners.tuned else "product",
            progress=_choose_nothing if in_haste else False,
        )
    if path:
        save(model, path)
    return model


def compiled(inputs: Inputs, model: MaddnessModel) -> Way:
    """Return the compiled model, calibrated first if winners are asked for.

    Raises
    ------
    CoverageError
        If there are too few rows to calibrate on.
    """
    asked = inputs.winners
    if asked is None:
        return compile(model, threads=inputs.threads)
    model = calibrate(model, asked.rows, inputs.B, bias=inputs.bias, k=asked.k)
    return compile(model, result="topk", k=asked.k, coverage=asked.coverage, threads=inputs.threads)


def _key(inputs: Inputs, sizes: Sizes, in_haste: bool) -> str:
    """Return the name of the file that keeps a model of these inputs and sizes."""
    tuned = " tuned" if inputs.winners and inputs.winners.tuned else ""
    tuned += " in haste" * in_haste
    told = f"{settings.LEARNER} {sizes}{tuned} {inputs.random_state}"
    digest = hashlib.sha256(told.encode())
    for array in (inputs.rows, inputs.B, inputs.bias):
        digest.update(f"{array.shape} {array.dtype.str}".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _choose_nothing(done: int, total: int) -> bool:
    """Tell a fit, as its callback, that nothing more is to be chosen."""
    return False


def series_of(
    field: Field,
    shape: tuple[int, int],
    n_codebooks: Sequence[int],
    n_prototypes: Sequence[int],
    core_ranks: Sequence[int],
) -> dict[str, list[Sizes]]:
    """Return the sizes to try, as one series for each K and each rank of the core.

    Sizes that do not fit D and M are left out.

    Raises
    ------
    ValueError, TypeError
        If a size is impossible for any D and M.
    """
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
    """Return a model of these sizes that learned nothing; no model that learned is faster.

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
    thresholds = rng.standard_normal((n_codebooks, n_leaves - 1)).astype(np.float32)
    return MaddnessModel(
        HashTrees(np.stack(split_dims).astype(np.int32), thresholds, n_features),
        tables=rng.integers(0, 2, (n_codebooks, n_leaves, n_outputs)).astype(np.uint8),
        scale=np.ones(n_outputs, np.float32),
        offset=np.zeros(n_outputs, np.float32),
        core=core,
    )
