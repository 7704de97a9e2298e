"""Outputs cut into tiles of a few, for a scan by columns."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.runs import Run, Summands, Sums, plan_runs
from maddjit.compiler.maddness.scan_plan import Plane
from maddjit.compiler.maddness.scanning import accumulators
from maddjit.compiler.maddness.shuffles import ByteShuffle


@dataclass(frozen=True)
class Piece:
    """So many rows, a power of two, of those that do not fill a vector."""

    rows: int

    @property
    def before_mask(self) -> int:
        """The mask that leaves the larger pieces of a number of rows."""
        return -2 * self.rows


@dataclass(frozen=True)
class ColumnTile:
    """`count` repetitions of a few outputs, scanned for a few vectors of rows at a time.

    Plane i holds the sums of output i // len(vectors) for the rows from `vectors`[i % len(vectors)]
    on. A tile `is_last` if it scans the rows that other tiles of its outputs leave, because they
    take `step` rows at a time. Bytes of tables that are `ahead` of those in use are fetched
    meanwhile, unless that is 0.
    """

    count: int
    is_last: bool
    step: int
    first_output: int
    n_outputs: int
    vectors: tuple[int, ...]
    code_offsets: tuple[int, ...]
    rows: int
    table_offset: int
    table_stride: int
    ahead: int
    planes: tuple[Plane, ...]
    runs: tuple[Run, ...]

    @property
    def start_mask(self) -> int:
        """The mask that rounds a number of rows down to those that other tiles scan."""
        return -self.step if self.step else 0

    @property
    def whole_mask(self) -> int:
        """The mask that rounds a number of rows down to whole tiles."""
        return -self.rows

    @property
    def pieces(self) -> tuple[Piece, ...]:
        """The pieces that fewer rows than this tile has are copied in, the largest first."""
        return tuple(Piece(1 << bit) for bit in reversed(range((self.rows - 1).bit_length())))

    @property
    def places(self) -> tuple[tuple[Plane, int, int], ...]:
        """Each plane with the number of its output and the number of its vector."""
        n = len(self.vectors)
        return tuple((plane, i // n, i % n) for i, plane in enumerate(self.planes))

    @property
    def fours(self) -> tuple[tuple[tuple[Plane, ...], int], ...]:
        """The planes of four vectors, with the number of their output; none if there are fewer."""
        n = len(self.vectors)
        outputs = range(self.n_outputs if n == 4 else 0)
        return tuple((self.planes[n * i : n * i + n], i) for i in outputs)

    @property
    def pairs(self) -> tuple[tuple[Plane, Plane, int, int], ...]:
        """The planes of two neighbouring vectors, with the numbers of output and first vector.

        There are none if there is one vector.
        """
        places = self.places if len(self.vectors) > 1 else ()
        return tuple(
            (left, right, output, vector)
            for (left, output, vector), (right, _, _) in zip(places[::2], places[1::2], strict=True)
        )


def cut_columns(
    summands: Summands,
    n_outputs: int,
    shuffle: ByteShuffle,
    shape: tuple[int, int],
    way: str,
    is_whole: bool = False,
) -> tuple[ColumnTile, ...]:
    """Cut the outputs into tiles of a few, each scanned for a few vectors of rows at a time.

    The rows that these leave are scanned by tiles of one vector, unless tiles stay whole.
    """
    at_once, vectors = shape
    n_full, rest = divmod(n_outputs, at_once)
    tiles = []
    for n, count, first in ((at_once, n_full, 0), (rest, 1, n_full * at_once)):
        if n and count:
            step = shuffle.rows * vectors if vectors > 1 and not is_whole else 0
            if step:
                tiles.append(_tile(summands, shuffle, way, n, vectors, count=count, first=first))
            last = vectors if is_whole else 1
            tiles.append(
                _tile(
                    summands,
                    shuffle,
                    way,
                    n,
                    last,
                    count=count,
                    first=first,
                    step=step,
                    is_last=True,
                )
            )
    return tuple(tiles)


def _carried(way: str, index: int, lanes: int, sum_bits: int) -> tuple[tuple[str, str], ...]:
    """Return the names and LLVM types of the vectors that carry the sums of a plane."""
    if way == "residues":
        kind = f"<{lanes} x i8>"
        return ((f"plane{index}.residue", kind), (f"plane{index}.average", kind))
    return accumulators(index, lanes, sum_bits)


def _unrolled(sums: Sums, shape: tuple[int, int]) -> int:
    """Return the codebooks in straight-line code: few, or a group that is widened together."""
    if sums.bits == 8:
        return settings.COLUMN_UNROLLED
    most = settings.COLUMN_GROUP.get(shape, settings.MOST_COLUMN_GROUP)
    return max(settings.COLUMN_UNROLLED, min(sums.group, most))


def _tile(
    summands: Summands,
    shuffle: ByteShuffle,
    way: str,
    at_once: int,
    vectors: int,
    *,
    count: int,
    first: int,
    step: int = 0,
    is_last: bool = False,
) -> ColumnTile:
    """Return `count` tiles of `at_once` outputs and `vectors` vectors of rows.

    The last one takes the rows that tiles of `step` rows leave.
    """
    rows, entries = shuffle.rows, shuffle.entries
    output_bytes = summands.n_codebooks * entries
    planes = tuple(
        Plane(i, rows, 0, rows // 2, _carried(way, i, rows, summands.sums.bits), ())
        for i in range(at_once * vectors)
    )
    return ColumnTile(
        count=count,
        is_last=is_last,
        step=step,
        first_output=first,
        n_outputs=at_once,
        vectors=tuple(rows * i for i in range(vectors)),
        code_offsets=tuple(shuffle.lanes * i for i in range(vectors)),
        rows=rows * vectors,
        table_offset=first * output_bytes,
        table_stride=at_once * output_bytes,
        ahead=settings.TABLES_AHEAD[shuffle.codebooks] * at_once * output_bytes,
        planes=planes,
        runs=plan_runs(
            summands,
            _unrolled(summands.sums, (at_once, vectors)),
            [entries] * at_once,
            [i * output_bytes for i in range(at_once)],
        ),
    )
