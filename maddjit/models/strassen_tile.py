"""What `fit_strassen_tile` returns: a bilinear scheme with B encoded; nothing here computes."""

from __future__ import annotations

from dataclasses import dataclass
from operator import index
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.models.archives import Model, stored
from maddjit.models.records import fields_of, frozen_array, made_again
from maddjit.models.schemes import BilinearScheme

Kind = Literal["exact", "rounded", "approximate"]

MAX_TILE_ROWS = 1024
"""Workspaces grow with them; no more than 64 are of use."""

_ENCODED_BYTES = 512 * 1024
"""Encoded rows of A that a core's second-level cache holds beside the rest."""


def default_tile_rows(scheme: BilinearScheme, n_features: int) -> int:
    """Return R, 32, 16 or 8: the most whose encoded float32 rows take at most 512 KiB."""
    columns = -(-n_features // scheme.shape[1])
    for rows in (32, 16):
        if rows * scheme.rank * columns * 4 <= _ENCODED_BYTES:
            return rows
    return 8


@dataclass(frozen=True)
class TileReport:
    """How wrong a model is on rows that it was not fitted to, beside what costs as much.

    Errors are Σ(Ŷ − Y)² over Σ of each output's squared deviation from its own mean, and NaN for a
    single row, which has none.

    Attributes
    ----------
    n_rows : int
        Rows the figures were measured on.
    held_out : bool
        False if there were too few rows to keep any back, so that training rows were used.
    error : float
        Of the model.
    unfitted : float
        Of the scheme it started from with B encoded, not fitted to any rows.
    low_rank : float
        Of the product of rank `rank` that is best for the training rows (A-weighted low rank).
    rank : int
        The largest rank r whose r · (D + M) multiplications per row are no more than the model's.
    bfloat16 : float
        Of the plain product, A and B rounded to bfloat16.
    objective : tuple of float
        What was minimised, before the first step and after each one: it never rises.
    learned_by : str
        Version, options and rows of the fit, in words.
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


@stored({"scheme": BilinearScheme, "report": TileReport})
@dataclass(frozen=True, eq=False)
class StrassenTileModel(Model):
    """A bilinear scheme with one fixed B encoded: ``A @ B + bias``, exactly or approximately.

    Sizes: D columns of A, M outputs, a scheme of n × d × m tiles with r multiplications. Columns
    of A are cut into d blocks of Dk = ⌈D/d⌉, outputs into m blocks of Mk = ⌈M/m⌉, zeros behind the
    last. Rows of A are taken n·R at a time, n blocks of R; a last group of N' rows is cut into
    blocks of ⌈N'/n⌉. `maddjit.tile_reference.multiply` is the definition. All arrays are copied
    and made read-only.

    Unless `kind` is "exact", NaN and infinities in one row of A spread to the rows of its tiles,
    and float32 rounding errors are larger than those of the plain product, about twice for each
    level of Strassen. If it is "approximate" a row's outputs depend on those rows as well, and so
    on how rows are ordered and batched.

    Attributes
    ----------
    scheme : BilinearScheme
    n_features, n_outputs : int
        D and M.
    values : (r, Dk, Mk) float32
        V: B as the scheme encodes it, or fitted.
    bias : (M,) float32
    tile_rows : int
        R, a multiple of 8 up to 1024: the rows of one block.
    is_encoded : bool
        Whether `values` is `scheme.encode_b` of B, rounded to float32.
    report : TileReport, optional
        Its error on held-out rows.

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
        """The columns of A in a block, Dk = ⌈D/d⌉."""
        return -(-self.n_features // self.scheme.shape[1])

    @property
    def block_outputs(self) -> int:
        """The outputs in a block, Mk = ⌈M/m⌉."""
        return -(-self.n_outputs // self.scheme.shape[2])

    @property
    def kind(self) -> Kind:
        """What differs from the plain product in float32.

        "exact": nothing, it is the plain product. "rounded": rounding errors, and NaN and
        infinities spread. "approximate": the outputs, even without rounding.
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
        """Multiplications per row of A between encoding and decoding, r · Dk · Mk / n."""
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
