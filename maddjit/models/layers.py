"""Layers over planes of int8, as frozen records; what each computes, in whole numbers."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.archives import stored
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.records import fields_of, frozen_array, made_again
from maddjit.models.requantising import Requantising
from maddjit.models.window import Window

SUM_LIMIT = 2**24
"""Sums of exact layers are smaller, so that float32 holds them."""


@stored()
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

    Raises
    ------
    ValueError
        If a size is below 1, or step or zero point do not fit int8 results.
    TypeError
        If a size or the zero point is not a whole number.
    """

    channels: int
    height: int
    width: int
    step: float
    zero_point: int

    def __post_init__(self) -> None:
        for name in ("channels", "height", "width"):
            object.__setattr__(self, name, index(getattr(self, name)))
            if getattr(self, name) < 1:
                raise ValueError(f"planes of shape {self.shape}: {name} must be 1 or more")
        checked = Epilogue("int8", step=self.step, zero_point=self.zero_point)
        object.__setattr__(self, "step", checked.step)
        object.__setattr__(self, "zero_point", checked.zero_point)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Planes, rows and columns."""
        return self.channels, self.height, self.width

    @property
    def size(self) -> int:
        """How many numbers there are for each image."""
        return self.channels * self.height * self.width

    @property
    def most(self) -> int:
        """The largest distance of a number from the zero point."""
        return max(127 - self.zero_point, self.zero_point + 128)


@stored()
@dataclass(frozen=True, eq=False)
class Quantise:
    """Float32 or uint8 images become planes: ``clip(rint(x · (1/step)) + zero_point)``.

    That is ``Epilogue("int8", step=step, zero_point=zero_point)`` of the planes' step and zero
    point; uint8 is taken as float32 first. NaN becomes 127.
    """

    dtype: Literal["float32", "uint8"] = "float32"

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "uint8"):
            raise ValueError(f'images are "float32" or "uint8", not {self.dtype!r}')


@stored({"model": ConvolutionModel, "epilogue": Epilogue})
@dataclass(frozen=True, eq=False)
class LookUp:
    """A convolution by look-ups; its outputs are requantised in integers.

    The bits are those of ``convolve(model, q, epilogue, fill=zero_point of the input)``. Thresholds
    and tables of `model` are about int8 numbers q as they are stored. The epilogue's step and zero
    point are those of the planes that the layer gives.
    """

    model: ConvolutionModel
    epilogue: Epilogue

    def __post_init__(self) -> None:
        if not isinstance(self.model, ConvolutionModel):
            raise TypeError(f"model must be a ConvolutionModel, not {type(self.model).__name__}")
        if self.epilogue.dtype != "int8" or self.epilogue.arithmetic != "integer":
            raise ValueError(
                'look-ups in a network end with Epilogue("int8", …, arithmetic="integer"), not '
                f"{self.epilogue}"
            )
        for product in self.model.products:
            Requantising.of(product, self.epilogue)

    @property
    def window(self) -> Window:
        """What the convolution sees of its input."""
        return self.model.window


@stored({"window": Window, "epilogue": Epilogue})
@dataclass(frozen=True, eq=False)
class Exact:
    """An exact 8-bit convolution: integer sums of (q − zero_point) · weight, then a scale.

    The result is ``epilogue(float32(sum) * scale + offset)``, product and sum each rounded to
    float32. Sums are below 2²⁴, so that float32 holds them: 2²⁴ exceeds the sum of an output's
    absolute weights times the largest distance of an input from its zero point.

    Attributes
    ----------
    weights : (M, C / groups, kh, kw) int8
    scale, offset : (M,) float32
    window : Window
    groups : int
        Output m sees the planes of group m // (M / groups).
    epilogue : Epilogue
        int8 for planes, whose step and zero point it has. It is float32 for a last layer whose
        planes have one number each.
    """

    weights: NDArray[np.int8]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    window: Window
    groups: int
    epilogue: Epilogue

    def __post_init__(self) -> None:
        shape = np.shape(self.weights)
        if len(shape) != 4 or 0 in shape or shape[2:] != self.window.kernel:
            raise ValueError(
                f"weights must have shape (M, C / groups, kh, kw) for {self.window}, not {shape}"
            )
        object.__setattr__(self, "groups", index(self.groups))
        if self.groups < 1 or shape[0] % self.groups:
            raise ValueError(f"{shape[0]} outputs are not {self.groups} groups of the same size")
        if self.epilogue.dtype not in ("int8", "float32") or self.epilogue.arithmetic != "float":
            raise ValueError(f"exact layers end in int8 planes or float32, not {self.epilogue}")
        _freeze_weights(self, shape)

    @property
    def n_outputs(self) -> int:
        """The number of output planes, M."""
        return len(self.weights)

    @property
    def n_channels(self) -> int:
        """The number of input planes."""
        return self.groups * int(self.weights.shape[1])

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (Exact, fields_of(self))


@stored({"window": Window})
@dataclass(frozen=True, eq=False)
class MaxPool:
    """The largest number in each window; −128 stands outside of the planes."""

    window: Window


@stored({"window": Window})
@dataclass(frozen=True, eq=False)
class AveragePool:
    """The mean of each window, zero points outside of the planes counted in.

    The result is ``rint(float32(sum) * float32(1 / n_taps))``, ties to even.
    """

    window: Window

    def __post_init__(self) -> None:
        if self.window.n_taps * 128 >= SUM_LIMIT:
            raise ValueError(f"{self.window} has too many entries for an average")


@stored()
@dataclass(frozen=True, eq=False)
class Add:
    """The sum of two inputs of the same shape, requantised.

    In float32, each operation rounded: ``rint((a − a₀) * (a_step / step) + (b − b₀) * (b_step /
    step)) + zero_point``, clipped to [`least`, `most`]. The ratios of steps are rounded to float32;
    they are from 2⁻⁶⁴ to 2⁶⁴.
    """

    least: int = -128
    most: int = 127

    def __post_init__(self) -> None:
        object.__setattr__(self, "least", index(self.least))
        object.__setattr__(self, "most", index(self.most))
        if not -128 <= self.least <= self.most <= 127:
            raise ValueError(
                "least and most must be in order and from -128 to 127, not "
                f"{self.least} and {self.most}"
            )


@stored()
@dataclass(frozen=True, eq=False)
class Concatenate:
    """The planes of several inputs, which have the same step and zero point, one after another."""


@stored()
@dataclass(frozen=True, eq=False)
class Dense:
    """A last layer: every number of the planes, in the order of (C, H, W), and exact products.

    The result is ``float32(sum) * scale + offset``, where sums are of (q − zero_point) · weight,
    and below 2²⁴ as those of `Exact`.

    Attributes
    ----------
    weights : (M, C · H · W) int8
    scale, offset : (M,) float32
    """

    weights: NDArray[np.int8]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]

    def __post_init__(self) -> None:
        shape = np.shape(self.weights)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"weights must have shape (M, C · H · W), not {shape}")
        _freeze_weights(self, shape)

    @property
    def n_outputs(self) -> int:
        """The number of outputs, M."""
        return len(self.weights)

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (Dense, fields_of(self))


Layer = Quantise | LookUp | Exact | MaxPool | AveragePool | Add | Concatenate | Dense
"""All kinds of layers."""


def check_sums(layer: Exact | Dense, given: Planes) -> None:
    """Check that float32 holds every sum of an exact layer for these inputs.

    Raises
    ------
    ValueError
        If a sum can reach 2²⁴.
    """
    absolute = np.abs(layer.weights.astype(np.int64)).reshape(layer.n_outputs, -1).sum(axis=1)
    most = int(absolute.max()) * given.most
    if most >= SUM_LIMIT:
        raise ValueError(
            f"sums reach {most}, and must be below {SUM_LIMIT}: the layer has too many weights of "
            "this size"
        )


def _freeze_weights(layer: Exact | Dense, shape: tuple[int, ...]) -> None:
    for name, dtype, wanted in (
        ("weights", np.int8, shape),
        ("scale", np.float32, shape[:1]),
        ("offset", np.float32, shape[:1]),
    ):
        array = frozen_array(name, getattr(layer, name), dtype, wanted)
        if not np.isfinite(array).all():
            raise ValueError(f"{name} must be finite")
        object.__setattr__(layer, name, array)
