"""`ConvolutionModel`: a convolution by look-ups, one product of patches for each group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.checks import as_whole
from maddjit.models.archives import StoredModel, stored
from maddjit.models.maddness import MaddnessModel
from maddjit.models.records import fields_of, made_again
from maddjit.models.window import Window


@stored({"products": MaddnessModel, "window": Window})
@dataclass(frozen=True, eq=False)
class ConvolutionModel(StoredModel):
    """Hash trees and look-up tables that approximate a convolution.

    The planes of group g, seen through the window, are the rows of A of ``products[g]``: its column
    (c · n_taps + tap) is what entry `tap` of the kernel sees of the group's plane c.
    `maddjit.convolution_reference` is the definition.

    Attributes
    ----------
    products : tuple of MaddnessModel
        One for each group, all with as many columns and outputs.
    window : Window
    fill : int
        What stands outside of the planes. It is the zero point of planes of int8 or uint8.

    Raises
    ------
    ValueError
        If there is no product, or the products and the window do not fit each other.
    TypeError
        If a product is not a MaddnessModel, the window is not a Window, or the fill is not a whole
        number.
    """

    products: tuple[MaddnessModel, ...]
    window: Window
    fill: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "products", tuple(self.products))
        object.__setattr__(self, "fill", as_whole("fill", self.fill))
        if not self.products:
            raise ValueError("a convolution has at least one product")
        if not all(isinstance(product, MaddnessModel) for product in self.products):
            raise TypeError("products must be MaddnessModels")
        if not isinstance(self.window, Window):
            raise TypeError(f"window must be a Window, not {self.window!r}")
        sizes = {(product.n_features, product.n_outputs) for product in self.products}
        if len(sizes) > 1:
            raise ValueError(f"the products of all groups must have the same sizes, not {sizes}")
        if self.products[0].n_features % self.window.n_taps:
            raise ValueError(
                f"a product of {self.products[0].n_features} columns does not fit {self.window}"
            )

    @property
    def groups(self) -> int:
        """The number of groups."""
        return len(self.products)

    @property
    def group_channels(self) -> int:
        """The input planes of one group."""
        return self.products[0].n_features // self.window.n_taps

    @property
    def n_channels(self) -> int:
        """The number of input planes."""
        return self.groups * self.group_channels

    @property
    def n_outputs(self) -> int:
        """The number of output planes, M."""
        return self.groups * self.products[0].n_outputs

    @property
    def error(self) -> str:
        """The error on patches that were not learned from, in words; empty if it is not known."""
        reports = [product.report for product in self.products]
        known = [report for report in reports if report is not None]
        if not known:
            return ""
        if self.groups == 1:
            return str(known[0])
        worst = max(known, key=lambda report: report.nmse)
        mean = sum(report.nmse for report in known) / len(known)
        return f"NMSE {mean:.4g} on average over {self.groups} groups; worst group: {worst}"

    def __reduce__(self) -> tuple[Any, ...]:
        return made_again, (ConvolutionModel, fields_of(self))

    def __repr__(self) -> str:
        product = self.products[0]
        groups = f", groups={self.groups}" if self.groups > 1 else ""
        return (
            f"ConvolutionModel({self.n_channels} → {self.n_outputs}, {self.window}{groups}, "
            f"C={product.n_codebooks}, K={product.n_prototypes})"
        )


def as_tables(weights: Any) -> NDArray[Any]:
    """Return the weights (M, C, kh, kw) of one group as the right-hand side (C · kh · kw, M)."""
    given = np.asarray(weights)
    return np.ascontiguousarray(given.reshape(len(given), -1).T)
