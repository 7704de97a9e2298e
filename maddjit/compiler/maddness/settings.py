"""The numbers that steer the MADDNESS planner: sizes and limits found by measuring.

They decide how fast a kernel is. None of them changes a result. Sizes are in bytes.
"""

from __future__ import annotations

# Blocks of rows and threads
CODES_BYTES = {  # Codes of a block of rows, by the order of A: half of an L1 cache. Columns take
    # one whole L1 cache: long runs of a column save more than codes in the L2 cache cost.
    "C": 16 * 1024,
    "F": 32 * 1024,
    "strided": 16 * 1024,
}
PROJECTIONS_BYTES = 16 * 1024  # Projections of a block of rows: half of an L1 cache.
MOST_ROWS = {"C": 256, "F": 1024, "strided": 256}  # Rows of a block, by the order of A.
WINNERS_ROWS = 256  # Rows of a block of winners: tables past the caches are read anew for each.
THREAD_NANOSECONDS = 200_000  # Work that is worth another thread; waking one takes up to 100 µs.

# Encoding
MOST_ELEMENTS = 1024  # Elements of a row that straight-line code reads.
MOST_PERMUTES = 8  # Permutes that are together faster than a gather.
MOST_SPLATS = {"float": 4, "i8": 8}  # Thresholds selected one by one where nothing permutes them.
MOST_GATHERED = 16  # Rows whose elements of one byte are put into a vector one by one.
MOST_SELECTED = {True: 16, False: 8}  # Nodes whose thresholds are selected, by `has_masks`.
# Counted for a vector of 16 or 8 numbers: nodes − 1 blends, against a read for each lane.
LINE_STEP_COST = {2: 1.0, 4: 1.9}  # Cost of a step with whole lines, in steps with one element.
# Steps are counted: reads and shuffles, against reads and inserts. The two factors are not.

# Encoding additive codes
ADDITIVE_BYTES = 16 * 1024  # Numbers, or scores, of a strip of rows: part of an L1 cache.
ADDITIVE_LEAST_ROWS = 16  # Rows of a strip, at least: all of them share weights from an L2 cache.
ADDITIVE_MOST_ROWS = 64  # Rows of a strip, at most.
ADDITIVE_TILES = {16: (1, 4), 32: (4, 4)}  # Rows and vectors of a tile of products, by registers.

# Scans whose vectors are outputs
TILE_BYTES = 32 * 1024  # Tables that one pass over a block of rows reads: an L1 cache.
MOST_PLANES = {  # (bits of a sum, registers): vectors of table entries in flight; none spills.
    (8, 32): 4,
    (16, 32): 2,
    (32, 32): 2,
    (8, 16): 4,
    (16, 16): 2,
    (32, 16): 2,
}
MOST_TREES = {16: 3}  # Bytes of a vector: the most planes whose averages are trees; else as above.
MOST_UNROLLED = 128  # Table rows that straight-line code adds before a loop is made.
ROWS_AHEAD = 16  # Rows between the one that is written and the one whose lines are fetched.
HELD_BYTES = 32 * 1024 * 1024  # Results that a last cache holds at most: a larger one serves many
# cores, and other machines beside a virtual one.
STAGE_BYTES = 256 * 1024  # Results that leave together past the caches: part of an L2 cache.
LEAST_STAGE_ROWS = 32  # Rows that are worth fetching the tables from the L2 cache for.

# Tables that lie run by run, because they exceed near caches
FAR_BYTES = 3 * 512 * 1024  # Tables from here on do not fit most L2 caches.
MOST_RUNS = 4096  # More runs than this exceed the addresses that a CPU translates at once.
STREAM_BYTES = 128  # Bytes of a run that a row reads at a time: two lines, so few starts.
STREAM_PLANES = {8: 4, 16: 4, 32: 2}  # Vectors of table entries in flight, by the bits of a sum.
STREAM_UNROLLED = 16  # Table rows that straight-line code adds: LLVM spills the places of more.
STREAM_CODES_BYTES = 64 * 1024  # Codes of a block of rows: part of an L2 cache.
STREAM_ROWS = 512  # Rows of a block whose tables are packed.
MOST_FOLLOWED = 16  # Streams that hardware surely follows at once: rows of more share tiles.
MOST_PACKED_BYTES = 64 * 1024  # A packed tile beyond this is too far from the L1 cache.
STRIP_BYTES = 128 * 1024  # Results by rows that become columns together: part of an L2 cache.

# Costs (costs.py, row_costs.py): nanoseconds of a core of about 3 GHz; benchmarks/suites/costs
# checks them
FAR_NANOSECONDS = 0.044  # A byte that moves between a far cache and a near one.
INSTRUCTION_NANOSECONDS = 0.085  # An instruction.
SCATTERED = 1.5  # Times that it takes for tables that are not packed: more lines, more pages.
CODE_INSTRUCTIONS = 2  # Instructions of a code of one row: load it, find its table row.
ACCUMULATING = {8: 1, 16: 3, 32: 8}  # Instructions that add bytes to sums, by bits of a sum.
LEVEL_INSTRUCTIONS = 2  # Instructions of a level beside its reads and folds: compare, add a bit.
TREE_INSTRUCTIONS = 5  # Instructions of a level for a vector of rows: read, fetch, compare, step.
ADDITIVE_READING = 7  # Instructions that make numbers of a vector of elements: scale, round, pack.
ADDITIVE_ENDING = 3  # Instructions that end a vector of sums: shift, pack, store.
ADDITIVE_CHOOSING = 18  # Instructions that find the least score of a codebook, in one vector.
BYTE_PRODUCTS = 1.5  # Instructions that four products in a lane count for: two a cycle are issued.
FINISHING = 5  # Instructions that turn sums into a vector of float32: widen, convert, scale, store.
TURNING = 6  # Instructions that turn such a vector of a row into columns: write, interleave.
PRODUCT_INSTRUCTIONS = 1.5  # Instructions of a vector of products of a core; operands are shared.

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
NARROW_SHAPES = {  # The same, if vectors have so many bytes.
    ("averages", 32, 16): (1, 1),
    ("widened averages", 32, 16): (1, 1),
}
QUADS_SHAPE = (4, 2)  # Outputs and vectors of rows of a tile where codebooks are taken by fours.
QUADS_PACKED_SHAPE = (2, 4)  # The same, where four vectors of sums are packed to one of bytes.
COLUMN_UNROLLED = 2  # Codebooks in straight-line code: with more, LLVM spills.
COLUMN_GROUP = {(3, 1): 16}  # Codebooks in straight-line code where as many add up in bytes, by the
# shape of a tile; MOST_COLUMN_GROUP for other shapes, whose sums and tables need more registers.
MOST_COLUMN_GROUP = 8
RESIDUES_BYTES = 32  # The widest vectors that averages pay for: two ports of 64 bytes are too few.
FEW_ROWS = {16: 6, 32: 14, 64: 18}  # Rows that are scanned by rows instead, by those of a vector.
FEW_TABLE_BYTES = 1024 * 1024  # The largest tables that code holds twice for that.
TABLES_AHEAD = {4: 1, 1: 0}  # Tiles between the tables in use and those being fetched, by the
# codebooks of a shuffle. Few rows read each table once or twice, from a far cache if there are many
# layers; hardware does not follow from the tables of one output, often a page, to the next one's.
LEAST_GROUP = 3  # Codebooks per 8-bit sum from which adding bytes is faster than quads.
# Not counted: by the model, 64 look-ups take quads 2 instructions, and groups of g codebooks
# 2 + 2 / g. That leaves out placing codes by fours, and the ends of 32-bit sums.

# Cores
MOST_CHUNK = {"C": 8, "F": 4, "strided": 8}  # Projections summed together, by the order of A.
SHARED_ROWS = 4  # Rows, or vectors of rows, that share each number of U.
STRIP_ROWS = 512  # Rows whose sums of one lane stay in the L1 cache where columns are contiguous.
PART_BYTES = 16 * 1024  # Rows of A that are encoded and projected in turn: half of an L1 cache.
LEAST_RANK_AHEAD = 3  # Rank from which projecting is slow enough to fetch the next part meanwhile.
CORE_UNROLLED = 8  # Projections that straight-line code adds to the outputs.

# Settling winners
SETTLED_PLANES = {8: 4, 16: 4, 32: 2}  # As MOST_PLANES; a sole tile spares a second pass.
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
