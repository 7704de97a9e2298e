"""The part of a plan that settles winners: maxima of scores, short lists, exact products."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from maddjit.compiler.maddness import settings
from maddjit.compiler.maddness.lists import MEMBER_BYTES, list_bytes
from maddjit.compiler.maddness.packing import Packing
from maddjit.compiler.maddness.scan_plan import ScanPlan
from maddjit.compiler.maddness.scoring import ScorePlan, plan_scores
from maddjit.compiler.maddness.screening import ScreenPlan, plan_screen
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import LINE
from maddjit.models.maddness import MaddnessModel
from maddjit.models.short_list import SETTLE_LANES, ShortList

VECTOR = 16
"""Columns of a row that are multiplied together."""


@dataclass(frozen=True)
class RowPlan:
    """How a row of A is brought into float32, side by side, before it is multiplied.

    A row has `whole` columns in whole vectors and a `rest`. It is filled up with zeros to `columns`
    columns, whole groups of `SETTLE_LANES`. A `direct` row is multiplied where it is.
    """

    direct: bool
    columns: int
    whole: int
    rest: int

    @property
    def n_features(self) -> int:
        """Columns of a row."""
        return self.whole + self.rest

    @property
    def padding(self) -> int:
        """Columns of zeros behind a row."""
        return self.columns - self.n_features


@dataclass(frozen=True)
class ProductPlan:
    """The exact products of a row with the columns of B on its list.

    `members_ahead` is the distance on the list to the column that is fetched ahead, and
    `lines_ahead` are the offsets of the cache lines that are fetched.
    """

    n_groups: int
    group_bytes: int
    column_bytes: int
    members_ahead: int
    lines_ahead: tuple[int, ...]

    @property
    def pieces(self) -> range:
        """The vectors of one group of columns."""
        return range(SETTLE_LANES // VECTOR)

    @property
    def halves(self) -> tuple[tuple[int, int], ...]:
        """Lanes of a vector, and lanes left after one half is added to the other."""
        return ((16, 8), (8, 4), (4, 2), (2, 1))


@dataclass(frozen=True)
class SettlePlan:
    """How the k winners of each row are found.

    Attributes
    ----------
    k, n_outputs : int
    settles_all : bool
        Whether an output that is alone on its list is computed too.
    at_once : bool
        Whether one look at the scores is enough: one winner is asked for, there is one tile, and
        every list has room for all outputs.
    list_lanes : tuple of int
        The different widths of the masks that lists are made of.
    scores : ScorePlan
    row : RowPlan
    products : ProductPlan
    screen : ScreenPlan or None
        How long lists are thinned out; None if no list can be long.
    """

    k: int
    n_outputs: int
    settles_all: bool
    at_once: bool
    list_lanes: tuple[int, ...]
    scores: ScorePlan
    row: RowPlan
    products: ProductPlan
    screen: ScreenPlan | None

    @property
    def member_bytes(self) -> int:
        """Bytes of an output's number on a list, and of its score beside it."""
        return MEMBER_BYTES

    @property
    def first_output_place(self) -> int:
        """Where a row's outputs are, behind its winners and the length of its list."""
        return self.k + 1

    @property
    def last_rank(self) -> int:
        """The place of the last winner."""
        return self.k - 1

    def regions(self, row_block: int) -> dict[str, int]:
        """Return the bytes of each region of the workspace for a block of so many rows.

        The lists come last and have no size here: how long they get depends on the margin, which
        each call brings (`maddjit.compiler.maddness.lists`).
        """
        one_list = list_bytes(self.n_outputs)
        return {
            "maxima": self.scores.n_bytes,
            "thresholds": 4 * row_block,
            "counts": 8 * row_block,
            "pending": 8 * (row_block + 1),
            "long_list": one_list,
            "long_scores": one_list if self.k > 1 else 0,
            "uppers": 4 * (self.n_outputs + VECTOR),
            "lowers": 4 * (self.n_outputs + VECTOR),
            "row": 4 * self.row.columns,
            "ranks": 4 * self.k,
            "scratch": self.scores.scratch_bytes,
            "lists": 0,
        }


def ranking(model: MaddnessModel) -> tuple[MaddnessModel, ShortList]:
    """Return the model whose sums are the scores, and the short list.

    Raises
    ------
    ValueError
        If the model is not calibrated.
    """
    short = model.short_list
    if short is None:
        raise ValueError("the model has no short list: maddjit.calibrate(model, A, B) first")
    ones = np.ones(model.n_outputs, np.float32)
    scores = replace(model, tables=short.tables, scale=ones, offset=0 * ones, short_list=None)
    return scores, short


def plan_settle(
    scan: ScanPlan,
    sum_bits: int,
    shape: tuple[int, int],
    signature: Signature,
    row_block: int,
    target: Target,
) -> SettlePlan:
    """Return how the winners of each row are found from the scores of a scan.

    Parameters
    ----------
    sum_bits : int
        Bits of a score.
    shape : (D, M)
        The shape of B.
    row_block : int
        Rows of a block.
    """
    n_outputs, k = shape[1], signature.k
    packing = Packing.of(*shape)
    screen = plan_screen(packing, k, target)
    at_once = k == 1 and scan.n_tiles == 1 and n_outputs <= settings.LEAST_ROOM
    list_lanes = {part.lanes for tile in scan.tiles for part, _ in tile.parts}
    list_lanes |= ({64} if at_once else set()) | ({VECTOR} if screen else set())
    return SettlePlan(
        k=k,
        n_outputs=n_outputs,
        settles_all=signature.scored or k > 1,
        at_once=at_once,
        list_lanes=tuple(sorted(list_lanes)),
        scores=plan_scores(scan, sum_bits, row_block),
        row=plan_row(shape[0], packing, signature),
        products=plan_products(packing),
        screen=screen,
    )


def plan_row(n_features: int, packing: Packing, signature: Signature) -> RowPlan:
    """Return how a row is brought into float32; some rows of float32 stay where they are."""
    is_float32 = (signature.dtype, signature.order) == ("float32", "C")
    return RowPlan(
        direct=is_float32 and packing.columns == n_features,
        columns=packing.columns,
        whole=n_features // VECTOR * VECTOR,
        rest=n_features % VECTOR,
    )


def plan_products(packing: Packing) -> ProductPlan:
    """Return the plan of the products with columns of B; more is fetched ahead if B is large."""
    n_lines = settings.PRODUCT_LINES[packing.is_near]
    return ProductPlan(
        n_groups=packing.columns // SETTLE_LANES,
        group_bytes=4 * SETTLE_LANES,
        column_bytes=packing.column_bytes,
        members_ahead=settings.PRODUCTS_AHEAD,
        lines_ahead=tuple(range(0, packing.column_bytes, LINE))[:n_lines],
    )
