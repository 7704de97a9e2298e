"""The numbers that steer the MADDNESS learners: what is looked at, what is tried, what is kept.

Changing one changes the models that are learned. Modules read them as ``settings.NAME``.
"""

from __future__ import annotations

# Thresholds and bins (thresholds.py, bins.py)

N_BINS = 128
"""Bins of a column, at most: there are 127 thresholds to choose from."""
N_COARSE = 32
"""Bins of a column, at most, while columns are only compared with each other."""
N_QUANTILES = 63
"""Thresholds of a column that are placed at quantiles of its values."""
N_STRETCHES = 64
"""Thresholds of a column that are placed where its values stretch out."""
QUANTILE_ROWS = 20_000
"""Rows that thresholds are found on, at most."""

# Blocks of columns (blocks.py)

CORRELATION_ROWS = 10_000
"""Rows that correlations of columns are taken from, at most."""
MAX_SWEEPS = 8
"""Sweeps in which each column is looked at for a better block, at most."""
CLUSTER_PASSES = 500
"""The time of clustering without the correlations, as a number of further rows of them."""

# Growing trees (growing.py, fitting.py)

ALWAYS_TRIED, TRIED_SHARE = 8, 8
"""A level tries this many columns on all rows, or one column in so many if that is more."""
COMPARED_ROWS, COMPARED_ROWS_PER_LEAF = 1024, 16
"""Rows on which all columns are compared first: this many, or so many for each leaf if more."""
BATCH_ENTRIES, BATCH_SUMS = 2**16, 2**17
"""Columns are summed together as long as they have no more entries, and no more sums."""
BLOCK_DIRECTIONS = 8
"""Leading directions of a block's contribution to the outputs that its tree is grown on."""
SMALL_TREE = 16
"""Leaves up to which a tree is small."""
LEAST_ROWS_SMALL, LEAST_ROWS_LARGE = 1, 5
"""Rows that both sides of a split must have, in small trees and in larger ones."""

# Refitting trees (alternating.py)

LEAST_LEVEL_GAIN = 1e-3
"""Another column replaces a level's if it adds this share to what the level saves."""

# Goals and rows (goals.py, sample.py)

N_COORDINATES = 64
"""Leading directions of the outputs that errors are judged in and trees are refitted to."""
NEGLIGIBLE_VARIANCE = 1e-3
"""Columns that together add no more than this share of the variance do not matter."""
SYNTHETIC_WEIGHT = 0.05
"""Weight of a synthetic row in a regression; a real row has 1."""
MAX_MIX = 0.5
"""A synthetic row lies up to this share of the way from one row to another."""
SYNTHETIC_NOISE = 0.3
"""Noise of a synthetic row, in standard deviations of each column."""

# Choices of method="best" (best.py)

MAX_PASSES = 4
"""Passes that refit all trees and their tables, at most."""
LEAST_PASS_GAIN = 0.003
"""Share of the error that a pass must save to be followed by another."""
MAX_CHOOSING = 20_000
"""Rows that choices are made on, at most. A fifth of them judges the choices."""
LEAST_JUDGED = 10
"""Rows that must be there to judge choices; with fewer, nothing is chosen."""
PENALTIES = (1.0, 3.0, 10.0, 30.0)
"""Penalties of the tables' regression that are tried."""
PENALTY = 3.0
"""The penalty while nothing is chosen."""
PENALTY_OF_MANY = 10.0
"""The penalty where there are too many codes to try several."""
MAX_CODES = 4096
"""C·K up to which several penalties are tried."""
ROWS_PER_CODE = 10
"""Synthetic rows are tried if there are fewer real rows than this for each of the C·K codes."""
MAX_SYNTHETIC = 2**23
"""Entries of synthetic rows, at most, where there are more than three for each real row."""

# Tables of 8 bits (rounding.py, tables.py, byte_groups.py)

DAMPING = 0.01
"""Share of the mean count that steadies the rounding of rare codes."""
MAX_TOGETHER = 4096
"""C·K up to which entries are rounded together, which takes (C·K)³ operations."""
COMPARED_GROUP_ROWS = 512
"""Rows on which coarser tables are compared with finer ones, at most."""
BYTE_GROUP_TOLERANCE = 1.02
"""Coarser tables are taken if the squared error stays within this factor."""
LOOKED_UP_TOGETHER = 4_000_000
"""Entries that are looked up at a time."""
LEAST_CORRECTING_ROWS, MAX_CORRECTING_ENTRIES = 512, 100_000_000
"""Averages are corrected by at least this many rows; more look up this many entries at most."""

# Reports (fit.py)

MAX_JUDGED = 4096
"""Training rows that the report is measured on, at most, if no rows are kept back."""

# Predicted time (regression.py, rounding.py)

SPARSE_COST = 20
"""A sum over codes takes about as long as this many operations of a matrix product."""
ENTRY_COST = 20
"""An operation on an array's entries takes as long as this many of a matrix product."""
