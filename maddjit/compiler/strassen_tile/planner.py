"""(Strassen-Tile model, target, signature) → TilePlan: blocking, and V as kernels read it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS, float32_to_bfloat16
from maddjit.compiler.conversion import ending, widening
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.strassen_tile.plan import FeatureBlock, TilePlan
from maddjit.compiler.strassen_tile.straight_line import straight_line
from maddjit.compiler.target import BFLOAT16, Target
from maddjit.models.strassen_tile import StrassenTileModel

_LINE = 64
_Z_BYTES = 4 * 1024 * 1024
"""Encoded rows that stay near while all panels of V pass by."""
_MOST_TILE_ROWS = 64
"""Tile rows after which a panel of V has been read often enough for its way from memory."""
_UNROLL = 4
"""Steps of the innermost loop in straight-line code; the padding of blocks is a multiple."""
_PADDED = 16
"""Columns of a block are filled up to a multiple of this, at any target."""
_PASS_STEPS = 256
"""Steps whose products are summed apart: the rounding of longer sums would grow with them."""
_STRIPS = {
    64: ((4, 4), (8, 2), (8, 1)),
    32: ((4, 3), (4, 2), (8, 1)),
    16: ((4, 2), (8, 1)),
}
"""Tile rows and vectors of outputs of a micro-kernel, by bytes of a vector; the widest first."""
_MOST_PADDING = 1.05
"""Times as wide as the narrowest a panel may fill outputs up."""
_THREAD_OPERATIONS = 10_000_000
"""Multiply-adds that are worth another thread: some 200 µs."""


def make_tile_plan(
    model: StrassenTileModel, target: Target, signature: Signature, choices: Choices = RULES
) -> TilePlan:
    """Decide how `model` is computed on `target`: pure, the same answer every time.

    Raises
    ------
    ValueError
        If something other than rows of outputs is asked for.
    """
    if signature.result != "outputs" or signature.out_order != "C":
        raise ValueError("a Strassen-Tile kernel has rows of outputs and nothing else")
    finish = ending(signature, target)
    assert finish is not None
    is_bfloat16 = signature.precision == "bfloat16"
    if is_bfloat16 and not target.bfloat16_products:
        raise ValueError(f"{target.name} was not asked to have {BFLOAT16}")
    scheme = model.scheme
    height, depth, width = scheme.shape
    lanes = target.vector_bytes // 4
    _, block_features, block_outputs = model.values.shape
    strip, vectors = _micro_kernel(block_outputs, target)
    panel = lanes * vectors
    padded = -(-block_features // _PADDED) * _PADDED
    n_panels = -(-block_outputs // panel)
    blocks = tuple(
        _feature_block(k * block_features, block_features, model.n_features, lanes, 4 * padded * k)
        for k in range(depth)
    )
    widths = tuple(
        max(0, min(block_outputs, model.n_outputs - j * block_outputs)) for j in range(width)
    )
    z_element = 2 if is_bfloat16 else 4
    # A line more than a power of two might be: rows would share cache sets.
    z_row = z_element * padded + _LINE
    group_z = model.tile_rows * scheme.rank * z_row
    groups = max(1, min(_Z_BYTES // group_z, _MOST_TILE_ROWS // model.tile_rows))
    if choices.row_block:
        groups = max(1, choices.row_block // (height * model.tile_rows))
    most_rows = groups * model.tile_rows
    z_step = most_rows * z_row + _LINE
    u_step = most_rows * 4 * panel + _LINE
    output_bytes = signature.output.itemsize
    sizes = (
        scheme.rank * z_step,
        scheme.rank * u_step,
        height * model.tile_rows * (depth * 4 * padded + _LINE),
        height * model.tile_rows * width * panel * output_bytes,
    )
    offsets = [sum(_lines(size) for size in sizes[:part]) for part in range(len(sizes) + 1)]
    direct = (signature.dtype, signature.order) == ("float32", "C")
    encode, decode = straight_line(scheme.encode_a, "z"), straight_line(scheme.decode, "y")
    operations = scheme.rank * block_features * block_outputs / height
    return TilePlan(
        symbol=_symbol(model, target, signature),
        target=target,
        signature=signature,
        n_features=model.n_features,
        n_outputs=model.n_outputs,
        shape=scheme.shape,
        rank=scheme.rank,
        kind=model.kind,
        is_bfloat16=is_bfloat16,
        lanes=lanes,
        vector_bits=8 * target.vector_bytes,
        element=INPUTS[signature.dtype].element,
        element_bytes=INPUTS[signature.dtype].itemsize,
        fuses=target.fuses,
        strip=strip,
        vectors=vectors,
        unroll=_UNROLL,
        steps=padded // (4 // z_element),
        pass_steps=_PASS_STEPS,
        encode=encode,
        decode=decode,
        tile_rows=model.tile_rows,
        block_groups=groups,
        feature_blocks=blocks,
        output_widths=widths,
        block_features=block_features,
        padded_features=padded,
        block_outputs=block_outputs,
        n_panels=n_panels,
        whole_panels=min(widths) // panel,
        is_direct=direct and model.n_features == depth * padded,
        z_row_bytes=z_row,
        z_step=z_step,
        u_step=u_step,
        u_offset=offsets[1],
        stage_offset=offsets[2],
        edge_offset=offsets[3],
        workspace_bytes=offsets[4] + _LINE,
        output_element=signature.output.element,
        output_bytes=output_bytes,
        ending=finish,
        widening=widening(signature.dtype, target),
        rows_per_thread=max(1, round(_THREAD_OPERATIONS / operations)),
        packed=_packed(model.values, padded, panel, is_bfloat16),
        constants=(("bias", _bias(model, panel, n_panels)),),
    )


def _micro_kernel(block_outputs: int, target: Target) -> tuple[int, int]:
    """Return tile rows and vectors of outputs: wide, as long as few outputs are made up."""
    lanes = target.vector_bytes // 4
    known = _STRIPS[target.vector_bytes]
    filled = [-(-block_outputs // (lanes * vectors)) * vectors for _, vectors in known]
    return next(
        shape
        for shape, width in zip(known, filled, strict=True)
        if width <= _MOST_PADDING * min(filled)
    )


def _lines(size: int) -> int:
    return -(-size // _LINE) * _LINE


def _feature_block(first: int, most: int, n_features: int, lanes: int, offset: int) -> FeatureBlock:
    width = max(0, min(most, n_features - first))
    return FeatureBlock(first, width, width // lanes * lanes, offset)


def _packed(
    values: NDArray[np.float32], padded: int, panel: int, is_bfloat16: bool
) -> NDArray[Any]:
    """Return V as [panel][ρ][k][column], filled up with zeros; of bfloat16, two k side by side."""
    rank, n_features, n_outputs = values.shape
    n_panels = -(-n_outputs // panel)
    every = np.zeros((rank, padded, n_panels * panel), np.float32)
    every[:, :n_features, :n_outputs] = values
    parts: NDArray[Any] = every.reshape(rank, padded, n_panels, panel).transpose(2, 0, 1, 3)
    if is_bfloat16:
        pairs = float32_to_bfloat16(parts).reshape(n_panels, rank, padded // 2, 2, panel)
        parts = pairs.swapaxes(3, 4)
    memory = np.empty(parts.size + _LINE, parts.dtype)
    first = -memory.__array_interface__["data"][0] % _LINE // memory.itemsize
    packed = memory[first:][: parts.size]
    packed.reshape(parts.shape)[...] = parts
    packed.flags.writeable = False
    return packed


def _bias(model: StrassenTileModel, panel: int, n_panels: int) -> bytes:
    """Return the bias as [panel][column of a tile][column of the panel]."""
    width, most = model.scheme.shape[2], model.values.shape[2]
    every = np.zeros((width, n_panels * panel), "<f4")
    for j in range(width):
        own = model.bias[j * most : (j + 1) * most]
        every[j, : len(own)] = own
    return every.reshape(width, n_panels, panel).swapaxes(0, 1).tobytes()


def _symbol(model: StrassenTileModel, target: Target, signature: Signature) -> str:
    tile = "x".join(map(str, model.scheme.shape))
    sizes = f"D{model.n_features}_M{model.n_outputs}_T{tile}_R{model.scheme.rank}"
    kind = f"{signature.dtype}_{signature.order}_{signature.precision}"
    kind += f"_{signature.epilogue.dtype}{'_residual' * signature.residual}"
    return f"maddjit_strassen_tile_{sizes}_{kind}_{target.name.replace('-', '_')}"
