"""Exact 8-bit layers: how integers are multiplied and summed, for planes and for rows.

Sums of products of bytes are whole numbers, so any order gives the same bits. Instructions multiply
groups of neighbouring bytes or words and add up 32 bits: four unsigned bytes by four signed ones
where the target has that, else two words. So a few taps are first placed side by side, pixel by
pixel; then a tile of outputs is multiplied by them. Plain products in integers were chosen because
they serve any shape: Strassen-Tile is for outputs in float32, and a library's convolution would
read and write planes of its own.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.conversion import ending
from maddjit.compiler.network import settings
from maddjit.compiler.network.exact import Convolving, Endings, Packing, RowProducts
from maddjit.compiler.network.multiplying import (
    Products,
    output_tiles,
    products_of,
)
from maddjit.compiler.network.operations import Taps
from maddjit.compiler.network.places import Place
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.models.layers import Dense, Exact, Planes

Constants = dict[str, bytes]


def convolving(
    layer: Exact,
    given: Planes,
    x: Place,
    to: Place,
    taps: Taps,
    group_step: int,
    target: Target,
    name: str,
    scratch: int = 0,
) -> tuple[Convolving, Constants]:
    """Return how an exact convolution is computed, and its constants.

    Parameters
    ----------
    layer : Exact
    given : Planes
        Its inputs.
    x, to : Place
    taps : Taps
        How far each tap of a group is from an output, `unit` times a whole number of them.
    group_step : int
        Bytes from the inputs of one group to those of the next.
    target : Target
    name : str
        The prefix of the names of constants.
    """
    products = products_of(target)
    at_once, vectors = settings.EXACT_SHAPES[target.n_registers]
    outputs = layer.n_outputs // layer.groups
    weights = layer.weights.reshape(layer.groups, outputs, -1)
    n_units = -(-weights.shape[2] // products.unit)
    missing = n_units * products.unit - weights.shape[2]
    weights = np.pad(weights, ((0, 0), (0, 0), (0, missing)))
    pixels = vectors * products.lanes
    most = settings.EXACT_BLOCK_BYTES // (4 * n_units) // pixels * pixels
    tiles = output_tiles(outputs, at_once, 4 * n_units)
    parts = weights.reshape(layer.groups, outputs, n_units, products.unit)
    packed = b"".join(
        products.packed(part[first : first + tile.n].transpose(1, 0, 2))
        for part in parts
        for tile in tiles
        for first in range(tile.first, tile.first + tile.n * tile.count, tile.n)
    )
    endings, constants = _endings(layer, given, products, target, name)
    constants[f"{name}.weights"] = packed
    found = Convolving(
        x=x,
        to=to,
        products=products,
        groups=layer.groups,
        x_step=group_step,
        n_outputs=outputs,
        n_units=n_units,
        vectors=vectors,
        block=max(pixels, min(most, 1024)),
        tiles=tiles,
        weights=f"{name}.weights",
        taps=taps,
        weights_bytes=len(packed) // layer.groups,
        endings=endings,
        scratch=scratch,
    )
    return found, constants


def row_products(
    layer: Exact | Dense,
    given: Planes,
    x: Place,
    to: Place | None,
    target: Target,
    name: str,
) -> tuple[RowProducts, Constants]:
    """Return how an exact layer of rows is computed, and its constants.

    Parameters are those of `convolving`; `x` holds the numbers that the layer sees of an image, and
    `to` is None for a layer that ends in float32.
    """
    products = products_of(target)
    at_once, images = settings.ROWS_SHAPES[target.n_registers]
    groups = layer.groups if isinstance(layer, Exact) else 1
    outputs = layer.n_outputs // groups
    weights = layer.weights.reshape(groups, outputs, -1)
    n_inputs = weights.shape[2]
    chunk = products.lanes * products.unit
    n_chunks = -(-n_inputs // chunk)
    weights = np.pad(weights, ((0, 0), (0, 0), (0, n_chunks * chunk - n_inputs)))
    tiles = output_tiles(outputs, at_once, n_chunks * chunk)
    parts = weights.reshape(groups, outputs, n_chunks, chunk)
    packed = b"".join(
        np.ascontiguousarray(part[first : first + tile.n].transpose(1, 0, 2)).tobytes()
        for part in parts
        for tile in tiles
        for first in range(tile.first, tile.first + tile.n * tile.count, tile.n)
    )
    endings, constants = _endings(layer, given, products, target, name)
    found = RowProducts(
        x=x,
        to=to,
        products=products,
        groups=groups,
        n_inputs=n_inputs,
        n_outputs=outputs,
        chunk=chunk,
        n_chunks=n_chunks,
        images=images,
        tiles=tiles,
        weights=f"{name}.weights",
        weights_bytes=len(packed) // groups,
        endings=endings,
    )
    return found, constants | {f"{name}.weights": packed}


def _endings(
    layer: Exact | Dense, given: Planes, products: Products, target: Target, name: str
) -> tuple[Endings, Constants]:
    """Return how sums end. They begin with what the zero point and the shift of numbers add."""
    epilogue = layer.epilogue if isinstance(layer, Exact) else Epilogue()
    sums = layer.weights.reshape(layer.n_outputs, -1).sum(axis=1, dtype=np.int64)
    signature = Signature(epilogue=epilogue)
    found = ending(signature, target)
    assert found is not None
    form = signature.output
    constants = {
        f"{name}.initial": (-(given.zero_point + products.shift) * sums).astype("<i4").tobytes(),
        f"{name}.scale": layer.scale.astype("<f4").tobytes(),
        f"{name}.offset": layer.offset.astype("<f4").tobytes(),
    }
    packing = packing_of(layer, epilogue, given.most, target)
    names = list(constants)
    ends = Endings(names[0], names[1], names[2], found, form.element, form.itemsize, packing)
    return ends, constants


def packing_of(
    layer: Exact | Dense, epilogue: Epilogue, most: int, target: Target
) -> Packing | None:
    """Return how outputs are packed; None if that is not proved to be right.

    `most` is the largest distance of an input from its zero point.
    """
    if epilogue.dtype != "int8" or target.whole_numbers is None:
        return None
    weights = layer.weights.reshape(layer.n_outputs, -1).astype(np.float64)
    largest = np.abs(weights).sum(axis=1) * most * np.abs(layer.scale) + np.abs(layer.offset)
    if largest.max() / epilogue.step >= settings.PACKED_UNITS:
        return None
    # The results of the limits themselves: an epilogue without limits clamps to those of int8.
    plain = replace(epilogue, low=-np.inf, high=np.inf)
    limits = np.array([epilogue.low, epilogue.high], np.float32)
    least, most = plain(limits).tolist()
    groups = target.vector_bytes // 16
    order = tuple(4 * group + vector for vector in range(4) for group in range(groups))
    return Packing(target.whole_numbers, order, least, most)
