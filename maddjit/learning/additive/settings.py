"""The numbers that steer the learner of additive codes: ranks, k-means, turns, and scales.

Changing one changes the models that are learned. Modules read them as ``settings.NAME``.
"""

from __future__ import annotations

# Which encoder (choice.py)

SAME_ERROR = 3
"""Trees need about so many times as many codebooks for the same error (measured: 2.2 to 4.5)."""
PRODUCT_TIME = 0.8
"""The time of one product of bytes, in look-ups of a byte.

Measured on an Emerald Rapids: .56 with AVX-512 (280 products or 155 look-ups take a nanosecond),
1.25 at AVX2 (103 or 129). One number serves all: no choice depends on the machine."""
USUAL_RANK = 64
"""Directions that are reckoned with before any are tried."""

# Bytes of rows, and directions (frame.py)

DIRECT_FEATURES = 128
"""Columns of A up to which their bytes are the directions, and nothing is projected."""
RANKS = (32, 64, 128, 256)
"""Numbers of directions that are tried, fewest first."""
TIME_WEIGHT = 0.125
"""More directions are taken if the error times the time to this power falls.

The time is counted in multiply-adds of the encoder, each of which is worth a look-up."""
MAX_DEVIATIONS = 16.0
"""Bytes reach this many standard deviations to each side of the mean, at most."""
LEAST_RANGE = 2.0**-14
"""A column's bytes span this share of its largest entry at least; float32 would blur less."""
RANGE_ROWS = 8192
"""Rows that the directions' ranges are found on, at most."""
MOST_IN_GROUP = 126
"""Positive weights of a group add up to this at most before they are rounded, and so do negative.

With what rounding adds, groups of four stay within 128, so that sums of bytes times weights stay
within 16 bits, which is faster on some CPUs. Weights that are rounded together may exceed it; a
planner looks at them as they are."""
SHRUNK_SHARE = 0.02
"""Prototypes of this share of the rows may be shrunk, so that the others have finer weights."""
DAMPING = 0.01
"""Share of the mean square that steadies the rounding of weights together."""
MOST_SCORE = 16_384
"""Scores of training rows reach about this; the other half of 16 bits is kept for other rows."""
SCORED_ROWS = 2048
"""Rows on which scores are looked at to find their shifts, at most."""

# Prototypes (clustering.py, codebooks.py)

CLUSTERED_ROWS, CLUSTERED_ROWS_PER_PROTOTYPE = 8192, 64
"""Rows that a codebook is clustered on: this many, or so many for each prototype if more."""
SEEDS_TRIED = 4
"""Rows drawn for each new centre, of which the best becomes one."""
LLOYD_TURNS = 8
"""Turns of k-means."""
PROTOTYPE_PENALTY = 1.0
"""The penalty of the regression of prototypes on codes."""
STARTS = 3
"""Times that clusters are sought, each time from other rows."""
MAX_SWEEPS = 4
"""Sweeps of coordinate descent over all codebooks, at most."""
MAX_TURNS = 16
"""Turns of regression and new codes, at most."""
LEAST_TURN_GAIN = 0.002
"""Share of the last turn's error that a turn must save to be followed by another."""

# Choices (learner.py)

PENALTIES = (1.0, 3.0, 10.0, 30.0)
"""Penalties of the tables' regression that are tried."""
PENALTY = 3.0
"""The penalty while nothing is chosen."""
MAX_CODES = 4096
"""C·K up to which prototypes are regressed together in turns, and penalties are tried.

A regression takes (C·K)³ operations. Beyond, encoders are judged by means in place of tables."""
MAX_ROWS = 40_000
"""Rows that prototypes are learned from and judged by, at most; all rows make the tables."""
JUDGED_SHARE, MAX_JUDGED = 5, 4000
"""One of so many of these rows is set apart to judge by, but no more than this."""
LEAST_JUDGED = 10
"""Rows that must be there to judge choices; with fewer, nothing is chosen."""
CODED_TOGETHER = 2**21
"""Scores that are computed at a time."""
