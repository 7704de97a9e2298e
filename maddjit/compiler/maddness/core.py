"""The part of a plan for the exact core: rows are projected, and projections join the outputs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.projecting import ProjectPlan, StripPlan, plan_project
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.models.core import CORE_LANES, LowRankCore


@dataclass(frozen=True)
class Terms:
    """A loop of `count` turns that adds the products with the projections called `numbers`.

    `p_step` and `V_step` are the bytes from one repetition to the next.
    """

    numbers: tuple[int, ...]
    count: int
    p_step: int
    V_step: int

    @property
    def last(self) -> int:
        """The projection that is added last."""
        return self.numbers[-1]


@dataclass(frozen=True)
class ExpandPlan:
    """How projections join the outputs: y + p · V, one projection after the other.

    With a `width`, a vector holds outputs, and V is stored projection by projection, filled up to
    that many outputs. Without one, a vector holds rows, and V is stored output by output. `V_step`
    is the bytes from one projection to the next.
    """

    rank: int
    width: int | None
    V_step: int
    terms: tuple[Terms, ...]

    @property
    def output_step(self) -> int:
        """Bytes from the V of one output to that of the next, where vectors hold rows."""
        return 4 * self.rank


@dataclass(frozen=True)
class CorePlan:
    """How the exact core a · U · V is added; `strips` are only for contiguous columns of A."""

    rank: int
    project: ProjectPlan
    strips: StripPlan | None
    expand: ExpandPlan

    def regions(self) -> dict[str, int]:
        """Return the size in bytes of each region of the workspace that the core needs."""
        lanes = self.strips.n_bytes if self.strips else 0
        return {"projections": self.project.n_bytes, "core_lanes": lanes}


def plan_core(
    core: LowRankCore,
    target: Target,
    signature: Signature,
    row_block: int,
    width: int | None,
) -> CorePlan:
    """Return how the core of a model is added.

    Parameters
    ----------
    row_block : int
        Rows of a block.
    width : int or None
        The outputs of a scan by rows, including those that fill up its last plane; None for a
        scan by columns.
    """
    rank, order = core.rank, signature.order
    n_sums = target.n_registers * target.vector_bytes // (8 * CORE_LANES)  # half of the registers
    if order == "F":
        n_sums = target.n_registers // 2
    n_chunks = -(-rank // min(settings.MOST_CHUNK[order], n_sums))
    chunk = -(-rank // n_chunks)
    shared = max(n for n in (1, 2, settings.SHARED_ROWS) if n == 1 or n * chunk <= n_sums)
    vector = target.lanes if order == "F" else CORE_LANES
    project = plan_project(core, chunk, shared, vector, signature, row_block)
    return CorePlan(
        rank=rank,
        project=project,
        strips=StripPlan(chunk, settings.STRIP_ROWS, shared) if order == "F" else None,
        expand=plan_expand(rank, project.step, width),
    )


def plan_expand(rank: int, p_step: int, width: int | None) -> ExpandPlan:
    """Return how `rank` projections, `p_step` bytes apart, are added to the outputs.

    A loop over straight-line code takes as many as it can, and straight-line code behind it takes
    the rest.
    """
    unroll, V_step = settings.CORE_UNROLLED, 4 * (1 if width is None else width)
    whole = rank // unroll * unroll
    parts = (range(min(whole, unroll)), whole // unroll), (range(whole, rank), 1)
    terms = tuple(
        Terms(tuple(numbers), count, unroll * p_step, unroll * V_step)
        for numbers, count in parts
        if numbers
    )
    return ExpandPlan(rank, width, V_step, terms)


def core_constants(core: LowRankCore, plan: CorePlan) -> dict[str, bytes]:
    """Return U and V as kernels read them, as float32.

    U is stored chunk by chunk, within a chunk by groups of 16 columns, and within a group
    projection by projection. `ExpandPlan` says how V is stored.
    """
    n_features, n_outputs = len(core.projection), core.expansion.shape[1]
    project, width = plan.project, plan.expand.width
    n_padded = -(-n_features // CORE_LANES) * CORE_LANES
    U = np.zeros((n_padded, project.n_chunks * project.chunk), "<f4")
    U[:n_features, : core.rank] = core.projection
    groups = U.reshape(-1, CORE_LANES, project.n_chunks, project.chunk)
    V = core.expansion.T.astype("<f4")
    if width is not None:
        V = np.zeros((core.rank, width), "<f4")
        V[:, :n_outputs] = core.expansion
    return {"projection": groups.transpose(2, 0, 3, 1).tobytes(), "expansion": V.tobytes()}
