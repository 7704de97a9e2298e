"""The numbers that steer `select`: which rows it uses, what it tries, and when it gives up.

Modules read them as ``settings.NAME``.
"""

from __future__ import annotations

# Rows (selection.py, inputs.py)

LEAST_VALIDATION_ROWS = 20
"""Rows to judge by that must be there."""
VALIDATION_PART = 4
"""One row of A_train in so many is judged by if there are no validation rows."""
MAX_TIMED_NUMBERS = 16 * 1024 * 1024
"""Numbers that a timed call reads or computes, at most."""
CALIBRATION_SHARE, MAX_CALIBRATION = 0.4, 20_000
"""Share of the rows that short lists are calibrated on, and how many at most."""

# Speed (field.py)

TIMES_ARE_ALIKE = 1.1
"""Times within this factor may be the other way round when they are measured again."""
SLOWER_IN_TURN = 2
"""Sizes that are tried in turn are given up after so many that were slower than the fastest."""
MOST_ROUNDS_AGAIN = 4
"""Rounds in which candidates are timed once more before one is chosen."""

# Candidates (maddness.py, strassen_tile.py, search.py)

LEARNER = 2
"""Counted up when the same rows, B and sizes give another model. Models kept before are ignored."""
FAR_OUTSIDE, LEEWAY = 3.0, 1.5
"""A fit in haste that loses this many budgets is not expected to be made up for by a whole fit.

Once whole fits have shown what they save on these rows, it is the most of that, times the leeway.
"""
LEAST_TILED_SIZE = 64
"""D and M from which on encoding and decoding tiles can be worth their time."""
LOW_RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Ranks of low-rank products that are tried."""

# Losses (losses.py)

GATHERED_NUMBERS = 2**23
"""Numbers of columns of B that are gathered at a time, at most."""
