"""Pictures of a model, drawn by Matplotlib: what it has learned, and how large its errors are."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit import reference
from maddjit.models.drawing import draw
from maddjit.models.encoders import AdditiveCodes
from maddjit.models.fit_report import FitReport
from maddjit.models.maddness import MaddnessModel
from maddjit.models.strassen_tile import StrassenTileModel, TileReport

Draw = Callable[[Any], None]
"""Draws into Matplotlib's axes."""

_WRITTEN_LEVELS = 4
"""Levels of a tree whose thresholds are written out: below them there is no room."""


@draw.register(MaddnessModel)
@draw.register(StrassenTileModel)
def _drawn(
    model: MaddnessModel | StrassenTileModel, A: ArrayLike | None, codebook: int, figure: Any
) -> Any:
    """Draw all pictures of a model into one figure, side by side."""
    drawings = pictures(model, A, codebook)
    if figure is None:
        try:
            from matplotlib import pyplot
        except ImportError as error:
            raise ImportError("plot needs Matplotlib: pip install 'maddjit[plot]'") from error
        figure = pyplot.figure(figsize=(5 * len(drawings), 4), layout="constrained")
    axes = figure.subplots(1, len(drawings), squeeze=False)[0]
    for ax, (title, picture) in zip(axes, drawings.items(), strict=True):
        ax.set_title(title)
        picture(ax)
    return figure


def pictures(
    model: MaddnessModel | StrassenTileModel, A: ArrayLike | None = None, codebook: int = 0
) -> dict[str, Draw]:
    """Return the pictures of a model by their titles; parameters are those of `maddjit.plot`.

    Raises
    ------
    ValueError
        If there is no such codebook, or A does not fit.
    """
    found: dict[str, Draw] = {}
    if isinstance(model, StrassenTileModel):
        scheme = model.scheme
        n, d, m = scheme.shape
        found[f"encoder of A, {n} × {d} tiles"] = partial(_factor, scheme.encode_a, "entry of X")
        found[f"encoder of B, {d} × {m} tiles"] = partial(_factor, scheme.encode_b, "entry of W")
        found[f"decoder, {n} × {m} tiles"] = partial(_factor, scheme.decode.T, "entry of Y")
        if model.report is not None:
            found["error on held-out rows"] = partial(_tile_errors, model.report)
            if len(model.report.objective) > 1:
                found["objective"] = partial(_objective, model.report)
        return found
    if not 0 <= codebook < model.n_codebooks:
        raise ValueError(f"codebook must be from 0 to {model.n_codebooks - 1}, not {codebook}")
    if isinstance(model.encoder, AdditiveCodes):
        weights = model.encoder.prototypes[codebook]
        found[f"prototypes of codebook {codebook}"] = partial(_prototypes, weights)
    else:
        found[f"tree of codebook {codebook}"] = partial(_tree, model, codebook)
        found["splits"] = partial(_splits, model)
    if A is not None:
        codes = reference.encode(model, np.atleast_2d(np.asarray(A)))
        found[f"codes of {len(codes)} rows"] = partial(_usage, model, codes)
    if model.report is not None:
        found["error of each output"] = partial(_output_errors, model.report)
    return found


def _tree(model: MaddnessModel, codebook: int, ax: Any) -> None:
    """Draw the tree: rows go right when their column is at least the threshold."""
    columns, thresholds = model.split_dims[codebook], model.thresholds[codebook]
    for level in range(model.depth):
        for node in range(2**level):
            x, threshold = (node + 0.5) / 2**level, thresholds[2**level - 1 + node]
            for child in (2 * node, 2 * node + 1):
                below = (child + 0.5) / 2 ** (level + 1)
                ax.plot([x, below], [level, level + 1], color="0.7", linewidth=1, zorder=1)
            if level < _WRITTEN_LEVELS:
                box = {"boxstyle": "round", "facecolor": "white", "edgecolor": "0.5"}
                ax.text(
                    x,
                    level,
                    f"{threshold:.3g}",
                    ha="center",
                    va="center",
                    fontsize=9 - level,
                    rotation=90 if level == _WRITTEN_LEVELS - 1 else 0,
                    bbox=box,
                )
    leaves = (np.arange(model.n_prototypes) + 0.5) / model.n_prototypes
    ax.plot(leaves, np.full(model.n_prototypes, model.depth), "s", markersize=3, color="C0")
    ax.set_yticks(range(model.depth + 1), [*(f"column {j}" for j in columns), "code"])
    ax.set_xticks([leaves[0], leaves[-1]], ["0", str(model.n_prototypes - 1)])
    ax.set_xlabel("left: below the threshold; right: at it or above")
    ax.set_ylim(model.depth + 0.5, -0.5)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _splits(model: MaddnessModel, ax: Any) -> None:
    """Draw which columns each codebook looks at, one mark for each level."""
    codebooks = np.arange(model.n_codebooks)
    for level in range(model.depth):
        ax.plot(model.split_dims[:, level], codebooks, "o", markersize=4, label=str(level))
    ax.set(xlabel="column of A", ylabel="codebook", xlim=(-0.5, model.n_features - 0.5))
    ax.invert_yaxis()
    ax.legend(title="level", fontsize="small")


def _usage(model: MaddnessModel, codes: NDArray[np.uint8], ax: Any) -> None:
    """Draw how often each code of each codebook occurs; 1 is an even share."""
    counts = np.stack([np.bincount(own, minlength=model.n_prototypes) for own in codes.T])
    share = counts * (model.n_prototypes / max(1, len(codes)))
    image = ax.imshow(share, aspect="auto", interpolation="nearest", vmin=0)
    ax.set(xlabel="code", ylabel="codebook")
    ax.figure.colorbar(image, ax=ax, label="times an even share")


def _output_errors(report: FitReport, ax: Any) -> None:
    """Draw the error of each output, and that of all of them as a line."""
    ax.plot(np.arange(len(report.output_nmse)), report.output_nmse, "o", markersize=3)
    ax.axhline(report.nmse, linestyle=":", color="0.3", label=f"all: {report.nmse:.3g}")
    where = "held-out" if report.held_out else "training"
    ax.set(xlabel="output", ylabel=f"NMSE on {report.n_rows} {where} rows")
    if (report.output_nmse > 0).all():
        ax.set_yscale("log")
    ax.legend()


def _factor(factor: NDArray[np.float32], what: str, ax: Any) -> None:
    """Draw a factor (r, entries) as an image."""
    _image(factor, ax)
    ax.set(xlabel=what, ylabel="multiplication")


def _prototypes(weights: NDArray[np.int8], ax: Any) -> None:
    """Draw the weights of a codebook's prototypes (K, r) as an image."""
    _image(weights.astype(np.float32), ax)
    ax.set(xlabel="direction", ylabel="code")


def _image(numbers: NDArray[np.float32], ax: Any) -> None:
    """Draw a matrix as an image, with 0 in white."""
    most = float(np.abs(numbers).max()) or 1.0
    image = ax.imshow(
        numbers, cmap="RdBu", vmin=-most, vmax=most, aspect="auto", interpolation="nearest"
    )
    ax.figure.colorbar(image, ax=ax)


def _tile_errors(report: TileReport, ax: Any) -> None:
    """Draw the error beside those of the unfitted scheme, of low rank and of bfloat16."""
    bars = {
        "this model": report.error,
        "unfitted": report.unfitted,
        f"low rank {report.rank}": report.low_rank,
        "bfloat16": report.bfloat16,
    }
    ax.barh(list(bars), list(bars.values()), color=["C1", "0.6", "0.6", "0.6"])
    ax.invert_yaxis()
    if min(bars.values()) > 0:
        ax.set_xscale("log")
    where = "held-out" if report.held_out else "training"
    ax.set_xlabel(f"share of the variance lost on {report.n_rows} {where} rows")


def _objective(report: TileReport, ax: Any) -> None:
    """Draw how the objective fell from step to step of the fit."""
    ax.plot(np.arange(len(report.objective)), report.objective, "o-")
    ax.set(xlabel="step of the fit", ylabel="what was minimised")
    if min(report.objective) > 0:
        ax.set_yscale("log")
