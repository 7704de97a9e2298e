"""The function that draws a model; how each kind is drawn is registered by the drawing room."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

from numpy.typing import ArrayLike


def plot(model: Any, A: ArrayLike | None = None, *, codebook: int = 0, figure: Any = None) -> Any:
    """Draw a model: what it learned, and how wrong it is.

    Draws one codebook's tree, how often each code is used, and the error of each output. Of a
    Strassen-Tile model it draws the scheme's factors and the error of each output.

    Parameters
    ----------
    model : MaddnessModel or StrassenTileModel
    A : (N, D) array_like, optional
        Rows whose codes are counted.
    codebook : int
        Whose tree is drawn.
    figure : matplotlib.figure.Figure, optional
        What to draw into; by default a new one of pyplot's.

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
    """Draw a model of a kind that is registered; `maddjit.looking.pictures` registers all kinds."""
    raise TypeError(f"plot takes a model, not {type(model).__name__}")
