"""The numbers that steer the planner of Strassen-Tile kernels: sizes and limits.

`PASS_STEPS` decides how sums are rounded. The others decide how fast a kernel is.
"""

from __future__ import annotations

Z_BYTES = 12 * 1024 * 1024
"""Bytes of encoded rows that stay in a cache while all panels of V pass by."""
NEAR_BYTES = 1024 * 1024
"""Bytes of encoded rows that stay in a near cache. Longer ones are fetched part by part."""
MOST_TILE_ROWS = 96
"""Tile rows of a block for which a panel of V is worth its way from memory."""
TOKEN_TILE_ROWS = 12
"""Tile rows of neighbouring rows that are staged at once: whole strips of every target."""
PADDED = 16
"""A block's columns are filled up to a multiple of this number, whatever the target."""
UNROLL = 8
"""Steps of the innermost loop in straight-line code. It divides the steps of a filled-up block."""
FETCH_BYTES = 256
"""Bytes of V that a tallest strip reads from one place that fetches V to the next.

Lines that are fetched one by one cost next to nothing. Several at once delay the loads behind them.
"""
FETCH_STEPS = 2
"""Steps from one such place to the next, at least, and in lower strips.

These may be the only ones. Then hardware fetches what lies between, and Z is fetched between them.
"""
PASS_STEPS = 256
"""Steps whose products are summed before they are added to U: longer sums would lose more."""
NEAR_SHAPES = ((2, (12, 8, 4)), (2, (6, 4)), (2, (4,)))
"""Vectors of outputs of a panel, and tile rows of strips, while Z is near: tall strips.

The first shape whose tallest strip has all sums in registers is taken.
"""
FAR_SHAPES = ((4, (6, 4)), *NEAR_SHAPES)
"""The same if Z comes from farther away: wide panels, for which Z comes less often."""
SPARE_ROWS = 3
"""Tile rows behind the last of a block that a strip may multiply in vain."""
MOST_PADDING = 1.05
"""A wider panel is better unless it fills outputs up to more than this times the least width."""
THREAD_OPERATIONS = 10_000_000
"""Multiply-adds that are worth another thread: about 200 µs of work."""
