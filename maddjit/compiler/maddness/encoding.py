"""The part of a plan that encodes: how rows become codes, and where the codes lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.additive import additive_constants, plan_additive
from maddjit.compiler.maddness.additive_plan import AdditivePlan
from maddjit.compiler.maddness.batches import Batch, batch_thresholds, codebook_batches
from maddjit.compiler.maddness.transposing import Transpose, plan_transpose
from maddjit.compiler.maddness.tree_levels import TreeLevel, byte_level, node_order, row_level
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import odd_lines
from maddjit.models.encoders import AdditiveCodes
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
class Comparison:
    """How elements of A are compared with thresholds, and how nodes are followed, lane by lane.

    Attributes
    ----------
    element, node : str
        LLVM's types of a threshold and of the number of a node.
    lanes : int
        Rows of a vector.
    is_negative : bool
        Whether nodes are followed by their negative numbers: a true comparison is −1 in every
        vector without masks, so doubling a number and adding it costs two instructions.
    flip : int
        What elements are combined with by exclusive or; 0 for nothing. It turns unsigned bytes
        into signed ones, which every target compares.
    """

    element: str
    node: str
    lanes: int
    is_negative: bool
    flip: int = 0


@dataclass(frozen=True)
class Turn:
    """The vectors of rows that go down the trees side by side.

    `vectors` holds the first row of each, `rows` is the number of rows of all. If the target packs
    the codes of four vectors into one, `packs` are the instructions, and `order` puts the groups
    of four codes in their places.
    """

    name: str
    vectors: tuple[int, ...]
    rows: int
    packs: tuple[str, str] | None = None
    order: tuple[int, ...] = ()

    @property
    def words(self) -> int:
        """Numbers of 16 bits in a vector."""
        return self.rows // 2


@dataclass(frozen=True)
class Trees:
    """How trees are read where a vector holds rows of one codebook.

    `split_stride` and `threshold_stride` are the bytes from the split columns and thresholds of one
    tree to those of the next. Where rows are contiguous, they are taken by the longest of `turns`
    that they fill, and `masked_load` reads fewer rows, if the target has one. Elsewhere a vector is
    put together from the elements of `gathered` rows. If the number of a leaf is not its code,
    codes are looked up in `leaves`.
    """

    comparison: Comparison
    levels: tuple[TreeLevel, ...]
    leaves: TreeLevel | None
    split_stride: int
    threshold_stride: int
    turns: tuple[Turn, ...]
    gathered: int
    masked_load: str

    @property
    def look_ups(self) -> tuple[TreeLevel, ...]:
        """Everything that is looked up by the number of a node."""
        return (*self.levels, self.leaves) if self.leaves else self.levels

    @property
    def spread(self) -> tuple[int, ...]:
        """The lanes that repeat `gathered` rows until they fill a vector."""
        return tuple(lane % self.gathered for lane in range(self.comparison.lanes))


@dataclass(frozen=True)
class EncodePlan:
    """How rows become codes.

    A vector holds either codebooks of one row, which are cut into `batches`, or rows of one
    codebook, which go down a tree of `trees`. `transpose` then makes rows of codes that are the
    result. Additive codes have neither; `additive` says how they are chosen.
    """

    depth: int
    codes: Codes
    batches: tuple[Batch, ...]
    trees: Trees | None
    transpose: Transpose | None = None
    additive: AdditivePlan | None = None

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
    if isinstance(model.encoder, AdditiveCodes):
        return additive_encode(model.encoder, target, signature, row_block)
    few = model.split_dims.size <= settings.MOST_ELEMENTS
    if signature.order == "C" and signature.out_order == "C" and few:
        itemsize = INPUTS[signature.dtype].itemsize
        batches = codebook_batches(model, target, itemsize, lines)
        row_step = batches[-1].first + batches[-1].lanes
        unit = 1 if signature.result == "codes" else code_unit(model.n_prototypes, target)
        codes = Codes(row_step, 1, row_block * row_step, unit)
        return EncodePlan(model.depth, codes, batches, None)
    step = odd_lines(row_block)
    trees = plan_trees(model, target, signature.dtype)
    codes = Codes(1, step, step * model.n_codebooks)
    transpose = plan_transpose(model.n_codebooks) if signature.result == "codes" else None
    return EncodePlan(model.depth, codes, (), trees, transpose)


def additive_encode(
    encoder: AdditiveCodes, target: Target, signature: Signature, row_block: int
) -> EncodePlan:
    """Return how additive codes are chosen. They lie row by row, unless results come by columns."""
    n_codebooks, depth = encoder.n_codebooks, encoder.n_prototypes.bit_length() - 1
    itemsize = INPUTS[signature.dtype].itemsize
    additive = plan_additive(encoder, target, signature.order, itemsize)
    if signature.out_order == "F":
        step = odd_lines(row_block)
        codes = Codes(1, step, step * n_codebooks)
    else:
        unit = 1 if signature.result == "codes" else code_unit(encoder.n_prototypes, target)
        codes = Codes(n_codebooks, 1, row_block * n_codebooks, unit)
    return EncodePlan(depth, codes, (), None, additive=additive)


def code_unit(n_prototypes: int, target: Target) -> int:
    """Return the unit of codes that a scan by rows reads: a byte holds the largest multiple.

    Addresses multiply an index by a small factor at no cost. What is left of the length of a table
    row is multiplied when the code is made.
    """
    if not target.index_scale:
        return 1
    return max(1, min(target.vector_bytes // target.index_scale, 256 // n_prototypes))


def plan_trees(model: MaddnessModel, target: Target, dtype: str) -> Trees:
    """Return how vectors of rows go down the trees: as bytes if A has bytes, else as numbers."""
    return byte_trees(model, target, dtype) or number_trees(model, target, dtype)


def byte_trees(model: MaddnessModel, target: Target, dtype: str) -> Trees | None:
    """Return how elements of one byte are compared as they are.

    The answer is None for other elements, and if `target` cannot look up that many bytes.
    """
    if dtype not in ("int8", "uint8"):
        return None
    _, leaves = byte_thresholds(model, dtype)
    depths = model.depth + (leaves is not None)
    levels = tuple(filter(None, (byte_level(target, depth) for depth in range(depths))))
    if len(levels) < depths:
        return None
    lanes = target.vector_bytes
    return Trees(
        comparison=Comparison("i8", "i8", lanes, False, -128 if dtype == "uint8" else 0),
        levels=levels[: model.depth],
        leaves=levels[model.depth] if leaves is not None else None,
        split_stride=8 * model.depth,
        threshold_stride=model.n_prototypes * (1 if leaves is None else 2),
        turns=(Turn("bytes", (0,), lanes),),
        gathered=min(lanes, settings.MOST_GATHERED),
        masked_load=target.masked_load(lanes, 1),
    )


def number_trees(model: MaddnessModel, target: Target, dtype: str) -> Trees:
    """Return how elements are compared as float32, or as float64 if they are."""
    is_negative = not target.has_masks
    return Trees(
        comparison=Comparison("float", "i32", target.lanes, is_negative),
        levels=tuple(row_level(target, depth, is_negative) for depth in range(model.depth)),
        leaves=None,
        split_stride=8 * model.depth,
        threshold_stride=4 * model.n_prototypes,
        turns=number_turns(target),
        gathered=target.lanes,
        masked_load=target.masked_load(target.lanes, INPUTS[dtype].itemsize),
    )


def number_turns(target: Target) -> tuple[Turn, ...]:
    """Return the turns of vectors of numbers: four vectors, whose codes fill one, then a single.

    Packing two vectors alternates between groups of 16 bytes of both, so the codes of a vector lie
    one group of four codes in every 16 bytes.
    """
    lanes, groups = target.lanes, target.vector_bytes // 16
    vectors = tuple(range(0, 4 * lanes, lanes))
    order = tuple(4 * group + vector for vector in range(4) for group in range(groups))
    return (
        Turn("four", vectors, 4 * lanes, target.packs, order if target.packs else ()),
        Turn("one", (0,), lanes),
    )


def encode_constants(
    model: MaddnessModel, encode: EncodePlan, target: Target, signature: Signature
) -> dict[str, bytes]:
    """Return the thresholds as `encode` reads them, and the split columns if it reads them."""
    if isinstance(model.encoder, AdditiveCodes):
        itemsize = INPUTS[signature.dtype].itemsize
        return additive_constants(model.encoder, target, signature.order, itemsize)
    dtype = signature.dtype
    if encode.trees is None:
        return {"thresholds": batch_thresholds(model, encode.batches)}
    comparison = encode.trees.comparison
    thresholds, leaves = model.thresholds.astype("<f4"), None
    if comparison.element == "i8":
        thresholds, leaves = byte_thresholds(model, dtype)
    records = tree_thresholds(thresholds, comparison.is_negative)
    if leaves is not None:
        records = np.hstack([records, leaves])
    return {
        "split_columns": model.split_dims.astype("<i8").tobytes(),
        "thresholds": records.tobytes(),
    }


def tree_thresholds(thresholds: NDArray[Any], is_negative: bool) -> NDArray[Any]:
    """Return (C, K) thresholds: level t of a tree from 2^t on, so that every level is aligned.

    Each tree begins with the bits of the integer 1, which masks add to the number of a node.
    """
    n_codebooks, n_nodes = thresholds.shape
    integer = np.dtype(f"<i{thresholds.itemsize}")
    records = np.ones((n_codebooks, n_nodes + 1), integer)
    for depth in range(n_nodes.bit_length()):
        entries = 2**depth
        nodes = [entries - 1 + node for node in node_order(entries, is_negative)]
        records[:, entries : 2 * entries] = thresholds[:, nodes].view(integer)
    return records.view(thresholds.dtype)


def byte_thresholds(
    model: MaddnessModel, dtype: str
) -> tuple[NDArray[np.int8], NDArray[np.int8] | None]:
    """Return (C, K − 1) bytes v of which a > v tells what a ≥ threshold does, for a of one byte.

    Elements of uint8 are compared after 128 is taken from them. A threshold above all elements
    becomes the largest byte. No byte is below all elements. So where every row goes right, the two
    subtrees are exchanged, and every row goes left.

    Returns
    -------
    bytes : (C, K − 1) int8
    leaves : (C, K) int8 or None
        The code of each leaf; None if no subtrees were exchanged.
    """
    smallest = np.iinfo(dtype).min
    n_codebooks, n_prototypes, depth = model.n_codebooks, model.n_prototypes, model.depth
    least = np.ceil(model.thresholds.astype(np.float64))
    levels = [least[:, 2**t - 1 : 2 ** (t + 1) - 1] for t in range(depth)]
    levels.append(np.tile(np.arange(float(n_prototypes)), (n_codebooks, 1)))
    for t in range(depth):
        is_below = levels[t] <= smallest
        for below in range(t + 1, depth + 1):
            halves = levels[below].reshape(n_codebooks, 2**t, 2, -1)
            exchanged = np.where(is_below[..., np.newaxis, np.newaxis], halves[:, :, ::-1], halves)
            levels[below] = exchanged.reshape(n_codebooks, -1)
        levels[t] = np.where(is_below, np.inf, levels[t])
    bytes_ = np.minimum(np.hstack(levels[:-1]) - 1 - smallest - 128, 127).astype(np.int8)
    leaves = levels[-1].astype(np.uint8).view(np.int8) if (least <= smallest).any() else None
    return bytes_, leaves
