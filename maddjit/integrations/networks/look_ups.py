"""Fits the look-ups of a convolution in its place in a network."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.integrations.networks import settings
from maddjit.integrations.networks.eight_bits import epilogue_of
from maddjit.integrations.networks.graph import Convolution, Node
from maddjit.learning.accuracy import AccuracyWarning
from maddjit.learning.fit import fit
from maddjit.learning.regressing import regress
from maddjit.models.convolution import ConvolutionModel, as_tables
from maddjit.models.maddness import MaddnessModel
from maddjit.models.network import LookUp, Planes
from maddjit.models.window import Window


@dataclass(frozen=True)
class Places:
    """Outputs of a convolution that are learned from.

    Attributes
    ----------
    image, row, column : (P,) intp
    """

    image: NDArray[np.intp]
    row: NDArray[np.intp]
    column: NDArray[np.intp]

    @classmethod
    def drawn(cls, n_images: int, size: tuple[int, int], most: int, random_state: int) -> Places:
        """Return places drawn at random, each at most once."""
        n_places = n_images * size[0] * size[1]
        rng = np.random.default_rng(random_state)
        chosen = np.sort(rng.choice(n_places, min(most, n_places), replace=False))
        return cls(*(np.asarray(each) for each in np.unravel_index(chosen, (n_images, *size))))

    def outputs(self, y: NDArray[Any]) -> NDArray[Any]:
        """Return what stands at the places of output planes, as rows (P, M)."""
        return y[self.image, :, self.row, self.column]

    def patches(self, x: NDArray[Any], window: Window, fill: int) -> NDArray[Any]:
        """Return what a window sees of input planes at the places, as rows (P, C · n_taps)."""
        top, bottom, left, right = window.padding
        sides = ((0, 0), (0, 0), (top, bottom), (left, right))
        padded = np.pad(x, sides, constant_values=fill)
        y, x_ = self.row * window.stride[0], self.column * window.stride[1]
        seen = [padded[self.image, :, y + dy + top, x_ + dx + left] for dy, dx in window.taps()]
        return np.stack(seen, axis=2).reshape(len(y), -1)


def with_trees(
    convolution: Convolution,
    patches: NDArray[np.int8],
    planes: Planes,
    n_codebooks: int,
    random_state: int,
) -> ConvolutionModel:
    """Return look-ups that approximate a convolution of int8 planes, fitted to patches of them.

    Parameters
    ----------
    convolution : Convolution
    patches : (P, C · n_taps) int8
    planes : Planes
        What the patches are taken from.
    n_codebooks : int
        Of each group.
    random_state : int
    """
    products = []
    columns = np.split(patches, convolution.groups, axis=1)
    kernels = np.split(convolution.weights, convolution.groups)
    for rows, weights in zip(columns, kernels, strict=True):
        with warnings.catch_warnings():  # what the network loses is measured as a whole
            warnings.simplefilter("ignore", AccuracyWarning)
            products.append(
                fit(
                    rows,
                    as_tables(weights) * planes.step,
                    min(n_codebooks, rows.shape[1]),
                    byte_group=min(settings.BYTE_GROUP, n_codebooks, rows.shape[1]),
                    validation=0,
                    random_state=random_state,
                )
            )
    return ConvolutionModel(tuple(products), convolution.window)


def regressed(
    model: ConvolutionModel,
    patches: NDArray[np.int8],
    targets: NDArray[np.float32],
    step: float,
    random_state: int,
) -> ConvolutionModel:
    """Return look-ups with the same trees, and tables regressed on the targets (P, M).

    Their sums can be requantised to results in units of `step`, if any such tables can.
    """
    columns = np.split(patches, model.groups, axis=1)
    outputs = np.split(targets, model.groups, axis=1)
    products: list[MaddnessModel] = [
        regress(
            product,
            rows,
            wanted,
            byte_group=settings.BYTE_GROUP,
            most_scale=settings.MOST_SCALE * step,
            random_state=random_state,
        )
        for product, rows, wanted in zip(model.products, columns, outputs, strict=True)
    ]
    return replace(model, products=tuple(products))


def look_up_layer(node: Node, model: ConvolutionModel, planes: Planes) -> LookUp:
    """Return the layer whose results are stored as `planes`."""
    return LookUp(model, epilogue_of(node, planes, "integer"))
