"""`HashTrees` and `AdditiveCodes`: the records that say how a row of A becomes codes."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.models.archives import stored
from maddjit.models.records import fields_of, frozen_array, made_again

MAX_PROTOTYPES = 256
"""Codes of a codebook, at most: a code is one byte."""

MAX_FEATURES = 2**31 - 1
"""Columns of A, at most: split columns are stored in 32 bits."""

MAX_SHIFT = 31
"""Bits that are shifted out of a projection, at most."""

MOST_BYTE = 255
"""The largest element of a row, and of its directions, in bytes."""

MOST_WEIGHT = 127
"""The largest size of a weight: a byte also holds its negative."""

MOST_SUM = 2**31 - 1
"""The largest sum that 32 bits hold."""


def tree_depth(n_prototypes: int) -> int:
    """Return the depth T of a tree with K = 2ᵀ leaves.

    Raises
    ------
    ValueError
        If `n_prototypes` is not a power of two from 2 to 256.
    """
    if not 2 <= n_prototypes <= MAX_PROTOTYPES or n_prototypes & (n_prototypes - 1):
        raise ValueError(f"n_prototypes must be a power of two from 2 to 256, not {n_prototypes}")
    return n_prototypes.bit_length() - 1


def _n_features(value: object) -> int:
    n_features = index(value)  # type: ignore[arg-type]
    if n_features > MAX_FEATURES:
        raise ValueError(f"n_features must be at most {MAX_FEATURES}, not {n_features}")
    return n_features


@stored()
@dataclass(frozen=True, eq=False)
class HashTrees:
    """One tree of comparisons for each codebook (section 4.1 of the paper).

    Attributes
    ----------
    split_dims : (C, T) int32
        The column of A that level t of tree c compares (the paper's jᵗ).
    thresholds : (C, K − 1) float32
        Node i of level t stands at 2ᵗ − 1 + i. A row goes right when a ≥ threshold. ±inf is legal
        and sends every (finite) row to one side; NaN is refused.
    n_features : int
        D, the number of columns of A.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above.
    """

    split_dims: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    n_features: int

    def __post_init__(self) -> None:
        shape = np.shape(self.thresholds)
        if len(shape) != 2 or 0 in shape or shape[1] & (shape[1] + 1):
            raise ValueError(
                "thresholds must have shape (C, K − 1), C not 0 and K a power of two from 2 to "
                f"256, not {shape}"
            )
        depth = tree_depth(shape[1] + 1)
        for name, dtype, wanted in (
            ("split_dims", np.int32, (shape[0], depth)),
            ("thresholds", np.float32, shape),
        ):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, wanted))
        object.__setattr__(self, "n_features", _n_features(self.n_features))
        if self.split_dims.min() < 0 or self.split_dims.max() >= self.n_features:
            raise ValueError(f"split_dims must lie in 0 … n_features − 1 = {self.n_features - 1}")
        if np.isnan(self.thresholds).any():
            raise ValueError("thresholds must not be NaN")

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (HashTrees, fields_of(self))

    @property
    def n_codebooks(self) -> int:
        """The number of codebooks, C."""
        return len(self.thresholds)

    @property
    def n_prototypes(self) -> int:
        """The number of leaves of each tree, K."""
        return int(self.thresholds.shape[1]) + 1

    @property
    def depth(self) -> int:
        """The number of levels of each tree, T."""
        return int(self.split_dims.shape[1])


def _check_weights(name: str, weights: NDArray[np.int8]) -> None:
    if weights.min() < -MOST_WEIGHT:
        raise ValueError(f"{name} must be from {-MOST_WEIGHT} to {MOST_WEIGHT}")


def _check_shifts(shifts: NDArray[np.int32]) -> None:
    if shifts.min() < 0 or shifts.max() > MAX_SHIFT:
        raise ValueError(f"shifts must be from 0 to {MAX_SHIFT}")


@stored()
@dataclass(frozen=True, eq=False)
class Projection:
    """How the bytes q of a row become r directions u, bytes as well.

    ``u = (q · matrix + added) >> shifts``, clipped to 0 … 255.

    Attributes
    ----------
    matrix : (D, r) int8
        Weights from −127 to 127.
    added : (r,) int32
    shifts : (r,) int32
        From 0 to 31.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above, or a sum could exceed 32 bits.
    """

    matrix: NDArray[np.int8]
    added: NDArray[np.int32]
    shifts: NDArray[np.int32]

    def __post_init__(self) -> None:
        shape = np.shape(self.matrix)
        if len(shape) != 2 or 0 in shape:
            raise ValueError(f"matrix must have shape (D, r), none of them 0, not {shape}")
        for name, dtype, wanted in (
            ("matrix", np.int8, shape),
            ("added", np.int32, shape[1:]),
            ("shifts", np.int32, shape[1:]),
        ):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, wanted))
        _check_weights("matrix", self.matrix)
        _check_shifts(self.shifts)
        reach = MOST_BYTE * np.abs(self.matrix.astype(np.int64)).sum(axis=0)
        if (reach + np.abs(self.added.astype(np.int64))).max() > MOST_SUM:
            raise ValueError("a projection could exceed 32 bits")

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (Projection, fields_of(self))


@stored({"projection": Projection})
@dataclass(frozen=True, eq=False)
class AdditiveCodes:
    """Prototypes over all directions, chosen one codebook after another for what is left of a row.

    All arithmetic behind the first rounding is in integers, so that every order gives the same
    bits. `maddjit.reference.encode` says what is computed. Sizes: D columns of A, r directions,
    C codebooks of K prototypes.

    Attributes
    ----------
    row_scale, row_offset : (D,) float32
        An element a becomes the byte q = a · scale + offset, in two float32 roundings, then rounded
        to the nearest whole number (half to even) and clipped to 0 … 255. NaN becomes 0.
    projection : Projection, optional
        How bytes become directions u. Without it they are the directions, and r = D.
    prototypes : (C, K, r) int8
        Weights from −127 to 127. A code's score begins as ``(norm − u · prototype) >> shift``,
        clipped to 16 bits.
    norms : (C, K) int32
    shifts : (C,) int32
        The shift of each codebook, from 0 to 31.
    gram : (C, K, C, K) int16
        What a chosen code, the first two axes, adds to the scores of later codebooks, the last two.
        Every sum is clipped to 16 bits, too. It is 0 for the same codebook and for earlier ones.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above, a number is not finite, or a sum could
        exceed 32 bits.
    """

    row_scale: NDArray[np.float32]
    row_offset: NDArray[np.float32]
    projection: Projection | None
    prototypes: NDArray[np.int8]
    norms: NDArray[np.int32]
    shifts: NDArray[np.int32]
    gram: NDArray[np.int16]

    def __post_init__(self) -> None:
        shape = np.shape(self.prototypes)
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"prototypes must have shape (C, K, r), none of them 0, not {shape}")
        tree_depth(shape[1])
        n_features = _n_features(len(self.row_scale))
        directed = n_features, shape[2]
        if self.projection is not None:
            if not isinstance(self.projection, Projection):
                kind = type(self.projection).__name__
                raise TypeError(f"projection must be a Projection, not {kind}")
            directed = self.projection.matrix.shape
        elif directed[0] != directed[1]:
            raise ValueError(f"without a projection r must be D = {n_features}, not {shape[2]}")
        if directed != (n_features, shape[2]):
            raise ValueError(f"the matrix must have shape {(n_features, shape[2])}, not {directed}")
        for name, dtype, wanted in (
            ("row_scale", np.float32, (n_features,)),
            ("row_offset", np.float32, (n_features,)),
            ("prototypes", np.int8, shape),
            ("norms", np.int32, shape[:2]),
            ("shifts", np.int32, shape[:1]),
            ("gram", np.int16, shape[:2] + shape[:2]),
        ):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, wanted))
        if not (np.isfinite(self.row_scale).all() and np.isfinite(self.row_offset).all()):
            raise ValueError("row_scale and row_offset must be finite")
        _check_weights("prototypes", self.prototypes)
        _check_shifts(self.shifts)
        if np.tril(self.gram.any(axis=(1, 3))).any():
            raise ValueError("gram must be 0 for the same codebook and for earlier ones")
        reach = MOST_BYTE * np.abs(self.prototypes.astype(np.int64)).sum(axis=2)
        reach += np.abs(self.norms.astype(np.int64))
        if reach.max() > MOST_SUM:
            raise ValueError("a score could exceed 32 bits")

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (AdditiveCodes, fields_of(self))

    @property
    def n_features(self) -> int:
        """The number of columns of A, D."""
        return len(self.row_scale)

    @property
    def n_codebooks(self) -> int:
        """The number of codebooks, C."""
        return len(self.prototypes)

    @property
    def n_prototypes(self) -> int:
        """The number of prototypes of each codebook, K."""
        return int(self.prototypes.shape[1])

    @property
    def rank(self) -> int:
        """The number of directions, r."""
        return int(self.prototypes.shape[2])


Encoder = HashTrees | AdditiveCodes
