"""Cache lines, and the named regions that a kernel's workspace is divided into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

LINE = 64
"""Bytes of a cache line."""


def lines(size: int) -> int:
    """Return `size` bytes rounded up to whole cache lines, in bytes.

    >>> lines(1), lines(64), lines(65)
    (64, 64, 128)
    """
    return -(-size // LINE) * LINE


def odd_lines(size: int) -> int:
    """Return the smallest odd number of cache lines that is longer than `size` bytes, in bytes.

    Arrays that are read side by side are placed this far apart. Distances that are powers of two
    would make them share the same few sets of a cache.

    >>> odd_lines(100), odd_lines(128), odd_lines(192)
    (192, 192, 320)
    """
    return LINE * ((size // LINE + 1) | 1)


def aligned_zeros(size: int, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of `size` zeros whose first element begins a cache line.

    >>> array = aligned_zeros(10, "<f4")
    >>> array.shape, array.ctypes.data % LINE
    ((10,), 0)
    """
    kind = np.dtype(dtype)
    memory = np.zeros(size + LINE // kind.itemsize, kind)
    first = -memory.__array_interface__["data"][0] % LINE // kind.itemsize
    return memory[first:][:size]


@dataclass(frozen=True)
class Region:
    """One named part of a workspace: where it begins and how long it is, in bytes."""

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Workspace:
    """The memory that a kernel works in during one call, divided into named regions.

    Every region begins at a cache line of the workspace, and regions follow each other in the order
    in which they are added. Callers let the workspace itself begin a cache line. Then vectors that
    a kernel keeps there do not cross lines without need, and no two regions share one. Results do
    not depend on it. ``workspace["codes"]`` is the offset of the region "codes"; in a template,
    ``workspace.codes`` is the same.

    >>> workspace = Workspace().add(codes=100, best=8).add(tail=4)
    >>> workspace["codes"], workspace["best"], workspace["tail"]
    (0, 128, 192)
    >>> workspace.n_bytes, workspace.end
    (196, 256)
    """

    regions: tuple[Region, ...] = ()

    def add(self, **sizes: int) -> Workspace:
        """Return this workspace with more regions behind its own, of these sizes in bytes.

        Raises
        ------
        ValueError
            If there is a region of that name, or a size is negative.
        """
        regions = list(self.regions)
        for name, size in sizes.items():
            if name in self:
                raise ValueError(f"the workspace already has a region {name!r}")
            if size < 0:
                raise ValueError(f"the region {name!r} cannot have {size} bytes")
            offset = lines(regions[-1].offset + regions[-1].size) if regions else 0
            regions.append(Region(name, offset, size))
        return Workspace(tuple(regions))

    def __contains__(self, name: str) -> bool:
        return any(region.name == name for region in self.regions)

    def __getitem__(self, name: str) -> int:
        for region in self.regions:
            if region.name == name:
                return region.offset
        raise KeyError(name)

    @property
    def n_bytes(self) -> int:
        """Bytes up to the last byte of the last region."""
        return self.regions[-1].offset + self.regions[-1].size if self.regions else 0

    @property
    def end(self) -> int:
        """The offset of the first cache line behind all regions."""
        return lines(self.n_bytes)
