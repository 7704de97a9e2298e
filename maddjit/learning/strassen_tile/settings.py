"""The numbers that steer the fit of Strassen-Tile models.

Changing one changes the models that are learned. Modules read them as ``settings.NAME``.
"""

from __future__ import annotations

# Schemes to start from (starts.py)

WIDE_BLOCKS = 16
"""Blocks of columns of 2 × 16 × 2 tiles, which have as many multiplications as 4 × 4 × 4 tiles."""
LEAST_BLOCK_COLUMNS = 16
"""Columns that such a block must have: loops over fewer columns are slow."""

# The choice of a start (choice.py)

TRIED_ROUNDS, MAX_TRIED_UNKNOWNS = 2, 4096
"""Rounds after which starts are compared; none if r · Dk is larger, as rounds take long then."""
JUDGING_SHARE = 0.2
"""The share of the sequences to learn from on which starts for tokens are compared."""
ROUNDS, LARGE_ROUNDS = 10, 3
"""Rounds at most where no number is given; the latter for tokens if there are more unknowns."""
LEAST_ROUND_GAIN = 1e-3
"""Rounds end once they lower the objective by less than this share."""
SPARSE_TOLERANCE = 1.1
"""A start with fewer additions is left as it is if its squared error is within this factor."""
NEGLIGIBLE_ENTRY = 1e-7
"""Entries of a factor that are this much smaller than their row's largest one become zero."""

# Least squares (fit.py, least_squares.py)

REGULARISATION = 1e-4
"""λ where none is given, and for tokens at least."""
REGULARISING_ROWS, MAX_REGULARISATION = 20, 1e-2
"""λ of tokens is the first over the number of rows, to the latter at most, since moments of few
rows are uncertain. Ridges are always those of the latter: layers that train want small factors."""
RIDGE_SHARE = 0.01
"""Ridges, relative to the white noise that is added to the rows."""
MAX_UNKNOWNS = 6144
"""Rows of V that one system of equations is solved for, at most."""
INNER_ROUNDS, TOKENS_INNER_ROUNDS = 3, 10
"""How often decoder and encoder are fitted in turns before V is fitted again: for independent rows,
and for neighbours, whose fits start farther away. V takes longer."""
