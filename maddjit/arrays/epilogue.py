"""The epilogue: what happens to an output after scale and offset, clamping and conversion."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import OUTPUTS, float32_to_bfloat16

Arithmetic = Literal["float", "integer"]
"""How int8 and uint8 results are found: from outputs in float32, or from sums, in integers."""


@dataclass(frozen=True)
class Epilogue:
    """Clamping and conversion of outputs, compiled into the kernel.

    An output y is clamped to [low, high] and then converted: to floating point by rounding to
    nearest even, to int8 and uint8 as ``clip(rint(y · (1/step)) + zero_point)`` in float32. NaN,
    which only an exact core can give, is clamped to `low`, or to `high` if there is no `low`. If
    there is neither, it stays NaN, or becomes the largest int8 or uint8.

    Attributes
    ----------
    dtype : {"float32", "float64", "float16", "bfloat16", "int8", "uint8"}
        The dtype of the results; bfloat16 results are uint16 arrays of their bits.
    low, high : float
        The limits, rounded to float32. ``Epilogue(low=0)`` is a ReLU.
    step : float
        What one unit of an int8 or uint8 result stands for.
    zero_point : int
        The int8 or uint8 result that stands for 0.
    arithmetic : {"float", "integer"}
        "integer" multiplies and shifts the integer sums of a `MaddnessModel` instead, which is
        faster where results lie by columns. `maddjit.models.requantising.Requantising` is the
        definition.

    Raises
    ------
    ValueError
        If the dtype is unknown, low > high, or step or zero point do not fit.
    TypeError
        If the zero point is not a whole number.
    """

    dtype: str = "float32"
    low: float = -np.inf
    high: float = np.inf
    step: float = 1.0
    zero_point: int = 0
    arithmetic: Arithmetic = "float"

    def __post_init__(self) -> None:
        if self.dtype not in OUTPUTS:
            raise ValueError(f"dtype must be one of {', '.join(OUTPUTS)}, not {self.dtype!r}")
        for name in ("low", "high", "step"):
            object.__setattr__(self, name, float(np.float32(getattr(self, name))))
        if not self.low <= self.high:
            raise ValueError(f"low must not exceed high, but {self.low} and {self.high} were given")
        with np.errstate(over="ignore", divide="ignore"):
            units = np.float32(1) / np.float32(self.step)
        if not (0 < self.step < np.inf and np.isfinite(units)):
            raise ValueError(f"step must be positive and finite, not {self.step}")
        if isinstance(self.zero_point, bool | np.bool_ | float | np.floating):
            raise TypeError(f"zero_point must be a whole number, not {self.zero_point!r}")
        object.__setattr__(self, "zero_point", index(self.zero_point))
        if self.is_integer:
            limits = np.iinfo(self.dtype)
            if not limits.min <= self.zero_point <= limits.max:
                raise ValueError(f"zero_point must fit {self.dtype}, not {self.zero_point}")
        elif self.step != 1 or self.zero_point != 0:
            raise ValueError("step and zero_point are for int8 and uint8 results")
        if self.arithmetic not in get_args(Arithmetic):
            raise ValueError(f'arithmetic must be "float" or "integer", not {self.arithmetic!r}')
        if self.arithmetic == "integer" and not self.is_integer:
            raise ValueError(f"integers make int8 and uint8 results, not {self.dtype}")

    @property
    def is_integer(self) -> bool:
        """Whether results are whole numbers, int8 or uint8."""
        return OUTPUTS[self.dtype].dtype.kind in "iu" and self.dtype != "bfloat16"

    def __call__(self, y: NDArray[np.float32]) -> NDArray[Any]:
        """Return what a compiled operator stores for the outputs y; this is the definition.

        Raises
        ------
        ValueError
            If arithmetic is "integer": then `maddjit.reference.apply` makes results of sums.
        """
        if self.arithmetic == "integer":
            raise ValueError(
                'an epilogue with arithmetic="integer" takes sums, not outputs: '
                "maddjit.reference.apply computes it"
            )
        if self.low > -np.inf:
            y = np.where(y > np.float32(self.low), y, np.float32(self.low))
        if self.high < np.inf:
            y = np.where(y < np.float32(self.high), y, np.float32(self.high))
        if self.dtype == "bfloat16":
            return float32_to_bfloat16(y)
        if self.is_integer:
            limits = np.iinfo(self.dtype)
            with np.errstate(over="ignore"):
                units = np.rint(y * (np.float32(1) / np.float32(self.step)))
            units = np.where(np.isnan(units), np.float32(np.inf), units)
            units = np.clip(units, limits.min - self.zero_point, limits.max - self.zero_point)
            whole: NDArray[Any] = (units.astype(np.int32) + self.zero_point).astype(self.dtype)
            return whole
        with np.errstate(over="ignore"):
            converted: NDArray[Any] = y.astype(self.dtype)
        return converted

    @property
    def words(self) -> str:
        """What happens to outputs, in words; empty if nothing does.

        >>> Epilogue("uint8", low=0, step=0.05, zero_point=3).words
        'clamped to 0.0 or more, stored as uint8 in steps of 0.05 with zero point 3'
        """
        low, high = (str(np.float32(limit)) for limit in (self.low, self.high))
        told = []
        if self.low > -np.inf and self.high < np.inf:
            told.append(f"clamped to [{low}, {high}]")
        elif self.low > -np.inf:
            told.append(f"clamped to {low} or more")
        elif self.high < np.inf:
            told.append(f"clamped to {high} or less")
        if self.is_integer:
            step = str(np.float32(self.step))
            told.append(
                f"stored as {self.dtype} in steps of {step} with zero point {self.zero_point}"
                + ", in integers" * (self.arithmetic == "integer")
            )
        elif self.dtype != "float32":
            told.append(f"stored as {self.dtype}")
        return ", ".join(told)
