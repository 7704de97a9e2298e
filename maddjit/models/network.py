"""`Network`: layers over int8 planes, as frozen records; what each computes, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.window import Window


@dataclass(frozen=True)
class Planes:
    """Activations: int8 numbers q in planes, which stand for (q − zero_point) · step.

    Attributes
    ----------
    channels, height, width : int
    step : float
        Rounded to float32.
    zero_point : int
        From −128 to 127. It also stands outside of the planes, where a window reaches over a side.
    """

    channels: int
    height: int
    width: int
    step: float
    zero_point: int


@dataclass(frozen=True, eq=False)
class Quantise:
    """Float32 or uint8 images become planes: ``clip(rint(x · (1/step)) + zero_point)``.

    That is `Epilogue("int8", step=step, zero_point=zero_point)`; uint8 is taken as float32 first.
    """

    dtype: Literal["float32", "uint8"] = "float32"


@dataclass(frozen=True, eq=False)
class LookUp:
    """A convolution by look-ups; its outputs are requantised in integers.

    The bits are those of ``convolve(model, q, epilogue, fill=zero_point of the input)``. Thresholds
    and tables of `model` are about int8 numbers q as they are stored.
    """

    model: ConvolutionModel
    epilogue: Epilogue


@dataclass(frozen=True, eq=False)
class Exact:
    """An exact 8-bit convolution: integer sums of (q − zero_point) · weight, then a scale.

    The result is ``epilogue(float32(sum) * scale + offset)``, product and sum each rounded to
    float32. Sums are below 2²⁴, so that float32 holds them.

    Attributes
    ----------
    weights : (M, C / groups, kh, kw) int8
    scale, offset : (M,) float32
    window : Window
    groups : int
    epilogue : Epilogue
        int8 for planes, float32 for the last layer.
    """

    weights: NDArray[np.int8]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    window: Window
    groups: int
    epilogue: Epilogue


@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest number in each window; −128 stands outside of the planes."""

    window: Window


@dataclass(frozen=True, eq=False)
class AveragePool:
    """The mean of each window, zero points outside of the planes counted in.

    The result is ``rint(float32(sum) * float32(1 / n_taps))``, ties to even.
    """

    window: Window


@dataclass(frozen=True, eq=False)
class Add:
    """The sum of two inputs of the same shape, requantised.

    In float32, each operation rounded: ``rint((a − a₀) * (a_step / step) + (b − b₀) * (b_step /
    step)) + zero_point``, clipped to [`least`, 127]. The ratios of steps are rounded to float32.
    """

    least: int = -128


@dataclass(frozen=True, eq=False)
class Concatenate:
    """The planes of several inputs, which have the same step and zero point, one after another."""


@dataclass(frozen=True, eq=False)
class Dense:
    """A last layer: every number of the planes, in the order of (C, H, W), and exact products.

    The result is ``float32(sum) * scale + offset``, where sums are of (q − zero_point) · weight.

    Attributes
    ----------
    weights : (M, C · H · W) int8
    scale, offset : (M,) float32
    """

    weights: NDArray[np.int8]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]


Layer = Quantise | LookUp | Exact | MaxPool | AveragePool | Add | Concatenate | Dense
"""All kinds of layers."""


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


@dataclass(frozen=True, eq=False)
class Network:
    """A network over planes of int8: its steps in the order in which they are computed.

    The first step is `Quantise`. `maddjit.network_reference.run` is the definition.

    Attributes
    ----------
    steps : tuple of Step
    input_shape : (int, int, int)
        Planes, rows and columns of an image.
    """

    steps: tuple[Step, ...]
    input_shape: tuple[int, int, int]

    def __repr__(self) -> str:
        kinds: dict[str, int] = {}
        for step in self.steps:
            kind = type(step.layer).__name__
            kinds[kind] = kinds.get(kind, 0) + 1
        told = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
        return f"Network({' × '.join(map(str, self.input_shape))}: {told})"
