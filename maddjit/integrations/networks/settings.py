"""The numbers that steer how networks are converted: calibration, fits, and predicted times.

Modules read them as ``settings.NAME``.
"""

from __future__ import annotations

# Activations (activations.py)

SAMPLED = 2**18
"""Numbers of each value that its range is chosen by, at most."""
SHARES = tuple(0.3 + 0.02 * i for i in range(36))
"""Shares of the whole range that are tried as the range of int8 numbers."""
LEVELS = 255
"""Steps from the least int8 number to the largest."""

# Look-ups (look_ups.py)

BYTE_GROUP = 8
"""Codebooks whose entries add up to a byte: more of them would be faster and coarser."""
MOST_SCALE = 0.99
"""What a unit of the tables' entries may stand for, at most, in steps of the results."""
N_PATCHES = 20_000
"""Outputs of a convolution that its look-ups are learned from, at most."""

# Choosing (choosing.py)

HELD_OUT = 0.25
"""Share of the calibration images that losses are measured on."""
LEAST_HELD_OUT = 20
"""Images that must be kept back to measure losses on."""

# Predicted times (costs.py), in nanoseconds, measured on an Emerald Rapids of about 3 GHz

SHUFFLE_NANOSECONDS = {16: 0.28, 32: 0.28, 64: 0.42}
"""A look-up in a vector of pixels of so many bytes: a shuffle and its share of additions."""
LEVEL_NANOSECONDS = {16: 0.6, 32: 0.6, 64: 1.2}
"""A level of a tree for such a vector: read, fetch a threshold, compare, add a bit."""
PRODUCT_NANOSECONDS = {False: 0.0145, True: 0.0027}
"""An 8-bit product and its sum: without and with an instruction for them."""
BYTE_NANOSECONDS = 0.15
"""A byte of activations that is read or written, with its share of borders and of rounding."""
