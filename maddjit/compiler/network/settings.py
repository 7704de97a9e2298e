"""The numbers that steer the planner of networks; none of them changes a result. Sizes in bytes."""

from __future__ import annotations

GROUP_BYTES = 512 * 1024  # Inputs and outputs of a layer for the images that go through together.
FAR_TABLE_BYTES = 2 * 1024 * 1024  # Tables from here on do not fit most L2 caches.
FAR_GROUP_BYTES = 4 * 1024 * 1024  # As GROUP_BYTES, for networks of such tables.
MOST_IMAGES = 64  # Images of a group: more share no table that fewer would not.
SLACK = 64  # Bytes behind each plane, which vectors of results may overwrite.
END = 1024  # Bytes behind all planes, which vectors may read.
MOST_GAP = 4  # Columns between images that vectors of copies fill beside their pixels.
GAPS_AT_ONCE = 8  # Gaps between images that straight-line code fills.
MOST_READ = 256  # Bytes that a vector of every few elements is picked from.

# Exact convolutions
EXACT_BLOCK_BYTES = 16 * 1024  # Taps of a block of pixels, side by side: part of an L1 cache.
EXACT_SHAPES = {16: (2, 4), 32: (4, 4)}  # By registers: outputs and vectors of pixels of a tile.
PACKED_UNITS = 2.0**30  # Outputs that are surely within 32 bits, in units of results.
MOST_UNROLLED = 8  # Groups of taps in straight-line code.

# Exact products of rows
ROWS_SHAPES = {16: (4, 2), 32: (4, 4)}  # By registers: outputs and images of a tile.
