"""Adam: stochastic descent in which each entry has its own rate (Kingma & Ba, ICLR 2015)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_DECAYS = 0.9, 0.999
"""Decay of the running means of gradients and of their squares, as in the paper."""
_LEAST = 1e-8
"""Added to the root of the mean square, as in the paper."""


class Adam:
    """Steps that change a matrix of entries in place.

    Attributes
    ----------
    entries : NDArray of float32
        The entries after the last step.
    """

    def __init__(self, entries: NDArray[np.float32]) -> None:
        self.entries = entries
        self._first, self._second = np.zeros_like(entries), np.zeros_like(entries)
        self._n_steps = 0

    def step(self, gradient: NDArray[np.float32], rate: float) -> None:
        """Change the entries by one step; the gradient is overwritten."""
        self._n_steps += 1
        slow, slower = _DECAYS
        self._first *= slow
        self._first += (1 - slow) * gradient
        gradient *= gradient
        gradient *= 1 - slower
        self._second *= slower
        self._second += gradient
        np.divide(self._second, 1 - slower**self._n_steps, out=gradient)
        np.sqrt(gradient, out=gradient)
        gradient += _LEAST
        np.divide(self._first, gradient, out=gradient)
        gradient *= rate / (1 - slow**self._n_steps)
        self.entries -= gradient
