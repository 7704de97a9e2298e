"""How rows become codes: which vectors are compared, and where their thresholds come from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import Format
from maddjit.compiler.maddness.encode_records import Batch, Level, NodeLevel, exact_stores
from maddjit.compiler.maddness.reading import can_read_lines, element_steps, fewer, line_steps
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel

_MAX_PERMUTES = 8
"""Permutes that are together faster than a gather."""
_MAX_SPLATS = 8
"""Thresholds of a level that are kept in a register each where masks select among them."""
_MAX_SELECTED = 32
"""Nodes of a level whose thresholds are selected by the bits above; more are gathered."""
_LEAST_LANES = 4
"""Lanes of the narrowest vector."""


def row_levels(target: Target, depth: int) -> tuple[Level, ...]:
    """Return the cheapest threshold look-ups that the target has where a vector is rows."""
    return tuple(_row_level(target, level) for level in range(depth))


def _row_level(target: Target, level: int) -> Level:
    entries, lanes = 2**level, target.lanes
    place = (entries, 4 * entries, 8 * level)
    if entries == 1:
        return Level("splat", *place)
    if entries == 2 or (target.has_masks and entries <= _MAX_SPLATS):
        return Level("select", *place, folds=_path_folds(level))
    intrinsic = target.permute(min(entries, lanes))
    pair = target.permute(entries) if entries == 2 * lanes else ""
    if pair:
        return Level("permute2", *place, intrinsic=pair)
    if intrinsic and entries <= _MAX_PERMUTES * lanes:
        size = min(entries, lanes)
        spread = tuple(lane % size for lane in range(lanes))
        registers = tuple(range(0, 4 * entries, 4 * size))
        return Level("permute", *place, spread, intrinsic, registers, _folds(registers, lanes))
    gather = f"llvm.masked.gather.v{lanes}f32.v{lanes}p0"
    return Level("gather", *place, intrinsic=gather)


def _folds(registers: tuple[int, ...], bit: int) -> tuple[tuple[int, int, int, int], ...]:
    """Pair the values of several permutes by the bits of the node above the lane's own."""
    folds: list[tuple[int, int, int, int]] = []
    values = list(range(len(registers)))
    while len(values) > 1:
        first = len(registers) + len(folds)
        pairs = list(zip(values[0::2], values[1::2], strict=True))
        folds += [(first + i, *pair, bit) for i, pair in enumerate(pairs)]
        values = list(range(first, first + len(pairs)))
        bit *= 2
    return tuple(folds)


def row_thresholds(model: MaddnessModel) -> NDArray[np.float32]:
    """Return (C, K): level t of a tree at 2ᵗ … 2ᵗ⁺¹ − 1, so that every level is aligned."""
    records = np.zeros((model.n_codebooks, model.n_prototypes), dtype="<f4")
    records[:, 1:] = model.thresholds
    return records


def codebook_batches(
    model: MaddnessModel, target: Target, form: Format, lines: bool | None
) -> tuple[Batch, ...]:
    """Cut the codebooks into vectors, for reading one row at a time in the order of its addresses.

    Hardware fetches ahead only for reads that ascend (docs/decisions/0003-kernels.md).
    """
    lanes = target.lanes
    batches = []
    threshold_offset = 0
    for first in range(0, model.n_codebooks, lanes):
        splits = model.split_dims[first : first + lanes]
        width = max(_LEAST_LANES, 1 << (len(splits) - 1).bit_length())
        steps, vectors = element_steps(splits, form.itemsize)
        if can_read_lines(model.n_features, target, form) and width == lanes and lines is not False:
            by_lines = line_steps(splits, model.n_features, lanes, form.itemsize)
            if lines or fewer(by_lines[0], steps, form.itemsize):
                steps, vectors = by_lines
        levels = tuple(_node_level(t, width, threshold_offset) for t in range(model.depth))
        stores = exact_stores(len(splits), 1)
        batches.append(Batch(first, width, len(splits), steps, vectors, levels, stores))
        threshold_offset += 4 * width * model.n_prototypes
    return tuple(batches)


def _node_level(level: int, width: int, offset: int) -> NodeLevel:
    """Place the thresholds of a level: a vector of codebooks for each of its nodes, or gathered."""
    nodes = 2**level
    if nodes > _MAX_SELECTED:
        intrinsic = f"llvm.masked.gather.v{width}f32.v{width}p0"
        return NodeLevel((), (), intrinsic, offset + 4 * width * nodes)
    places = tuple(offset + 4 * width * (nodes + node) for node in range(nodes))
    return NodeLevel(places, _path_folds(level))


def _path_folds(level: int) -> tuple[tuple[int, int, int, int], ...]:
    """Halve the values of all nodes of a level by the decisions before it, the first one first."""
    folds: list[tuple[int, int, int, int]] = []
    values = list(range(2**level))
    for decision in range(level):
        first, half = 2**level + len(folds), len(values) // 2
        folds += [(first + i, values[i], values[i + half], decision) for i in range(half)]
        values = list(range(first, first + half))
    return tuple(folds)


def batch_thresholds(model: MaddnessModel, batches: tuple[Batch, ...]) -> bytes:
    """Return, batch after batch, node after node (0 unused), the thresholds of its codebooks."""
    pieces = []
    for batch in batches:
        nodes = np.zeros((model.n_prototypes, batch.lanes), "<f4")
        own = slice(batch.first, batch.first + batch.n_codebooks)
        nodes[1:, : batch.n_codebooks] = model.thresholds[own].T
        pieces.append(nodes.tobytes())
    return b"".join(pieces)
