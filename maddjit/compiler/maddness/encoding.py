"""The part of a plan that encodes: how rows become codes, and where the codes lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.batches import Batch, batch_thresholds, codebook_batches
from maddjit.compiler.maddness.tree_levels import TreeLevel, row_level
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import odd_lines
from maddjit.models.maddness import MaddnessModel


@dataclass(frozen=True)
class Codes:
    """Where the codes of a block of rows lie in the workspace, one byte each.

    The code of row r and codebook c is `row_step` · r + `codebook_step` · c bytes behind the first.
    Codes are stored as multiples of `unit`, which spares a scan to multiply them.
    """

    row_step: int
    codebook_step: int
    n_bytes: int
    unit: int = 1


@dataclass(frozen=True)
class Trees:
    """How trees are read where a vector holds rows of one codebook.

    `split_stride` and `threshold_stride` are the bytes from the split columns and thresholds of one
    tree to those of the next.
    """

    levels: tuple[TreeLevel, ...]
    split_stride: int
    threshold_stride: int


@dataclass(frozen=True)
class EncodePlan:
    """How rows become codes.

    A vector holds either codebooks of one row, which are cut into `batches`, or rows of one
    codebook, which go down a tree of `trees`.
    """

    depth: int
    codes: Codes
    batches: tuple[Batch, ...]
    trees: Trees | None

    @property
    def code_bits(self) -> tuple[int, ...]:
        """The number that each level's decision adds to a code, as a signed i8."""
        bits = [self.codes.unit << bit for bit in reversed(range(self.depth))]
        return tuple(-128 if bit == 128 else bit for bit in bits)


def plan_encode(
    model: MaddnessModel,
    target: Target,
    signature: Signature,
    row_block: int,
    lines: bool | None = None,
) -> EncodePlan:
    """Return how the rows of a block are encoded.

    Rows whose columns are contiguous are read one at a time, unless they have very many split
    columns. Results by columns need the codes codebook by codebook, and therefore vectors of rows.

    Parameters
    ----------
    row_block : int
        Rows of a block.
    lines : bool, optional
        Whether to read whole lines where that is possible; by default where it is faster.
    """
    few = model.split_dims.size <= settings.MOST_ELEMENTS
    if signature.order == "C" and signature.out_order == "C" and few:
        itemsize = INPUTS[signature.dtype].itemsize
        batches = codebook_batches(model, target, itemsize, lines)
        row_step = batches[-1].first + batches[-1].lanes
        unit = 1 if signature.result == "codes" else code_unit(model.n_prototypes, target)
        codes = Codes(row_step, 1, row_block * row_step, unit)
        return EncodePlan(model.depth, codes, batches, None)
    step = odd_lines(row_block)
    levels = tuple(row_level(target, depth) for depth in range(model.depth))
    trees = Trees(levels, 8 * model.depth, 4 * model.n_prototypes)
    return EncodePlan(model.depth, Codes(1, step, step * model.n_codebooks), (), trees)


def code_unit(n_prototypes: int, target: Target) -> int:
    """Return the unit of codes that a scan by rows reads: a byte holds the largest multiple.

    Addresses multiply an index by a small factor at no cost. What is left of the length of a table
    row is multiplied when the code is made.
    """
    if not target.index_scale:
        return 1
    return max(1, min(target.vector_bytes // target.index_scale, 256 // n_prototypes))


def encode_constants(model: MaddnessModel, encode: EncodePlan) -> dict[str, bytes]:
    """Return the thresholds as `encode` reads them, and the split columns if it reads them."""
    if encode.batches:
        return {"thresholds": batch_thresholds(model, encode.batches)}
    return {
        "split_columns": model.split_dims.astype("<i8").tobytes(),
        "thresholds": tree_thresholds(model).tobytes(),
    }


def tree_thresholds(model: MaddnessModel) -> NDArray[np.float32]:
    """Return (C, K) float32: level t of a tree from 2^t on, so that every level is aligned."""
    records = np.zeros((model.n_codebooks, model.n_prototypes), dtype="<f4")
    records[:, 1:] = model.thresholds
    return records
