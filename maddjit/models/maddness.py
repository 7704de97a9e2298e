"""`MaddnessModel`: an encoder and look-up tables, as a frozen record that is checked when made."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from maddjit.models.archives import StoredModel, stored
from maddjit.models.core import LowRankCore
from maddjit.models.encoders import AdditiveCodes, Encoder, HashTrees, tree_depth
from maddjit.models.fit_report import FitReport
from maddjit.models.records import fields_of, frozen_array, made_again
from maddjit.models.short_list import ShortList

Accumulate = Literal["exact", "average"]

MAX_AVERAGE_GROUP = 16
"""U in the paper: at most so many codebooks are summed by one tree of averages (section 4.4)."""


def average_group(n_codebooks: int) -> int:
    """Return U, how many codebooks one tree averages: the largest power of two ≤ 16 dividing C."""
    return min(n_codebooks & -n_codebooks, MAX_AVERAGE_GROUP)


@stored(
    {
        "encoder": (HashTrees, AdditiveCodes),
        "core": LowRankCore,
        "short_list": ShortList,
        "report": FitReport,
    },
    added={"bias": (2, None)},
    moved={"encoder": HashTrees},
)
@dataclass(frozen=True, eq=False)
class MaddnessModel(StoredModel):
    """An encoder and look-up tables that approximate ``A @ B`` for one fixed B.

    Sizes: D columns of A, M outputs, C codebooks, and K = 2ᵀ prototypes in each. All arrays are
    copied and made read-only.

    Attributes
    ----------
    encoder : HashTrees or AdditiveCodes
        How a row becomes C codes.
    tables : (C, K, M) uint8
        What code k of codebook c adds to the sum of output m.
    scale, offset : (M,) float32
        ``y = float32(sum) * scale + offset``, in two roundings. The bias is in the offset.
    accumulate : {"exact", "average"}
        How the C entries of an output are summed: as integers, or by the paper's tree of rounding
        averages over groups of U codebooks, where U is the largest power of two ≤ 16 dividing C.
    report : FitReport, optional
        The errors of the model on held-out rows.
    core : LowRankCore, optional
        A product of low rank that is added to y exactly: `maddjit.reference.apply` says how.
    short_list : ShortList, optional
        What finds the exact winners; `maddjit.calibrate` measures it.
    bias : (M,) float64, optional
        The bias of ``A @ B + bias`` that the offset holds, which exact products need. None means
        that it is not known, as in models from elsewhere and in old files. Zeros mean that there
        is no bias.

    Raises
    ------
    ValueError, TypeError
        If a shape, a range or a dtype is not as above.
    """

    encoder: Encoder
    tables: NDArray[np.uint8]
    scale: NDArray[np.float32]
    offset: NDArray[np.float32]
    accumulate: Accumulate = "exact"
    report: FitReport | None = None
    core: LowRankCore | None = None
    short_list: ShortList | None = None
    bias: NDArray[np.float64] | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.tables)
        if len(shape) != 3 or 0 in shape:
            raise ValueError(f"tables must have shape (C, K, M), none of them 0, not {shape}")
        n_codebooks, n_prototypes, n_outputs = shape
        tree_depth(n_prototypes)
        if not isinstance(self.encoder, HashTrees | AdditiveCodes):
            raise TypeError(
                f"encoder must be HashTrees or AdditiveCodes, not {type(self.encoder).__name__}"
            )
        encoded = self.encoder.n_codebooks, self.encoder.n_prototypes
        if encoded != shape[:2]:
            raise ValueError(
                f"the encoder gives C = {encoded[0]} codes below K = {encoded[1]}, but tables have "
                f"C = {n_codebooks} and K = {n_prototypes}"
            )
        if self.accumulate not in ("exact", "average"):
            raise ValueError(f'accumulate must be "exact" or "average", not {self.accumulate!r}')
        for name, dtype, wanted in (
            ("tables", np.uint8, (n_codebooks, n_prototypes, n_outputs)),
            ("scale", np.float32, (n_outputs,)),
            ("offset", np.float32, (n_outputs,)),
        ):
            object.__setattr__(self, name, frozen_array(name, getattr(self, name), dtype, wanted))
        if not (np.isfinite(self.scale).all() and np.isfinite(self.offset).all()):
            raise ValueError("scale and offset must be finite")
        if self.bias is not None:
            bias = frozen_array("bias", self.bias, np.float64, (n_outputs,))
            if not (np.abs(bias) <= np.finfo(np.float32).max).all():
                raise ValueError("bias must be finite in float32")
            object.__setattr__(self, "bias", bias)
        if self.report is not None:
            self._check_report(self.report)
        if self.core is not None:
            self._check_core(self.core)
        if self.short_list is not None:
            self._check_short_list(self.short_list)

    def _check_report(self, report: object) -> None:
        if not isinstance(report, FitReport):
            raise TypeError(f"report must be a FitReport, not {type(report).__name__}")
        if len(report.output_nmse) != self.n_outputs:
            raise ValueError(
                f"the report must be of {self.n_outputs} outputs, not {len(report.output_nmse)}"
            )

    def _check_core(self, core: object) -> None:
        if not isinstance(core, LowRankCore):
            raise TypeError(f"core must be a LowRankCore, not {type(core).__name__}")
        shape = len(core.projection), core.expansion.shape[1]
        if shape != (self.n_features, self.n_outputs):
            raise ValueError(
                f"the core must be of {self.n_features} columns and {self.n_outputs} outputs, "
                f"not {shape[0]} and {shape[1]}"
            )

    def _check_short_list(self, short: object) -> None:
        if not isinstance(short, ShortList):
            raise TypeError(f"short_list must be a ShortList, not {type(short).__name__}")
        if self.core is not None or self.accumulate != "exact":
            raise ValueError("a model with a core or averages cannot have a short list")
        if short.tables.shape != self.tables.shape or len(short.B) != self.n_features:
            raise ValueError(
                f"the short list must have tables of shape {self.tables.shape} and B of "
                f"{self.n_features} rows, not {short.tables.shape} and {len(short.B)}"
            )
        if self.bias is not None and not np.array_equal(short.bias, np.float32(self.bias)):
            raise ValueError("the short list must have the model's own bias, rounded to float32")

    @classmethod
    def of(cls, fitted: object) -> MaddnessModel:
        """Return `fitted` as a model: itself, or one made from an object with trees and tables.

        Raises
        ------
        TypeError
            If an attribute is missing.
        """
        if isinstance(fitted, cls):
            return fitted
        names: tuple[str, ...] = ("split_dims", "thresholds", "n_features")
        encoder = getattr(fitted, "encoder", None)
        if isinstance(encoder, HashTrees | AdditiveCodes):
            names = ()
        names = (*names, "tables", "scale", "offset")
        missing = [name for name in names if not hasattr(fitted, name)]
        if missing:
            why = f"it lacks {', '.join(missing)}"
            if isinstance(fitted, (str, os.PathLike)):
                why = "maddjit.load(path) first"
            elif isinstance(getattr(fitted, "model", None), cls):
                why = "its .model is one"
            elif isinstance(getattr(fitted, "products", None), tuple):
                why = "each of its .products is one, and maddjit.compile takes it as a whole"
            raise TypeError(f"{type(fitted).__name__} is not a fitted model: {why}")
        found = {name: getattr(fitted, name) for name in names}
        if not isinstance(encoder, HashTrees | AdditiveCodes):
            encoder = HashTrees(*(found.pop(name) for name in names[:3]))
        core = getattr(fitted, "core", None)
        if core is not None and not isinstance(core, LowRankCore):
            core = LowRankCore(core.projection, core.expansion)
        return cls(
            encoder,
            **found,
            accumulate=getattr(fitted, "accumulate", "exact"),
            core=core,
            short_list=getattr(fitted, "short_list", None),
            bias=getattr(fitted, "bias", None),
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (MaddnessModel, fields_of(self))

    @property
    def n_codebooks(self) -> int:
        """The number of codebooks, C."""
        return len(self.tables)

    @property
    def n_prototypes(self) -> int:
        """The number of prototypes of each codebook, K."""
        return int(self.tables.shape[1])

    @property
    def n_outputs(self) -> int:
        """The number of outputs, M."""
        return int(self.tables.shape[2])

    @property
    def n_features(self) -> int:
        """The number of columns of A, D."""
        return self.encoder.n_features

    @property
    def trees(self) -> HashTrees:
        """The encoder, if it is one of hash trees.

        Raises
        ------
        TypeError
            If it is not.
        """
        if isinstance(self.encoder, HashTrees):
            return self.encoder
        raise TypeError("this model has additive codes and no hash trees")

    @property
    def split_dims(self) -> NDArray[np.int32]:
        """The split columns of the trees, (C, T); see `HashTrees`."""
        return self.trees.split_dims

    @property
    def thresholds(self) -> NDArray[np.float32]:
        """The thresholds of the trees, (C, K − 1); see `HashTrees`."""
        return self.trees.thresholds

    @property
    def depth(self) -> int:
        """The number of levels of each tree, T."""
        return self.trees.depth

    def error_bound(self, delta: float = 0.05) -> NDArray[np.float64]:
        """Return the paper's bound on each output's expected absolute error (theorem 4.1).

        The bound holds with probability 1 − δ over the training rows. Unless there are very many
        rows it is far above the held-out error, ``report.absolute_error``. As in the authors' code,
        the regression here corrects bucket means; the theorem is about a regression without them.

        Parameters
        ----------
        delta : float
            δ, the probability that the bound does not hold.

        Returns
        -------
        (M,) float64

        Raises
        ------
        ValueError
            If the model is not the paper's (method="paper", K = 16, ridge prototypes), has no
            report, or δ is not between 0 and 1.
        """
        if self.report is None or self.report.bound_terms is None:
            raise ValueError(
                'the bound is known for models of fit(method="paper") with 16 prototypes '
                "found by ridge regression"
            )
        return self.report.bound_terms.bound(delta)

    def __repr__(self) -> str:
        core = f", rank={self.core.rank}" if self.core else ""
        known = self.report is not None and self.report.held_out and self.report.n_rows > 1
        error = f", nmse={self.report.nmse:.4g}" if self.report and known else ""
        return (
            f"MaddnessModel(D={self.n_features}, M={self.n_outputs}, C={self.n_codebooks}, "
            f"K={self.n_prototypes}, accumulate={self.accumulate!r}{core}{error})"
        )
