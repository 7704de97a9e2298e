"""`fit_convolution`: from planes and weights to a convolution by look-ups."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from maddjit.learning.fit import fit
from maddjit.models.convolution import ConvolutionModel, as_tables
from maddjit.models.window import Window


def fit_convolution(
    planes: ArrayLike,
    weights: ArrayLike,
    n_codebooks: int | None = None,
    *,
    stride: int | tuple[int, int] = 1,
    padding: int | tuple[int, int] | tuple[int, int, int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    groups: int = 1,
    bias: ArrayLike | None = None,
    fill: int = 0,
    n_patches: int = 20000,
    random_state: int = 0,
    **options: Any,
) -> ConvolutionModel:
    """Learn hash trees and look-up tables that approximate a convolution.

    Parameters
    ----------
    planes : (N, C, H, W) array_like
        Planes like those that will be convolved.
    weights : (M, C / groups, kh, kw) array_like
        The kernel, as PyTorch has it.
    n_codebooks : int, optional
        Codebooks of each group; by default one for each of its planes.
    stride, dilation : int or (int, int)
    padding : int, (int, int) or (int, int, int, int)
        Rows and columns of zeros on each side, or above, below, left and right.
    groups : int
    bias : (M,) array_like, optional
    fill : int
        What stands outside of the planes.
    n_patches : int
        The patches to learn from, at most; they are drawn at random.
    random_state : int
    **options
        As for `maddjit.fit`.

    Returns
    -------
    ConvolutionModel
    """
    x, w = np.asarray(planes), np.asarray(weights)
    window = Window(tuple(w.shape[2:]), _pair(stride), _sides(padding), _pair(dilation))
    added = None if bias is None else np.asarray(bias)
    inputs, outputs = w.shape[1], len(w) // groups
    rng = np.random.default_rng(random_state)
    rows, columns = window.output_size(*x.shape[2:])
    n_images = min(len(x), max(1, -(-n_patches // (rows * columns))) * 8)
    images = rng.permutation(len(x))[:n_images]
    products = []
    for g in range(groups):
        patches = window.patches(x[images, g * inputs : (g + 1) * inputs], fill)
        chosen = rng.permutation(len(patches))[:n_patches]
        own = slice(g * outputs, (g + 1) * outputs)
        products.append(
            fit(
                patches[np.sort(chosen)],
                as_tables(w[own]),
                n_codebooks or inputs,
                bias=None if added is None else added[own],
                random_state=random_state,
                **options,
            )
        )
    return ConvolutionModel(tuple(products), window)


def _pair(given: int | tuple[int, int]) -> tuple[int, int]:
    return (given, given) if isinstance(given, int) else given


def _sides(given: int | tuple[int, ...]) -> tuple[int, int, int, int]:
    """Return the padding above, below, left and right."""
    if isinstance(given, int):
        return (given,) * 4
    if len(given) == 2:
        return (given[0], given[0], given[1], given[1])
    above, below, left, right = given
    return above, below, left, right
