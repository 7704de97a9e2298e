"""The numbers that steer the planner of Strassen-Tile kernels: sizes and limits.

`PASS_STEPS` decides how sums are rounded. The others decide how fast a kernel is.
"""

from __future__ import annotations

Z_BYTES = 4 * 1024 * 1024
"""Bytes of encoded rows that stay in a near cache while all panels of V pass by."""
MOST_TILE_ROWS = 96
"""Tile rows of a block for which a panel of V is worth its way from memory."""
PADDED = 16
"""A block's columns are filled up to a multiple of this number, whatever the target."""
UNROLL = 4
"""Steps of the innermost loop in straight-line code. It divides the steps of a filled-up block."""
PASS_STEPS = 256
"""Steps whose products are summed before they are added to U: longer sums would lose more."""
STRIPS = (12, 6, 4)
"""Tile rows of a strip: the first whose sums of two vectors of outputs fit in registers."""
SMALL_STRIP = 4
"""Tile rows of the strips that the last tile rows of a block are cut into."""
VECTORS = (2, 1)
"""Vectors of outputs of a panel, if outputs are many or few."""
MOST_PADDING = 1.05
"""A wider panel is better unless it fills outputs up to more than this times the least width."""
THREAD_OPERATIONS = 10_000_000
"""Multiply-adds that are worth another thread: about 200 µs of work."""
