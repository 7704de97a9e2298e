"""`StrassenTileModel`: a bilinear scheme with B encoded, as a frozen record checked when made."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from maddjit.models.archives import StoredModel, stored
from maddjit.models.records import fields_of, frozen_array, made_again
from maddjit.models.schemes import BilinearScheme

Kind = Literal["exact", "rounded", "approximate"]

RowLayout = Literal["blocks", "tokens"]
"""Which rows of A share tiles: rows that are far apart, or neighbours within a sequence."""

MAX_TILE_ROWS = 1024
"""Rows of a block, at most. Workspaces grow with them, and no more than 64 are of use."""

_ENCODED_BYTES = 512 * 1024
"""Bytes of encoded rows of A that the second-level cache of a core holds beside the rest."""


def default_tile_rows(scheme: BilinearScheme, n_features: int) -> int:
    """Return R = 32, 16 or 8: the largest for which encoded float32 rows fit in 512 KiB."""
    columns = -(-n_features // scheme.shape[1])
    for rows in (32, 16):
        if rows * scheme.rank * columns * 4 <= _ENCODED_BYTES:
            return rows
    return 8


@dataclass(frozen=True)
class TileReport:
    """The error of a model on rows that it was not fitted to, beside alternatives of equal cost.

    Errors are Σ(Ŷ − Y)² over Σ of each output's squared deviation from its own mean. They are NaN
    for a single row, which has no such deviation.

    Attributes
    ----------
    n_rows : int
        The number of rows that the errors were measured on.
    held_out : bool
        Whether these rows were kept back from the fit. False if there were too few rows to keep
        any back, so that training rows were used.
    error : float
        The error of the model.
    unfitted : float
        The error of the scheme that the fit started from, with B encoded and nothing fitted.
    low_rank : float
        The error of the product of rank `rank` that is best for the training rows (A-weighted low
        rank).
    rank : int
        The largest rank r whose r · (D + M) multiplications per row are no more than the model's.
    bfloat16 : float
        The error of the plain product with A and B rounded to bfloat16.
    objective : tuple of float
        What the fit minimised, before the first round and after each one. It never rises.
    learned_by : str
        The version, the options and the rows of the fit, in words.
    """

    n_rows: int
    held_out: bool
    error: float
    unfitted: float
    low_rank: float
    rank: int
    bfloat16: float
    objective: tuple[float, ...] = ()
    learned_by: str = ""

    def __str__(self) -> str:
        where = "held-out" if self.held_out else "training (none held out)"
        return (
            f"error {self.error:.3g} on {self.n_rows} {where} rows; "
            f"scheme unfitted {self.unfitted:.3g}; "
            f"low rank at equal multiplications (r = {self.rank}) {self.low_rank:.3g}; "
            f"bfloat16 {self.bfloat16:.3g}"
        )


@stored({"scheme": BilinearScheme, "report": TileReport}, {"rows": (3, "blocks")})
@dataclass(frozen=True, eq=False)
class StrassenTileModel(StoredModel):
    """A product ``A @ B + bias`` by a bilinear scheme, exact or approximate, for one fixed B.

    Sizes: D columns of A, M outputs, and a scheme of n × d × m tiles with r multiplications. The
    columns of A are cut into d blocks of Dk = ⌈D/d⌉ and the outputs into m blocks of Mk = ⌈M/m⌉,
    with zeros behind the last. If `rows` is "blocks", rows of A are taken n·R at a time, as n
    blocks of R; a last group of N' rows is cut into blocks of ⌈N'/n⌉. The rows at the same place of
    all blocks share their tiles. If it is "tokens", n neighbours of a sequence share their tiles,
    and each sequence has zeros behind its last row. `maddjit.tile_reference.multiply` is the
    definition. All arrays are copied and made read-only.

    Unless `kind` is "exact", NaN and infinities in one row of A spread to the rows of its tiles,
    and float32 rounding errors are larger than those of the plain product, by a factor of about two
    for each level of Strassen. If `kind` is "approximate", a row's outputs also depend on the other
    rows of its tiles: on how rows are ordered, and with "blocks" on how they are batched, too.

    Attributes
    ----------
    scheme : BilinearScheme
    n_features, n_outputs : int
        D and M.
    values : (r, Dk, Mk) float32
        V: B as the scheme encodes it, or as it was fitted.
    bias : (M,) float32
        Added to the product.
    tile_rows : int
        R, the number of rows of one block: a multiple of 8 up to 1024.
    is_encoded : bool
        Whether `values` is B encoded by `scheme.encode_b`, rounded to float32.
    report : TileReport, optional
        The errors of the model on held-out rows.
    rows : {"blocks", "tokens"}
        Which rows share their tiles.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above, or an entry is not finite.

    Examples
    --------
    >>> import numpy as np, maddjit
    >>> maddjit.fit_strassen_tile(np.eye(6, 4, dtype=np.float32), tile=2)
    StrassenTileModel(D=6, M=4, 'strassen', rank=7, R=32, rounded)
    """

    scheme: BilinearScheme
    n_features: int
    n_outputs: int
    values: NDArray[np.float32]
    bias: NDArray[np.float32]
    tile_rows: int
    is_encoded: bool
    report: TileReport | None = None
    rows: RowLayout = "blocks"

    def __post_init__(self) -> None:
        if not isinstance(self.scheme, BilinearScheme):
            raise TypeError(f"scheme must be a BilinearScheme, not {type(self.scheme).__name__}")
        for name in ("n_features", "n_outputs", "tile_rows"):
            size = index(getattr(self, name))
            if size < 1:
                raise ValueError(f"{name} must be above 0, not {size}")
            object.__setattr__(self, name, size)
        if self.tile_rows % 8 or self.tile_rows > MAX_TILE_ROWS:
            raise ValueError(
                f"tile_rows must be a multiple of 8 up to {MAX_TILE_ROWS}, not {self.tile_rows}"
            )
        if not isinstance(self.is_encoded, bool):
            raise TypeError(f"is_encoded must be a bool, not {type(self.is_encoded).__name__}")
        if self.report is not None and not isinstance(self.report, TileReport):
            raise TypeError(f"report must be a TileReport, not {type(self.report).__name__}")
        if self.rows not in get_args(RowLayout):
            raise ValueError(f'rows must be "blocks" or "tokens", not {self.rows!r}')
        for name, shape in (
            ("values", (self.scheme.rank, self.block_features, self.block_outputs)),
            ("bias", (self.n_outputs,)),
        ):
            array = frozen_array(name, getattr(self, name), np.float32, shape)
            if not np.isfinite(array).all():
                raise ValueError(f"{name} must be finite")
            object.__setattr__(self, name, array)

    @property
    def block_features(self) -> int:
        """The number of columns of A in a block, Dk = ⌈D/d⌉."""
        return -(-self.n_features // self.scheme.shape[1])

    @property
    def block_outputs(self) -> int:
        """The number of outputs in a block, Mk = ⌈M/m⌉."""
        return -(-self.n_outputs // self.scheme.shape[2])

    @property
    def kind(self) -> Kind:
        """How the result differs from the plain product in float32.

        "exact": not at all, it is the plain product. "rounded": by rounding errors, and NaN and
        infinities spread. "approximate": the outputs differ even without rounding.
        """
        if not (self.is_encoded and self.scheme.is_exact):
            return "approximate"
        scheme = self.scheme
        factors = scheme.encode_a, scheme.encode_b, scheme.decode
        if scheme.shape == (1, 1, 1) and all((f == 1).all() and f.size == 1 for f in factors):
            return "exact"
        return "rounded"

    @property
    def multiplications(self) -> float:
        """The multiplications per row of A between encoding and decoding, r · Dk · Mk / n."""
        scheme = self.scheme
        return scheme.rank * self.block_features * self.block_outputs / scheme.shape[0]

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (StrassenTileModel, fields_of(self))

    def __repr__(self) -> str:
        error = f", error={self.report.error:.4g}" if self.report else ""
        return (
            f"StrassenTileModel(D={self.n_features}, M={self.n_outputs}, {self.scheme.name!r}, "
            f"rank={self.scheme.rank}, R={self.tile_rows}, {self.kind}{error})"
        )
