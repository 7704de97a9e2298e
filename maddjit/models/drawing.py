"""`plot`, which draws a model; `maddjit.looking.pictures` registers how each kind is drawn."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from numpy.typing import ArrayLike


def plot(model: Any, A: ArrayLike | None = None, *, codebook: int = 0, figure: Any = None) -> Any:
    """Draw what a model learned, and how large its errors are.

    Draws one tree, or the weights of one codebook's prototypes, how often each code is used, and
    the error of each output. For Strassen-Tile models it draws the scheme's factors and the error
    of each output.

    Parameters
    ----------
    model : MaddnessModel or StrassenTileModel
    A : (N, D) array_like, optional
        Rows whose codes are counted.
    codebook : int
        The codebook whose tree, or whose prototypes, are drawn.
    figure : matplotlib.figure.Figure, optional
        Where to draw; by default a new figure of pyplot.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If Matplotlib is not installed.
    ValueError
        If there is no such codebook, or A does not fit.
    """
    return draw(model, A, codebook, figure)


@singledispatch
def draw(model: Any, A: ArrayLike | None, codebook: int, figure: Any) -> Any:
    """Draw a model of a registered kind; `maddjit.looking.pictures` registers all kinds."""
    raise TypeError(f"plot takes a model, not {type(model).__name__}")
