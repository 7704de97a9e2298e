"""The options of `fit` that do not depend on data, and their checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from maddjit.arrays.checks import as_whole
from maddjit.models.core import MAX_RANK
from maddjit.models.encoders import tree_depth
from maddjit.models.fit_report import Objective
from maddjit.models.maddness import Accumulate

Method = Literal["best", "paper"]
Prototypes = Literal["ridge", "bucket-means"]
OnInterrupt = Literal["finish", "raise"]
TableScale = Literal["per-output", "global", "power-of-two"]
EncoderKind = Literal["trees", "additive", "auto"]

_PAPER = {"prototypes": "ridge", "n_candidates": 4, "penalty": 1.0}
"""Options that only the paper's learner has, with their defaults."""


@dataclass(frozen=True)
class Options:
    """The options of `maddjit.fit`, whose docstring says what each means.

    Raises
    ------
    ValueError, TypeError
        If an option is unknown, out of range or not a whole number.
    """

    n_codebooks: int
    n_prototypes: int
    method: Method
    core_rank: int
    prototypes: Prototypes
    accumulate: Accumulate
    table_scale: TableScale
    byte_group: int | Literal["auto"]
    n_candidates: int | None
    penalty: float
    on_interrupt: OnInterrupt = "finish"
    objective: Objective = "product"
    encoder: EncoderKind = "trees"

    def __post_init__(self) -> None:
        for name in ("n_codebooks", "n_prototypes", "core_rank", "n_candidates", "byte_group"):
            self._check_whole(name)
        for name, kind in (
            ("method", Method),
            ("prototypes", Prototypes),
            ("accumulate", Accumulate),
            ("table_scale", TableScale),
            ("on_interrupt", OnInterrupt),
            ("encoder", EncoderKind),
            ("objective", Objective),
        ):
            if getattr(self, name) not in get_args(kind):
                known = ", ".join(get_args(kind))
                raise ValueError(f"{name} must be one of {known}, not {getattr(self, name)!r}")
        tree_depth(self.n_prototypes)
        if not 0 <= self.core_rank <= MAX_RANK:
            raise ValueError(f"core_rank must be from 0 to {MAX_RANK}, not {self.core_rank}")
        self._check_for_method()
        if self.n_candidates is not None and self.n_candidates < 1:
            raise ValueError(f"n_candidates must be at least 1 or None, not {self.n_candidates}")
        if not 1e-6 <= self.penalty < np.inf:
            raise ValueError(f"penalty must be finite and at least 1e-6, not {self.penalty}")
        if self.byte_group != "auto":
            if isinstance(self.byte_group, str) or not 1 <= self.byte_group <= self.n_codebooks:
                raise ValueError(
                    f'byte_group must be "auto" or from 1 to {self.n_codebooks}, '
                    f"not {self.byte_group!r}"
                )
            if self.accumulate == "average" and self.byte_group != 1:
                raise ValueError("byte_group is for exact sums: averages always fit a byte")

    @property
    def depth(self) -> int:
        """The number of levels of a tree, T."""
        return tree_depth(self.n_prototypes)

    def check_columns(self, n_features: int) -> None:
        """Refuse more trees than A has columns.

        Raises
        ------
        ValueError
        """
        if self.encoder != "trees":
            if self.n_codebooks < 1:
                raise ValueError(f"n_codebooks must be at least 1, not {self.n_codebooks}")
            return
        if not 1 <= self.n_codebooks <= n_features:
            raise ValueError(
                f"n_codebooks must be from 1 to the number of columns, {n_features}, "
                f"not {self.n_codebooks}"
            )

    def _check_for_method(self) -> None:
        """Refuse options of the other method, which would have no effect."""
        if self.method == "paper":
            if self.encoder != "trees":
                raise ValueError(
                    f'encoder={self.encoder!r} is for method="best": the paper has trees'
                )
            if self.core_rank:
                raise ValueError('core_rank is for method="best": the paper has no core')
            return
        for name, default in _PAPER.items():
            if getattr(self, name) != default:
                raise ValueError(f'{name} is for method="paper", and has no effect on "best"')

    def _check_whole(self, name: str) -> None:
        """Make an option a plain int, or refuse what is not a whole number."""
        value = getattr(self, name)
        if value is None or (name == "byte_group" and isinstance(value, str)):
            return
        object.__setattr__(self, name, as_whole(name, value))
