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
"""Two times within this factor may swap places when they are measured again."""
SLOWER_IN_TURN = 2
"""The number of sizes in a row, slower than the best before, after which a series ends."""
MOST_ROUNDS_AGAIN = 4
"""Rounds in which candidates are timed once more before one is chosen."""

# Candidates (maddness.py, strassen_tile.py, search.py)

LEARNER = 2
"""The learner's number, raised when models change; models kept by an older one are ignored."""
FAR_OUTSIDE, LEEWAY = 3.0, 1.5
"""If a fit in haste loses more than `FAR_OUTSIDE` budgets, no whole fit of its sizes is tried.

Once whole fits have shown by which factors they save on these rows, the limit is `LEEWAY` times the
largest of these factors, if that is less.
"""
LEAST_TILED_SIZE = 64
"""D and M from which on encoding and decoding tiles can be worth their time."""
LOW_RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
"""Ranks of low-rank products that are tried."""

# Losses (losses.py)

GATHERED_NUMBERS = 2**23
"""Numbers of columns of B that are gathered at a time, at most."""
