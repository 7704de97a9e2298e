"""`Drawing`: makes a `Graph` layer by layer, follows shapes, and refuses what does not fit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.integrations.networks.graph import (
    Affine,
    Convolution,
    Graph,
    Image,
    Join,
    Node,
    Operation,
    Pool,
    Shape,
    Sum,
    UnsupportedLayerError,
)
from maddjit.integrations.networks.sides import NO_SIDES, Sides, rounded_up
from maddjit.models.window import Window


@dataclass(frozen=True)
class Value:
    """The result of a node as later layers see it.

    Attributes
    ----------
    node : int
    is_flat : bool
        Whether it is seen as rows (N, C · H · W).
    channels_last : bool
        Whether its axes, or the numbers of its rows, are in the order (H, W, C).
    zeros : Sides
        Zeros that are still to be put around the planes.
    memory : int
        Values of one node share memory if this is equal: a copy has another number.
    """

    node: int
    is_flat: bool = False
    channels_last: bool = False
    zeros: Sides = NO_SIDES
    memory: int = 0


class _Batch:
    """The number of images, which nothing can be computed with while a network is read."""

    def __repr__(self) -> str:
        return "N"


BATCH = _Batch()
"""What stands for the first axis in shapes."""


class Drawing:
    """A graph that is being made; `name` is the layer that errors are about."""

    def __init__(self, shape: Shape) -> None:
        self.nodes = [Node("image", Image(), (), shape)]
        self.name = ""
        self._copies = 0

    def refuse(self, why: str) -> UnsupportedLayerError:
        """Return the error that the present layer cannot be taken."""
        return UnsupportedLayerError(f"{self.name}: {why}")

    @property
    def image(self) -> Value:
        """The images."""
        return Value(0)

    def shape(self, value: Value) -> Shape:
        """Return the planes, rows and columns behind a value, without pending zeros."""
        return self.nodes[value.node].shape

    def _add(self, operation: Operation, inputs: Sequence[int], shape: Shape) -> int:
        self.nodes.append(Node(self.name, operation, tuple(inputs), shape))
        return len(self.nodes) - 1

    def _planes(self, given: Any, what: str) -> Value:
        """Return a value that must be planes in the order (C, H, W)."""
        value = self._checked(given, what)
        if value.channels_last:
            raise self.refuse(f"{what} takes planes in the order (N, C, H, W)")
        if value.is_flat:
            if self.shape(value)[1:] != (1, 1):
                raise self.refuse(f"{what} takes planes, not flattened ones")
            return replace(value, is_flat=False)
        return value

    def _checked(self, value: Any, what: str) -> Value:
        if not isinstance(value, Value):
            raise self.refuse(f"the input of {what} must depend on the images")
        return value

    def _unpadded(self, given: Any, what: str) -> Value:
        """Return planes or rows without pending zeros."""
        value = self._checked(given, what)
        if value.zeros != NO_SIDES:
            raise self.refuse(f"padding before {what} is not supported, only before convolutions")
        return value

    def _size(self, window: Window, shape: Shape) -> tuple[int, int]:
        try:
            return window.output_size(*shape[1:])
        except ValueError as error:
            raise self.refuse(str(error)) from error

    def copy(self, value: Value) -> Value:
        """Return a value as it is now: writing to either leaves the other one as it is."""
        self._copies += 1
        return replace(value, memory=self._copies)

    def convolution(
        self,
        value: Any,
        weights: ArrayLike,
        bias: ArrayLike | None,
        window: Window,
        groups: int = 1,
    ) -> Value:
        """Add a convolution of planes by weights (M, C / groups, kh, kw)."""
        given = self._planes(value, "a convolution")
        w = self._finite(weights, "weights")
        n_channels = self.shape(given)[0]
        if w.ndim != 4 or w.shape[1] * groups != n_channels or len(w) % groups:
            raise self.refuse(
                f"weights of shape {w.shape} in {groups} groups do not fit {n_channels} planes"
            )
        b = np.zeros(len(w)) if bias is None else self._finite(bias, "bias")
        sides = [own + more for own, more in zip(window.padding, given.zeros, strict=True)]
        window = replace(window, padding=(sides[0], sides[1], sides[2], sides[3]))
        size = self._size(window, self.shape(given))
        return Value(self._add(Convolution(w, b, window, groups), [given.node], (len(w), *size)))

    def linear(self, value: Any, weights: ArrayLike, bias: ArrayLike | None) -> Value:
        """Add a linear layer of rows by weights (M, D)."""
        given = self._unpadded(value, "a linear layer")
        channels, height, width = self.shape(given)
        if not given.is_flat and (height, width) != (1, 1):
            raise self.refuse("a linear layer takes flattened planes")
        w = self._finite(weights, "weights")
        if w.ndim != 2 or w.shape[1] != channels * height * width:
            raise self.refuse(
                f"weights of shape {w.shape} do not fit rows of {channels * height * width}"
            )
        if given.channels_last:
            kernel = w.reshape(len(w), height, width, channels).transpose(0, 3, 1, 2)
        else:
            kernel = w.reshape(len(w), channels, height, width)
        b = np.zeros(len(w)) if bias is None else self._finite(bias, "bias")
        made = Convolution(np.ascontiguousarray(kernel), b, Window((height, width)))
        number = self._add(made, [given.node], (len(w), 1, 1))
        self.nodes[number] = replace(self.nodes[number], is_linear=True)
        return Value(number, is_flat=True)

    def affine(self, value: Any, scale: ArrayLike, shift: ArrayLike) -> Value:
        """Scale and shift planes by one number, or by one for each plane."""
        given = self._unpadded(value, "a scale")
        channels, height, width = self.shape(given)
        factors = []
        for name, numbers in (("scale", scale), ("shift", shift)):
            array = self._finite(numbers, name)
            axes = (channels,) if given.is_flat and height * width == 1 else (channels, 1, 1)
            is_one = array.size == 1
            fits = array.shape in (axes, (1, *axes)) and not given.channels_last
            if not (is_one or fits or array.shape == (channels,) == axes):
                raise self.refuse(
                    f"only one number, or one for each of {channels} planes, can be taken as {name}"
                    f", not an array of shape {array.shape}"
                )
            factors.append(np.broadcast_to(array.ravel(), (channels,)).copy())
        made = Affine(factors[0], factors[1])
        return replace(given, node=self._add(made, [given.node], self.shape(given)))

    def norm(self, value: Any, scale: ArrayLike, shift: ArrayLike) -> Value:
        """Scale and shift each plane by its own numbers (C,)."""
        given = self._planes(value, "a batch-norm")
        s, t = self._finite(scale, "scale"), self._finite(shift, "shift")
        if s.shape != (self.shape(given)[0],):
            raise self.refuse(f"{len(s)} scales do not fit {self.shape(given)[0]} planes")
        made = self.affine(given, s[:, None, None], t[:, None, None])
        assert isinstance(value, Value)
        return replace(made, is_flat=value.is_flat)

    def clamp(self, value: Any, low: float, high: float) -> Value:
        """Clamp to limits."""
        given = self._unpadded(value, "a clamp")
        if not low <= high:
            raise self.refuse(f"the limits {low} and {high} of a clamp are not in order")
        ones = np.ones(self.shape(given)[0])
        made = Affine(ones, 0 * ones, low, high)
        return replace(given, node=self._add(made, [given.node], self.shape(given)))

    def max_pool(self, value: Any, window: Window, ceil_mode: bool = False) -> Value:
        """Take the largest number of each window."""
        given = self._planes(self._unpadded(value, "a pool"), "a pool")
        shape = self.shape(given)
        window = rounded_up(window, shape) if ceil_mode else window
        size = self._size(window, shape)
        return Value(self._add(Pool("max", window), [given.node], (shape[0], *size)))

    def average_pool(
        self, value: Any, window: Window, ceil_mode: bool = False, counts_padding: bool = True
    ) -> Value:
        """Take the mean of each window."""
        given = self._planes(self._unpadded(value, "a pool"), "a pool")
        shape = self.shape(given)
        if ceil_mode and rounded_up(window, shape) != window:
            raise self.refuse("means of windows that reach over the padding are not supported")
        if any(window.padding) and not counts_padding:
            raise self.refuse("means that do not count the padding are not supported")
        size = self._size(window, shape)
        return Value(self._add(Pool("average", window), [given.node], (shape[0], *size)))

    def global_average(self, value: Any) -> Value:
        """Take the mean of each plane; planes of 1 × 1 result."""
        given = self._planes(self._unpadded(value, "a pool"), "a pool")
        return self.average_pool(given, Window(self.shape(given)[1:]))

    def sum(self, one: Any, other: Any) -> Value:
        """Add two values of the same shape."""
        a, b = self._unpadded(one, "a sum"), self._unpadded(other, "a sum")
        if self.shape(a) != self.shape(b) or (a.is_flat, a.channels_last) != (
            b.is_flat,
            b.channels_last,
        ):
            raise self.refuse(f"{self._told(a)} and {self._told(b)} cannot be added")
        return replace(a, node=self._add(Sum(), [a.node, b.node], self.shape(a)))

    def join(self, values: Sequence[Any], axis: int) -> Value:
        """Put the planes of values one after another."""
        if axis not in (1, -3):
            raise self.refuse(f"concatenation along axis {axis} is not supported, only along 1")
        parts = [self._unpadded(value, "a concatenation") for value in values]
        first, size = parts[0], self.shape(parts[0])[1:]
        if any(
            (part.is_flat, part.channels_last) != (first.is_flat, False)
            or self.shape(part)[1:] != size
            for part in parts
        ):
            raise self.refuse(f"{', '.join(map(self._told, parts))} cannot be concatenated")
        channels = sum(self.shape(part)[0] for part in parts)
        return replace(
            first, node=self._add(Join(), [part.node for part in parts], (channels, *size))
        )

    def flatten(self, value: Any) -> Value:
        """See planes as rows."""
        return replace(self._unpadded(value, "a flattening"), is_flat=True)

    def unflatten(self, value: Any) -> Value:
        """See rows as the planes that they were, or as planes of 1 × 1."""
        given = self._unpadded(value, "a new shape")
        if given.channels_last:
            raise self.refuse("rows of permuted planes cannot become planes")
        return replace(given, is_flat=False)

    def permute(self, value: Any, axes: Sequence[int]) -> Value:
        """Reorder the axes of planes: to (N, H, W, C), and back."""
        given = self._unpadded(value, "a permutation")
        wanted = (0, 3, 1, 2) if given.channels_last else (0, 2, 3, 1)
        if given.is_flat or tuple(axis % 4 for axis in axes) != wanted:
            raise self.refuse(f"the permutation {tuple(axes)} is not supported")
        return replace(given, channels_last=not given.channels_last)

    def pad(self, value: Any, sides: Sides) -> Value:
        """Put zeros around planes, for the convolution that follows."""
        given = self._planes(value, "padding")
        if min(sides) < 0:
            raise self.refuse("negative padding is not supported")
        both = [a + b for a, b in zip(given.zeros, sides, strict=True)]
        return replace(self.copy(given), zeros=(both[0], both[1], both[2], both[3]))

    def finish(self, value: Any) -> Graph:
        """Return the graph whose output is a value, without nodes that it does not need."""
        if not isinstance(value, Value):
            raise self.refuse("the network must give a single tensor that depends on the images")
        given = self._unpadded(value, "the output")
        if given.channels_last or (given.is_flat and self.shape(given)[1:] != (1, 1)):
            raise self.refuse("planes that are permuted or flattened cannot be the output")
        return Graph(pruned(self.nodes, given.node), given.is_flat)

    def _told(self, value: Value) -> str:
        shape = self.shape(value)
        told = f"rows of {math.prod(shape)}" if value.is_flat else f"planes {shape}"
        return told + " with channels last" * value.channels_last

    def _finite(self, numbers: ArrayLike, name: str) -> NDArray[np.float64]:
        found = np.asarray(numbers, np.float64)
        if not np.isfinite(found).all():
            raise self.refuse(f"{name} must be finite")
        return found


def pruned(nodes: Sequence[Node], output: int) -> tuple[Node, ...]:
    """Return the nodes that an output depends on, the image first and the output last."""
    needed, open_ = {0, output}, [output]
    while open_:
        for taken in nodes[open_.pop()].inputs:
            if taken not in needed:
                needed.add(taken)
                open_.append(taken)
    kept = sorted(needed)
    if kept[-1] != output:
        raise AssertionError("an output stands behind all that it depends on")
    places = {old: new for new, old in enumerate(kept)}
    return tuple(
        replace(nodes[old], inputs=tuple(places[taken] for taken in nodes[old].inputs))
        for old in kept
    )
