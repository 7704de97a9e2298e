"""`Graph`: a trained network as a list of exact operations, whatever library it came from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.models.window import Window

Weights = NDArray[np.float64]

Shape = tuple[int, int, int]
"""Planes, rows and columns of an image."""


class UnsupportedLayerError(ValueError):
    """A layer cannot be part of a network over int8 planes; the message names it and says why."""


@dataclass(frozen=True, eq=False)
class Image:
    """The images that a network is given."""


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with zeros outside of the planes, and a clamp. Linear layers are ones, too.

    Attributes
    ----------
    weights : (M, C / groups, kh, kw) float64
    bias : (M,) float64
    window : Window
    groups : int
    low, high : float
        The limits that outputs are clamped to.
    """

    weights: Weights
    bias: Weights
    window: Window
    groups: int = 1
    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, eq=False)
class Affine:
    """A scale and a shift of each plane, and a clamp: a batch-norm, a ReLU, a constant factor.

    Attributes
    ----------
    scale, shift : (C,) float64
    low, high : float
    """

    scale: Weights
    shift: Weights
    low: float = -math.inf
    high: float = math.inf

    @property
    def is_clamp(self) -> bool:
        """Whether planes are clamped only."""
        return bool((self.scale == 1).all() and (self.shift == 0).all())

    @property
    def is_clamped(self) -> bool:
        """Whether there are limits."""
        return self.low > -math.inf or self.high < math.inf


@dataclass(frozen=True, eq=False)
class Pool:
    """The largest number or the mean of each window; means count zeros outside of the planes."""

    kind: Literal["max", "average"]
    window: Window


@dataclass(frozen=True, eq=False)
class Sum:
    """The sum of two inputs of the same shape, and a clamp."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True, eq=False)
class Join:
    """The planes of several inputs, one after another."""


Operation = Image | Convolution | Affine | Pool | Sum | Join
"""All kinds of operations."""


@dataclass(frozen=True, eq=False)
class Node:
    """An operation, the nodes whose results it takes, and the shape of what it gives.

    Attributes
    ----------
    name : str
        The name of the layer in the network that it came from.
    operation : Operation
    inputs : tuple of int
        Numbers of earlier nodes.
    shape : (int, int, int)
    is_linear : bool
        Whether it is a linear layer, whose kernel covers all of its input.
    """

    name: str
    operation: Operation
    inputs: tuple[int, ...]
    shape: Shape
    is_linear: bool = False


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes in an order in which they can be computed: the first is the image, the last the output.

    Attributes
    ----------
    nodes : tuple of Node
    is_flat : bool
        Whether outputs are rows (N, M) instead of planes.
    """

    nodes: tuple[Node, ...]
    is_flat: bool

    def users(self) -> list[list[int]]:
        """Return which nodes take the result of each node."""
        found: list[list[int]] = [[] for _ in self.nodes]
        for number, node in enumerate(self.nodes):
            for taken in node.inputs:
                found[taken].append(number)
        return found


def limits_of(operation: Any) -> tuple[float, float]:
    """Return the limits of an operation; infinite ones if it does not clamp."""
    return getattr(operation, "low", -math.inf), getattr(operation, "high", math.inf)
