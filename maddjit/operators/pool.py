"""Memory of large results, kept for the next ones; fresh pages can cost more than the product."""

from __future__ import annotations

import ctypes
import weakref
from typing import Any

import numpy as np
from numpy.typing import NDArray

POOLED_BYTES = 4 * 1024 * 1024
"""The size of results from which on their memory comes from a pool."""
_MOST_BLOCKS = 2
"""How many free blocks a pool keeps: one result is often in use while the next one is made."""


class Pool:
    """Gives out arrays, and takes their memory back once nothing refers to them any more."""

    def __init__(self) -> None:
        self._free: list[NDArray[np.uint8]] = []

    def empty(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Return an array of arbitrary contents.

        Examples
        --------
        >>> pool = Pool()
        >>> first = pool.empty((2048, 1024), np.dtype(np.float32))
        >>> address = first.ctypes.data
        >>> del first
        >>> pool.empty((2048, 1024), np.dtype(np.float32)).ctypes.data == address
        True
        """
        n_bytes = int(np.prod(shape)) * dtype.itemsize
        if n_bytes < POOLED_BYTES:
            return np.empty(shape, dtype)
        block: Any = self._take(n_bytes)
        # A ctypes array is what the result refers to: it dies with the last view of the result.
        lease: Any = (ctypes.c_char * n_bytes).from_buffer(block.data)
        weakref.finalize(lease, _give_back, self._free, block).atexit = False
        return np.frombuffer(lease, dtype).reshape(shape)

    def _take(self, n_bytes: int) -> NDArray[np.uint8]:
        """Return a free block that is large enough and at most twice as large, or a new one."""
        for _ in range(len(self._free)):
            try:
                block = self._free.pop(0)
            except IndexError:  # another thread was faster
                break
            if n_bytes <= block.nbytes <= 2 * n_bytes:
                return block
            self._free.append(block)
        return np.empty(n_bytes, np.uint8)


def _give_back(free: list[NDArray[np.uint8]], block: NDArray[np.uint8]) -> None:
    """Add a block to those that are free, and let the oldest go if there are too many."""
    free.append(block)
    while len(free) > _MOST_BLOCKS:
        free.pop(0)
