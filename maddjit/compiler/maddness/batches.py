"""Batches: neighbouring codebooks that share a vector, so their codes are found together."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.reading import (
    Read,
    RowSteps,
    can_read_lines,
    element_steps,
    line_steps,
    lines_are_faster,
)
from maddjit.compiler.maddness.stores import Store, exact_stores
from maddjit.compiler.maddness.tree_levels import Folds, path_folds
from maddjit.compiler.target import Target
from maddjit.models.maddness import MaddnessModel

_LEAST_LANES = 4
"""Lanes of the narrowest vector."""


@dataclass(frozen=True)
class NodeLevel:
    """One level of the trees of a batch: where the thresholds of its nodes are.

    Each node has a vector with the thresholds of all codebooks. `places` are the offsets of these
    vectors. `folds` halve them, decision by decision, down to the thresholds of each
    codebook's own node. A level with very many nodes has no places. It gathers thresholds from
    `gather_offset` on by `intrinsic`.
    """

    places: tuple[int, ...]
    folds: Folds
    intrinsic: str = ""
    gather_offset: int = 0

    @property
    def fetched(self) -> int:
        """The value that holds the thresholds after all folds."""
        return self.folds[-1][0] if self.folds else 0


@dataclass(frozen=True)
class Batch:
    """Neighbouring codebooks whose codes of one row are found together, in one vector.

    `steps` read the row's elements into `vectors`, one for each level of the trees. `stores` hold
    the lanes that have a codebook.
    """

    first: int
    lanes: int
    n_codebooks: int
    steps: RowSteps
    vectors: tuple[str, ...]
    levels: tuple[NodeLevel, ...]
    stores: tuple[Store, ...]

    @property
    def reads(self) -> tuple[Read, ...]:
        """What is read from a row, in order."""
        return tuple(step for step in self.steps if isinstance(step, Read))

    @property
    def blank(self) -> str:
        """The content of lanes without a codebook: a defined number, because gathers may use it."""
        return "poison" if self.n_codebooks == self.lanes else "zeroinitializer"


def codebook_batches(
    model: MaddnessModel, target: Target, itemsize: int, lines: bool | None = None
) -> tuple[Batch, ...]:
    """Return the batches of a model whose rows are read in the order of their addresses.

    Hardware fetches ahead only for reads that ascend (docs/decisions/0003-kernels.md).

    Parameters
    ----------
    itemsize : int
        Bytes of an element of A.
    lines : bool, optional
        Whether to read whole lines where that is possible; by default where it is faster.
    """
    batches = []
    offset, lanes = 0, target.lanes
    for first in range(0, model.n_codebooks, lanes):
        splits = model.split_dims[first : first + lanes]
        width = max(_LEAST_LANES, 1 << (len(splits) - 1).bit_length())
        can = width == lanes and can_read_lines(model.n_features, target, itemsize)
        steps, vectors = _steps(splits, model.n_features, lanes, itemsize, lines if can else False)
        levels = tuple(_node_level(target, depth, width, offset) for depth in range(model.depth))
        stores = exact_stores(len(splits), 1)
        batches.append(Batch(first, width, len(splits), steps, vectors, levels, stores))
        offset += 4 * width * model.n_prototypes
    return tuple(batches)


def _steps(
    splits: NDArray[np.integer], n_features: int, lanes: int, itemsize: int, lines: bool | None
) -> tuple[RowSteps, tuple[str, ...]]:
    """Return the steps of a batch by elements or by lines: as told, or the faster ones."""
    by_elements = element_steps(splits, itemsize)
    if lines is False:
        return by_elements
    by_lines = line_steps(splits, n_features, lanes, itemsize)
    if lines or lines_are_faster(by_lines[0], by_elements[0], itemsize):
        return by_lines
    return by_elements


def _node_level(target: Target, depth: int, width: int, offset: int) -> NodeLevel:
    """Return one level of a batch of `width` lanes; all of its thresholds begin at `offset`."""
    nodes = 2**depth
    if nodes > settings.MOST_SELECTED[target.has_masks]:
        intrinsic = f"llvm.masked.gather.v{width}f32.v{width}p0"
        return NodeLevel((), (), intrinsic, offset + 4 * width * nodes)
    places = tuple(offset + 4 * width * (nodes + node) for node in range(nodes))
    return NodeLevel(places, path_folds(depth))


def batch_thresholds(model: MaddnessModel, batches: tuple[Batch, ...]) -> bytes:
    """Return the thresholds batch by batch, node by node, codebook by codebook; node 0 is unused.

    They are float32; lanes without a codebook hold zeros.
    """
    pieces = []
    for batch in batches:
        nodes = np.zeros((model.n_prototypes, batch.lanes), "<f4")
        own = slice(batch.first, batch.first + batch.n_codebooks)
        nodes[1:, : batch.n_codebooks] = model.thresholds[own].T
        pieces.append(nodes.tobytes())
    return b"".join(pieces)
