"""The numbers that steer the tuning of tables for winners, and calibration.

Changing one changes the models that are learned. Modules read them as ``settings.NAME``.
"""

from __future__ import annotations

# The search for the best tables (argmax.py)

LEAST_ROUNDS, MAX_ROUNDS = 2, 12
"""Rounds of steps over all rows, at least and at most."""
FACTORS = (1.0, 0.5, 2.0)
"""The β of the loss that are tried, in units of the β at which the mean gap is `GAP`."""
TRIED_ROWS, TRIED_ROUNDS = 10_000, 2
"""Rows and rounds of the short trial of each β."""
MAX_APART, LEAST_APART = 2000, 10
"""Rows that are set apart to judge by, at most; with fewer than the least nothing is tuned."""
FEW_ROWS, MAX_REGRESSED = 10_000, 4097
"""The rows up to which rows are few, and the entries up to which few rows are regressed anew."""
MAX_OUTPUTS = 1_000_000_000
"""Outputs of real rows that all rounds may look at, about; the trials may look at as many."""
ENTRIES_PER_OUTPUT = 8
"""The entries that a step changes in the time that it takes for one output of a real row."""
VISITS_OF_LOOKING = 10
"""The rows that are judged in the time of one row of a step with its synthetic copies."""

# The loss and the steps (descent.py, problem.py)

GAP = 6.0
"""β times the mean distance of the best output from the second."""
TIE = 1e-6
"""Outputs tie if their mean gap is this share of the largest deviation, or less."""
SQUARED_ERROR = 0.05
"""Weight of the squared error beside the divergence."""
SYNTHETIC_WEIGHT = 0.3
"""Weight of a synthetic row in a step; a real row has 1."""
COPIES_OF_FEW, COPIES = 3, 1
"""Synthetic rows for each real one in a step: where rows are few, and otherwise."""
BATCH = 256
"""Real rows of a step."""
RATE = 0.05
"""Adam's rate at the first step; it falls to 0 along a cosine."""
LEAST_ROWS = 2000
"""The least rows that a round visits; if there are fewer, they are visited several times."""
REGRESSION_COPIES, REGRESSION_PENALTY = 3, 3.0
"""Synthetic rows for each real one, and the penalty, when the start is regressed anew."""

# Calibration (calibration.py, scores.py, margins.py)

CHOOSING_SHARE, MAX_CHOOSING, MAX_CHOOSING_OUTPUTS = 0.1, 1000, 40_000_000
"""Rows that choose how scores are rounded: a share of all, with two limits: rows and outputs."""
FEW_OUTPUTS = 8
"""The number of outputs up to which there is no warning of long lists."""
TYPICAL_COVERAGE = 0.99
"""The coverage by which ways to round scores are compared."""
STARTS = (0.0, 1.0, 2.0)
"""Standard deviations of an output's errors by which its scores may be raised."""
DOT_NANOSECONDS = 0.04
"""Time of a multiply-add of a settled output."""
SCAN_NANOSECONDS = {8: 0.006, 16: 0.011}
"""Time of looking up a score, by its bits."""
MAX_MARGINS = 512
"""Margins that a short list knows, at most."""
MEASURED_ROWS = 20_000
"""Rows whose lists are measured, about."""
CHUNK_SCORES, KEPT_SCORES = 4_000_000, 400_000_000
"""Scores that are looked up at a time, and scores that are kept rather than looked up twice."""
