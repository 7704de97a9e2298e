"""Requantising: integer sums become int8 or uint8 results without floating point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.maddness import MaddnessModel

FRACTION_BITS = 15
"""Bits behind the point of a multiplier: some instructions keep the upper half of products."""

MOST_SHIFT = 6
"""Fractional bits that a result may keep until its addend is added: more would not fit 16 bits."""


@dataclass(frozen=True, eq=False)
class Requantising:
    """The integers by which the sums of a model become its int8 or uint8 results.

    The result of a sum s is ``clip((((s * multiplier + 2**14) >> 15) + addend) >> shift, least,
    most)`` with whole numbers of any size. Sums have 16 bits at most. All that is added and
    multiplied fits instructions for 16 bits, if their additions saturate: `multiplier` is from 0 to
    32767, and both `addend` and, where sums exceed 32767, `addend` + `multiplier` fit int16.

    Attributes
    ----------
    multiplier, addend : (M,) int32
    shift : int
        Fractional bits that are dropped in the end. Half a result is part of `addend`.
    least, most : int
        The limits of the epilogue, in units of the results.
    dtype : dtype
        int8 or uint8.
    is_centred : bool
        Whether sums may exceed 32767.
    """

    multiplier: NDArray[np.int32]
    addend: NDArray[np.int32]
    shift: int
    least: int
    most: int
    dtype: np.dtype[Any]
    is_centred: bool

    @classmethod
    def of(cls, model: MaddnessModel, epilogue: Epilogue) -> Requantising:
        """Return how the sums of a model end.

        Raises
        ------
        ValueError
            If the epilogue is not one of integers, the model has an exact core, sums of more than
            16 bits or a negative scale, or its outputs are too large for the epilogue's step.
        """
        if epilogue.arithmetic != "integer":
            raise ValueError('the epilogue must have arithmetic="integer"')
        if model.core is not None:
            raise ValueError("outputs with an exact core are not found in integers")
        if (model.scale < 0).any():
            raise ValueError("outputs of a negative scale are not found in integers")
        largest = int(model.tables.max(axis=1).sum(axis=0, dtype=np.int64).max())
        if largest >= 2**16:
            raise ValueError(f"sums reach {largest}: in integers they must be below 65536")
        is_centred = largest >= 2**15
        step = float(epilogue.step)
        for shift in reversed(range(MOST_SHIFT + 1)):
            unit = 2.0**shift
            multiplier = np.rint(model.scale.astype(np.float64) / step * unit * 2**FRACTION_BITS)
            addend = np.rint(
                (model.offset.astype(np.float64) / step + epilogue.zero_point) * unit
            ) + (2 ** (shift - 1) if shift else 0)
            upper = addend + multiplier if is_centred else addend
            if max(multiplier.max(), upper.max(), addend.max()) <= 32767 and addend.min() >= -32768:
                break
        else:
            raise ValueError(
                f"outputs are too large for steps of {step}: they need more than 16 bits"
            )
        limits = np.iinfo(epilogue.dtype)
        least, most = (
            int(np.clip(np.rint(limit / step) + epilogue.zero_point, limits.min, limits.max))
            for limit in (epilogue.low, epilogue.high)
        )
        return cls(
            multiplier.astype(np.int32),
            addend.astype(np.int32),
            shift,
            least,
            most,
            np.dtype(epilogue.dtype),
            is_centred,
        )

    def __call__(self, sums: NDArray[np.int32]) -> NDArray[Any]:
        """Return the results of sums (…, M); this is the definition."""
        half = 1 << (FRACTION_BITS - 1)
        products = (sums.astype(np.int64) * self.multiplier + half) >> FRACTION_BITS
        results = (products + self.addend) >> self.shift
        whole: NDArray[Any] = np.clip(results, self.least, self.most).astype(self.dtype)
        return whole
