"""Predicts how long the steps of a `Network` take, image by image, from counts of operations."""

from __future__ import annotations

from collections.abc import Sequence

from maddjit.compiler.target import Target
from maddjit.integrations.networks import settings
from maddjit.models.network import Dense, Exact, Layer, LookUp, Planes


def nanoseconds(
    layer: Layer, given: Sequence[Planes], planes: Planes | None, target: Target
) -> float:
    """Return about how long a step takes for one of many images, with one thread.

    A look-up is a shuffle of a vector of pixels. A code is made of T comparisons of such vectors.
    Everything else moves bytes. The constants in `settings` were measured on one CPU, so times are
    good for comparing layers with each other.
    """
    n_pixels = planes.height * planes.width if planes else 1
    moved = sum(each.channels * each.height * each.width for each in given)
    moved += planes.channels * n_pixels if planes else 0
    time = settings.BYTE_NANOSECONDS * moved
    if isinstance(layer, Exact | Dense):
        product = settings.PRODUCT_NANOSECONDS[bool(target.byte_products)]
        return time + product * layer.weights.size * n_pixels
    if isinstance(layer, LookUp):
        size = target.vector_bytes
        shuffle, level = settings.SHUFFLE_NANOSECONDS[size], settings.LEVEL_NANOSECONDS[size]
        for each in layer.model.products:
            of_a_codebook = shuffle * each.n_outputs + level * each.depth
            time += n_pixels / size * each.n_codebooks * of_a_codebook
    return time
