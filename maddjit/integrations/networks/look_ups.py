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
from maddjit.reference.maddness import apply


@dataclass(frozen=True)
class Places:
    """Outputs of a convolution that are learned from.

    Attributes
    ----------
    image, row, column : (P,) intp
        In the order of images.
    n_learned : int
        How many places are learned from. Errors are measured at the others.
    """

    image: NDArray[np.intp]
    row: NDArray[np.intp]
    column: NDArray[np.intp]
    n_learned: int

    @classmethod
    def drawn(
        cls, n_learned: int, n_images: int, size: tuple[int, int], most: int, random_state: int
    ) -> Places:
        """Return places drawn at random, each at most once.

        Up to `most` of them are in the first `n_learned` images, and up to a tenth of that in the
        others.
        """
        rng = np.random.default_rng(random_state)
        n_outputs = size[0] * size[1]
        end, of_all = n_learned * n_outputs, n_images * n_outputs
        learned = rng.choice(end, min(most, end), replace=False)
        n_judged = min(-(-most // 10), of_all - end)
        judged = (
            end + rng.choice(of_all - end, n_judged, replace=False) if n_judged else learned[:0]
        )
        chosen = np.concatenate([np.sort(learned), np.sort(judged)])
        image, row, column = np.unravel_index(chosen, (n_images, *size))
        return cls(np.asarray(image), np.asarray(row), np.asarray(column), len(learned))

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


def error_of(
    model: ConvolutionModel, patches: NDArray[np.int8], targets: NDArray[np.float32]
) -> float:
    """Return the squared error of look-ups over the variance of the targets (P, M)."""
    columns = np.split(patches, model.groups, axis=1)
    y = [apply(product, rows) for product, rows in zip(model.products, columns, strict=True)]
    variance = float(targets.var(axis=0, dtype=np.float64).mean())
    error = float(np.mean((np.concatenate(y, axis=1) - targets) ** 2, dtype=np.float64))
    return error / variance if variance else 0.0


def look_up_layer(node: Node, model: ConvolutionModel, planes: Planes) -> LookUp:
    """Return the layer whose results are stored as `planes`.

    Raises
    ------
    ValueError
        If its sums cannot be requantised in integers; the message names the layer.
    """
    try:
        return LookUp(model, epilogue_of(node, planes, "integer"))
    except ValueError as error:
        raise ValueError(f"{node.name}: {error}") from error
