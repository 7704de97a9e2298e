"""The cost model of a row: the instructions of each part of a plan, and the bytes that it moves."""

from __future__ import annotations

from maddjit.arrays.formats import INPUTS
from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.additive_choosing import GROUP
from maddjit.compiler.maddness.additive_plan import AdditivePlan, UnitProducts
from maddjit.compiler.maddness.columns import ColumnsPlan
from maddjit.compiler.maddness.core import CorePlan
from maddjit.compiler.maddness.costs import instructions
from maddjit.compiler.maddness.encoding import EncodePlan
from maddjit.compiler.maddness.runs import Sums
from maddjit.compiler.maddness.scan_plan import ScanPlan
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE
from maddjit.models.encoders import AdditiveCodes
from maddjit.models.maddness import MaddnessModel


def row_nanoseconds(
    model: MaddnessModel,
    sums: Sums,
    target: Target,
    signature: Signature,
    row_block: int,
    encode: EncodePlan,
    scan: ScanPlan | None,
    columns: ColumnsPlan | None,
    core: CorePlan | None,
) -> float:
    """Return the time of one of many rows, without what settles winners.

    A and Y come from a far cache and go to one. So do all tables, once for each block of rows.
    """
    counted, moved = encode_instructions(encode, model.n_codebooks), read_bytes(model, signature)
    if encode.additive:  # rows are fetched while others are multiplied
        hidden = settings.INSTRUCTION_NANOSECONDS * counted / settings.FAR_NANOSECONDS
        moved = max(0, moved - hidden)
    moved += written_bytes(model, signature)
    n_vectors = model.n_outputs / target.lanes
    if columns:  # a scan by rows beside it is for few rows alone
        counted += column_instructions(columns)
    elif scan:
        counted += scan_instructions(scan, sums, model)
        counted += settings.TURNING * n_vectors if scan.turn else 0
    if scan or columns:
        moved += model.tables.size / row_block
        counted += settings.FINISHING * n_vectors if signature.result != "sums" else 0
    if core:
        products = core.rank * (model.n_features + model.n_outputs)
        counted += settings.PRODUCT_INSTRUCTIONS * products / target.lanes
    return settings.INSTRUCTION_NANOSECONDS * counted + settings.FAR_NANOSECONDS * moved


def read_bytes(model: MaddnessModel, signature: Signature) -> float:
    """Return the bytes of A that a row reads: whole lines, or a share of each column's lines."""
    itemsize = INPUTS[signature.dtype].itemsize
    if model.core:
        return model.n_features * itemsize
    if isinstance(model.encoder, AdditiveCodes):
        return model.n_features * itemsize
    splits = set(model.split_dims.ravel().tolist())
    if signature.order == "F":
        return len(splits) * itemsize
    return LINE * len({column * itemsize // LINE for column in splits})


def written_bytes(model: MaddnessModel, signature: Signature) -> float:
    """Return the bytes of results that a row writes."""
    if signature.result == "codes":
        return model.n_codebooks
    named = signature.k if signature.result in ("argmax", "winners") else model.n_outputs
    return named * signature.output.itemsize


def encode_instructions(encode: EncodePlan, n_codebooks: int) -> float:
    """Return the instructions that make the codes of a row. A gather takes one for each lane."""
    if encode.additive:
        return additive_instructions(encode.additive, n_codebooks)
    if encode.trees is None:
        return sum(
            len(batch.steps)
            + sum(
                settings.LEVEL_INSTRUCTIONS + len(level.folds) + bool(level.intrinsic) * batch.lanes
                for level in batch.levels
            )
            for batch in encode.batches
        )
    turn, lanes = encode.trees.turns[0], encode.trees.comparison.lanes
    of_a_vector = sum(
        settings.TREE_INSTRUCTIONS + len(level.folds) + (level.lookup == "gather") * lanes
        for level in encode.trees.look_ups
    )
    return n_codebooks * len(turn.vectors) * of_a_vector / turn.rows


def additive_instructions(additive: AdditivePlan, n_codebooks: int) -> float:
    """Return the instructions that make the additive codes of a row.

    A unit of a row is repeated in a vector once for each tile that it is multiplied by.
    """
    reading, choosing = additive.reading, additive.choosing
    counted = settings.ADDITIVE_READING * reading.n_features / reading.lanes
    for each in additive.multiplications:
        n_units = sum(stretch.count * sum(map(len, stretch.together)) for stretch in each.stretches)
        of_a_unit = 1 + each.vectors * product_instructions(each.products)
        counted += each.n_tiles * (n_units * of_a_unit + settings.ADDITIVE_ENDING * each.vectors)
    n_vectors = -(-choosing.words // (2 * reading.lanes))
    counted += n_codebooks * settings.ADDITIVE_CHOOSING * n_vectors
    pairs = n_codebooks * (n_codebooks - 1) / 2
    if (
        choosing.block_words
    ):  # codes are read once for a block, and add to several codebooks at once
        of_a_block = 1 + -(-choosing.block_words // (2 * reading.lanes))
        return counted + pairs * of_a_block / GROUP
    return counted + pairs * (choosing.n_parts + n_vectors)


def product_instructions(products: UnitProducts) -> float:
    """Return the instructions that multiply a vector and add the products to sums.

    Products in words are added up `together` before they are widened and added.
    """
    if products.widens:
        return 2 + 1 / products.together
    return settings.BYTE_PRODUCTS if products.unit == 4 else 2


def scan_instructions(scan: ScanPlan, sums: Sums, model: MaddnessModel) -> float:
    """Return the instructions that add the table rows of a row.

    If they are streams, each line takes one more, which fetches ahead, and all take longer.
    """
    streams, C = scan.streams, model.n_codebooks
    tiles = streams.packed if streams and streams.packed else scan.tiles
    counted = sum(tile.count * C * instructions(sums, len(tile.planes)) for tile in tiles)
    if streams and not streams.packed:
        return settings.SCATTERED * (counted + C * model.n_outputs / LINE)
    return counted


def column_instructions(columns: ColumnsPlan) -> float:
    """Return the instructions of a row that look codes up in vectors of rows.

    A table serves all vectors of a tile, and a vector of codes all of its outputs.
    """
    counted = 0.0
    in_place = columns.residues or columns.shuffle.adding  # one instruction for each look-up
    for tile in columns.tiles:
        if tile.step:  # it has the rows that the tile before it leaves
            continue
        added = loaded = 0
        for run in tile.runs:
            for group in run.groups:
                n = len(group.steps)
                adding = n if in_place else settings.ACCUMULATING[columns.sum_bits]
                added += run.count * (n + len(group.merges) + adding)
                loaded += run.count * n
        operands = tile.n_outputs + len(tile.vectors)
        counted += tile.count * (added * len(tile.planes) + loaded * operands) / tile.rows
    return counted
