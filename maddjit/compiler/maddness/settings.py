"""The numbers that steer the MADDNESS planner: sizes and limits found by measuring.

They decide how fast a kernel is. None of them changes a result. Sizes are in bytes.
"""

from __future__ import annotations

# Blocks of rows and threads
CODES_BYTES = 16 * 1024  # Codes or projections of a block of rows: half of an L1 cache.
MOST_ROWS = {"C": 256, "F": 1024, "strided": 256}  # Rows of a block, by the order of A.
WINNERS_ROWS = 256  # Rows of a block of winners: tables past the caches are read anew for each.
THREAD_NANOSECONDS = 200_000  # Work that is worth another thread; waking one takes up to 100 µs.
CODE_NANOSECONDS = 3  # Time of one code of one row.
LOOK_UP_NANOSECONDS = 0.015  # Time of one table entry of one row.
PRODUCT_NANOSECONDS = 0.02  # Time of one product of a core, for one row.

# Encoding
MOST_ELEMENTS = 1024  # Elements of a row that straight-line code reads.
MOST_PERMUTES = 8  # Permutes that are together faster than a gather.
MOST_SPLATS = 8  # Thresholds of a level kept in a register each where masks select.
MOST_SELECTED = 32  # Nodes of a level whose thresholds are selected; those of more are gathered.
LINE_STEP_COST = {2: 1.0, 4: 2.0}  # Cost of a step with whole lines, in steps with one element.

# Scans whose vectors are outputs
TILE_BYTES = 32 * 1024  # Tables that one pass over a block of rows reads: an L1 cache.
MOST_PLANES = {8: 4, 16: 4, 32: 2}  # Vectors of table entries in flight, by the bits of a sum.
MOST_UNROLLED = 128  # Table rows that straight-line code adds before a loop is made.
ROWS_AHEAD = 16  # Rows between the one that is written and the one whose lines are fetched.
STAGE_BYTES = 256 * 1024  # Results that leave together past the caches: part of an L2 cache.
LEAST_STAGE_ROWS = 32  # Rows that are worth fetching the tables from the L2 cache for.

STRIP_BYTES = 128 * 1024  # Results by rows that become columns together: part of an L2 cache.

# Scans whose vectors are rows
COLUMN_SHAPES = {  # (how bytes are added, registers): outputs and vectors of rows of a tile.
    ("averages", 16): (3, 1),  # A tree of 16 averages keeps 4 of them waiting for each output.
    ("averages", 32): (3, 1),
    ("widened averages", 16): (2, 1),
    ("widened averages", 32): (2, 1),
    ("residues", 16): (1, 2),
    ("residues", 32): (1, 2),
    ("8 bits", 16): (2, 4),
    ("8 bits", 32): (2, 4),
    ("16 bits", 16): (2, 2),
    ("16 bits", 32): (2, 2),
    ("groups", 16): (3, 1),
    ("groups", 32): (2, 2),
    ("32 bits", 16): (1, 1),
    ("32 bits", 32): (2, 1),
}
NARROW_SHAPES = {("widened averages", 32): (1, 1)}  # The same, for vectors of 16 bytes.
QUADS_SHAPE = (4, 2)  # Outputs and vectors of rows of a tile where codebooks are taken by fours.
COLUMN_UNROLLED = 2  # Codebooks in straight-line code: with more, LLVM spills.
COLUMN_GROUP = 8  # Codebooks in straight-line code where as many add up in bytes.
RESIDUES_BYTES = (
    32  # The widest vectors that averaging pays for: two ports of 64 bytes are too few.
)
LEAST_GROUP = 3  # Codebooks per 8-bit sum from which adding bytes is faster than quads.

# Cores
MOST_CHUNK = {"C": 8, "F": 4, "strided": 8}  # Projections summed together, by the order of A.
SHARED_ROWS = 4  # Rows, or vectors of rows, that share each number of U.
STRIP_ROWS = 512  # Rows whose sums of one lane stay in the L1 cache where columns are contiguous.
PART_BYTES = 16 * 1024  # Rows of A that are encoded and projected in turn: half of an L1 cache.
LEAST_RANK_AHEAD = 3  # Rank from which projecting is slow enough to fetch the next part meanwhile.
CORE_UNROLLED = 8  # Projections that straight-line code adds to the outputs.

# Settling winners
SETTLED_TILE_BYTES = 128 * 1024  # Tables of a tile: part of an L2 cache.
SOLE_TILE_BYTES = 512 * 1024  # Tables of a tile that holds all outputs, which spares a second pass.
GROUP_PLANES = 4  # Planes of a group of tiles, all looked up again if one output may be listed.
MAXIMA_LANES = 16  # Numbers kept of a group of tiles: enough to bound the k-th best score.
LEAST_ROOM = 256  # Outputs that each row's list has room for at least.
LISTS_BYTES = 32 * 1024 * 1024  # All lists of a block of rows together, at most.
NEAR_BYTES = 1024 * 1024  # Columns of B that a cache holds close by.
PRODUCTS_AHEAD = 4  # Places on a list between the column in use and the one being fetched.
PRODUCT_LINES = {True: 8, False: 32}  # Lines of a column fetched ahead, by whether B is near.
SCREENING_AHEAD = {True: 4, False: 8}  # As PRODUCTS_AHEAD, for copies, by whether B is near.
SCREENING_LINES = {True: 8, False: 32}  # Lines of a copy fetched ahead, by whether B is near.
SCREENED_TOGETHER = 4  # Outputs that are screened side by side.
SCREENING_CHAINS = 2  # Sums of each screened output: an addition waits for the one before it.
