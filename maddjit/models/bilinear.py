"""`BilinearScheme`: how tiles are multiplied with few multiplications, as a frozen record."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from operator import index
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.records import fields_of, frozen_array, made_again
from maddjit.models.scheme_files import read_factors
from maddjit.models.tensors import product_tensor, squared_norms, tensor, whole_numbers

_EXACT_IN_FLOAT64 = 2**53
"""Whole numbers below this are exact in float64."""


@dataclass(frozen=True, eq=False)
class BilinearScheme:
    """A scheme that multiplies tiles n × d and d × m with r multiplications, exactly or nearly so.

    ``vec(Y) = decode @ ((encode_a @ vec(X)) * (encode_b @ vec(W)))`` for Y ≈ X W, where vec takes a
    matrix row by row. Entries may be matrices themselves, as in Strassen's algorithm. All arrays
    are copied and made read-only.

    Attributes
    ----------
    name : str
        What messages and reports call the scheme.
    shape : (int, int, int)
        (n, d, m).
    encode_a : (r, n·d) float32
        Column i·d + k belongs to X[i, k].
    encode_b : (r, d·m) float32
        Column k·m + j belongs to W[k, j].
    decode : (n·m, r) float32
        Row i·m + j belongs to Y[i, j].

    Raises
    ------
    ValueError, TypeError
        If a size is not a whole number above 0, or an array has another shape or holds numbers that
        are not finite.

    Examples
    --------
    >>> from maddjit.schemes import kronecker, plain, strassen
    >>> strassen()
    BilinearScheme('strassen', 2 × 2 × 2, rank=7, exact, amplification=2)
    >>> kronecker(strassen(), plain(1, 3, 2)).shape
    (2, 6, 4)
    """

    name: str
    shape: tuple[int, int, int]
    encode_a: NDArray[np.float32]
    encode_b: NDArray[np.float32]
    decode: NDArray[np.float32]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name must be a string, not {type(self.name).__name__}")
        shape = tuple(index(size) for size in self.shape)
        if len(shape) != 3 or min(shape) < 1:
            raise ValueError(f"shape must be three sizes (n, d, m) above 0, not {self.shape}")
        object.__setattr__(self, "shape", shape)
        n, d, m = shape
        rank = len(np.atleast_1d(self.encode_a))
        if rank < 1:
            raise ValueError("a scheme must have one multiplication or more")
        for name, wanted in (
            ("encode_a", (rank, n * d)),
            ("encode_b", (rank, d * m)),
            ("decode", (n * m, rank)),
        ):
            array = frozen_array(name, getattr(self, name), np.float32, wanted)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite")
            object.__setattr__(self, name, array)

    @property
    def rank(self) -> int:
        """The number of multiplications, r."""
        return len(self.encode_a)

    @property
    def saving(self) -> float:
        """The factor by which r is smaller than the plain product's n·d·m multiplications."""
        n, d, m = self.shape
        return n * d * m / self.rank

    @cached_property
    def is_exact(self) -> bool:
        """Whether the scheme gives the exact product of all tiles; decided without rounding errors.

        Σ_ρ encode_a[ρ, (i, k)] encode_b[ρ, (k', j)] decode[(i', j'), ρ] = [i = i'][k = k'][j = j'].
        """
        factors = self.encode_a, self.encode_b, self.decode.T
        wide = [factor.astype(np.float64) for factor in factors]
        difference = np.abs(tensor(*wide) - product_tensor(self.shape))
        magnitude = tensor(*(np.abs(factor) for factor in wide)) + 1
        if (difference > (self.rank + 4) * 2.0**-52 * magnitude).any():
            return False
        whole, shifts = zip(*(whole_numbers(factor) for factor in factors), strict=True)
        largest = self.rank * float(np.prod([abs(w).max() for w in whole], dtype=np.float64))
        kind: Any = np.float64 if largest < _EXACT_IN_FLOAT64 else object
        wanted = product_tensor(self.shape).astype(int).astype(kind) * 2 ** sum(shifts)
        return bool((tensor(*(w.astype(kind) for w in whole)) == wanted).all())

    @cached_property
    def error(self) -> float:
        """The relative squared error on white data, ‖T − T̂‖² / ‖T‖² for the product's tensor T."""
        factors = self.encode_a, self.encode_b, self.decode.T
        wanted = product_tensor(self.shape)
        difference = tensor(*(factor.astype(np.float64) for factor in factors)) - wanted
        return float((difference**2).sum() / (wanted**2).sum())

    @cached_property
    def squared_norms(self) -> NDArray[np.float64]:
        """The (r,) squared norms ‖a_ρ‖² ‖b_ρ‖² ‖c_ρ‖² of what each product adds to the tensor.

        a_ρ and b_ρ are the encoders' rows, c_ρ is the decoder's column. Their sum is as much larger
        than ‖T̂‖² as products cancel each other.
        """
        return squared_norms(self.encode_a, self.encode_b, self.decode.T)

    @property
    def amplification(self) -> float:
        """How much more rounding of the products matters than in the plain scheme.

        √(Σ_ρ ‖a_ρ‖² ‖b_ρ‖² ‖c_ρ‖² / ‖T‖²), for ‖T‖² = n·d·m: 1 for the plain scheme, 2 for
        Strassen's. If A and B are white and the encoded numbers are rounded with a relative error
        of root mean square ε, the outputs' relative error is about ε times the amplification.
        """
        return float(np.sqrt(self.squared_norms.sum() / np.prod(self.shape)))

    @classmethod
    def read(
        cls,
        *paths: str | PathLike[str],
        name: str | None = None,
        shape: tuple[int, int, int] | None = None,
    ) -> BilinearScheme:
        """Read an exact scheme from files of a public collection, and check that it is exact.

        Formats are plinopt's triples of sparse matrices, ``…_L.sms``, ``…_R.sms`` and ``…_P.sms``,
        and JSON with factors "u", "v" and "w" of rows or columns for each multiplication. Outputs
        may be written row by row or column by column. The identity is checked in rational numbers.

        Sizes and signs of products are moved into `encode_b`, which is computed ahead, so that most
        numbers in the other factors are ±1. Of numbers that float32 does not have, such as 1/3, the
        scheme holds rounded ones, and `is_exact` is then False.

        Parameters
        ----------
        *paths : path-like
            A JSON file, a triple's first file (the others lie beside it), or its three files.
        name : str, optional
            What to call the scheme. By default the file's name without its ending.
        shape : (int, int, int), optional
            (n, d, m). By default it follows from the factors.

        Raises
        ------
        ValueError
            If a file is not as its format says, or the scheme does not multiply matrices exactly.
            The message names the file, and the line or the entry.
        OSError
            If a file cannot be read.

        Examples
        --------
        >>> BilinearScheme.read("4x4x4_48_L.sms")  # doctest: +SKIP
        BilinearScheme('4x4x4_48', 4 × 4 × 4, rank=48, exact, amplification=2.83)
        """
        files = [Path(path) for path in paths]
        if shape is not None and len(shape) != 3:
            raise ValueError(f"shape must be three sizes (n, d, m), not {shape}")
        found, factors = read_factors(files, shape)
        try:
            a, b, c = (np.asarray(factor, np.float32) for factor in factors)
        except OverflowError:
            raise ValueError(f"{files[0]}: a number is beyond the range of float32") from None
        if name is None:
            name = re.sub("_L$", "", files[0].stem)
        return cls(name, found, a, b, c.T)

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (BilinearScheme, fields_of(self))

    def __repr__(self) -> str:
        n, d, m = self.shape
        error = "exact" if self.is_exact else f"error={self.error:.3g}"
        error += f", amplification={self.amplification:.3g}"
        return f"BilinearScheme({self.name!r}, {n} × {d} × {m}, rank={self.rank}, {error})"
