"""`Network`: layers over int8 planes in the order in which they are computed, checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, get_args

import numpy as np

from maddjit.models.archives import StoredModel, stored
from maddjit.models.layers import (
    Add,
    AveragePool,
    Concatenate,
    Dense,
    Exact,
    Layer,
    LookUp,
    MaxPool,
    Planes,
    Quantise,
    check_sums,
)

__all__ = [
    "Add",
    "AveragePool",
    "Concatenate",
    "Dense",
    "Exact",
    "Layer",
    "LookUp",
    "MaxPool",
    "Network",
    "Planes",
    "Quantise",
    "Step",
]


@stored({"layer": get_args(Layer), "planes": Planes})
@dataclass(frozen=True, eq=False)
class Step:
    """A layer, the values that it takes, and the planes that it gives.

    Attributes
    ----------
    layer : Layer
    inputs : tuple of int
        The numbers of the values that it takes: 0 are the images, i + 1 is what step i gives.
    planes : Planes or None
        What it gives; None for the last step if that gives float32 outputs (N, M).
    name : str
        The name of the layer in the network that it came from.
    """

    layer: Layer
    inputs: tuple[int, ...]
    planes: Planes | None
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(index(number) for number in self.inputs))
        if not isinstance(self.layer, get_args(Layer)):
            raise TypeError(f"a step has a layer of a network, not {type(self.layer).__name__}")
        if self.planes is not None and not isinstance(self.planes, Planes):
            raise TypeError(f"a step gives Planes or None, not {type(self.planes).__name__}")

    @property
    def kind(self) -> str:
        """The name of the layer's kind."""
        return type(self.layer).__name__


@stored({"steps": Step})
@dataclass(frozen=True, eq=False)
class Network(StoredModel):
    """A network over planes of int8: its steps in the order in which they are computed.

    The first step is `Quantise`, and no other. Each value is taken by some later step, except for
    the last one, which is the result. `maddjit.network_reference.run` is the definition.

    Attributes
    ----------
    steps : tuple of Step
    input_shape : (int, int, int)
        Planes, rows and columns of an image.

    Raises
    ------
    ValueError, TypeError
        If a layer does not fit the planes that it takes and gives; the error names the step.
    """

    steps: tuple[Step, ...]
    input_shape: tuple[int, int, int]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", tuple(self.steps))
        object.__setattr__(self, "input_shape", tuple(index(size) for size in self.input_shape))
        if len(self.input_shape) != 3 or min(self.input_shape) < 1:
            raise ValueError(f"images have planes, rows and columns, not {self.input_shape}")
        if not self.steps or not isinstance(self.steps[0].layer, Quantise):
            raise ValueError("the first step of a network is Quantise")
        for number, step in enumerate(self.steps):
            try:
                self._check(number, step)
            except (ValueError, TypeError) as error:
                raise type(error)(f"{self.told(number)}: {error}") from error
        unused = set(range(len(self.steps))) - {i for step in self.steps for i in step.inputs}
        if unused:
            raise ValueError(f"no step takes what {self.told(min(unused) - 1)} gives")

    def told(self, number: int) -> str:
        """Return how messages name a step."""
        step = self.steps[number]
        return f"step {number} ({step.kind}{f' {step.name!r}' if step.name else ''})"

    def planes(self, value: int) -> Planes:
        """Return the planes that are a value; 0 stands for the images and has none.

        Raises
        ------
        ValueError
            If the value is no planes.
        """
        found = self.steps[value - 1].planes if value else None
        if found is None:
            raise ValueError(f"value {value} is no planes of int8")
        return found

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of images."""
        first = self.steps[0].layer
        assert isinstance(first, Quantise)
        return np.dtype(np.uint8 if first.dtype == "uint8" else np.float32)

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The planes, rows and columns of the result for one image, or its outputs."""
        last = self.steps[-1]
        if last.planes is not None:
            return last.planes.shape
        assert isinstance(last.layer, Dense | Exact)
        return (last.layer.n_outputs,)

    @property
    def output_dtype(self) -> np.dtype[Any]:
        """The dtype of the result."""
        return np.dtype(np.float32 if self.steps[-1].planes is None else np.int8)

    def _check(self, number: int, step: Step) -> None:
        """Check one step against the values before it."""
        layer, planes = step.layer, step.planes
        wanted = 2 if isinstance(layer, Add) else 1
        if len(step.inputs) != wanted and not (isinstance(layer, Concatenate) and step.inputs):
            raise ValueError(f"it takes {wanted} inputs, not {len(step.inputs)}")
        if isinstance(layer, Quantise) != (number == 0):
            raise ValueError("Quantise is the first step, and no other")
        least = 0 if number == 0 else 1
        if not all(least <= value <= number for value in step.inputs):
            raise ValueError(f"inputs must be from {least} to {number}, not {step.inputs}")
        if planes is None and number < len(self.steps) - 1:
            raise ValueError("only the last step may give float32 outputs")
        given = [self.planes(value) for value in step.inputs if value]
        shape = self.input_shape if number == 0 else shape_given(layer, given)
        if planes is None:
            if not is_float(layer):
                raise ValueError("it gives planes, so the step must say which")
            if shape[1:] != (1, 1):
                raise ValueError(f"float32 outputs are (N, M), not planes of {shape}")
            return
        if is_float(layer):
            raise ValueError("it gives float32 outputs, so the step has no planes")
        if planes.shape != shape:
            raise ValueError(f"it gives planes of {shape}, not {planes.shape}")
        if isinstance(layer, LookUp | Exact):
            same = (layer.epilogue.step, layer.epilogue.zero_point)
        elif isinstance(layer, MaxPool | AveragePool | Concatenate):
            same = (given[0].step, given[0].zero_point)
        else:
            if any(not 2.0**-64 <= each.step / planes.step <= 2.0**64 for each in given):
                raise ValueError(f"its inputs' steps are too far from {planes.step}")
            return
        if (planes.step, planes.zero_point) != same:
            raise ValueError(
                f"its planes have step and zero point {same}, not "
                f"{(planes.step, planes.zero_point)}"
            )

    def __repr__(self) -> str:
        kinds: dict[str, int] = {}
        for step in self.steps:
            kinds[step.kind] = kinds.get(step.kind, 0) + 1
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return f"Network({' × '.join(map(str, self.input_shape))}: {told})"


def is_float(layer: Layer) -> bool:
    """Tell whether a layer gives float32 outputs instead of planes."""
    return isinstance(layer, Dense) or (
        isinstance(layer, Exact) and layer.epilogue.dtype == "float32"
    )


def shape_given(layer: Layer, given: list[Planes]) -> tuple[int, int, int]:
    """Return the shape of what a layer gives for the planes that it takes.

    Raises
    ------
    ValueError
        If the layer does not take such planes.
    """
    first = given[0]
    if isinstance(layer, LookUp | Exact):
        own = layer.model if isinstance(layer, LookUp) else layer
        if own.n_channels != first.channels:
            raise ValueError(f"it takes {own.n_channels} planes, not {first.channels}")
        if isinstance(layer, Exact):
            check_sums(layer, first)
        return (own.n_outputs, *layer.window.output_size(first.height, first.width))
    if isinstance(layer, MaxPool | AveragePool):
        return (first.channels, *layer.window.output_size(first.height, first.width))
    if isinstance(layer, Dense):
        if layer.weights.shape[1] != first.size:
            raise ValueError(f"it takes {layer.weights.shape[1]} numbers, not {first.size}")
        check_sums(layer, first)
        return (layer.n_outputs, 1, 1)
    if isinstance(layer, Add):
        if first.shape != given[1].shape:
            raise ValueError(f"its inputs differ: {first.shape} and {given[1].shape}")
        return first.shape
    for other in given[1:]:
        if other.shape[1:] != first.shape[1:] or (other.step, other.zero_point) != (
            first.step,
            first.zero_point,
        ):
            raise ValueError(f"its inputs differ in size, step or zero point: {first}, {other}")
    return (sum(each.channels for each in given), *first.shape[1:])
