"""The report of a replacement: what became of each layer of a PyTorch model."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Replacement:
    """What became of one layer.

    Attributes
    ----------
    name : str
    shape : (int, int)
        The numbers of inputs and outputs.
    n_rows : int
        The number of rows that it was fitted to.
    nmse : float
        The error of its product on rows that were held out; NaN if the layer stayed. If fewer than
        20 rows reach the layer, none are held out, and the error is that of the rows learned from.
    why : str
        What the layer is now and what was moved across with it, or why it stayed.
    replaced : bool
        Whether the layer was replaced.
    """

    name: str
    shape: tuple[int, int]
    n_rows: int
    nmse: float
    why: str
    replaced: bool


@dataclass(frozen=True)
class Report:
    """What `replace_linear` did, layer by layer; ``print(report)`` shows it.

    Attributes
    ----------
    layers : tuple of Replacement
        One for each layer whose name matches, in the order of the model.
    """

    layers: tuple[Replacement, ...]

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of the layers that were replaced."""
        return tuple(layer.name for layer in self.layers if layer.replaced)

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        return "\n".join(
            f"{layer.name:{width}}  {layer.shape[0]} → {layer.shape[1]}  "
            + (f"NMSE {layer.nmse:.4g}, {layer.why}" if layer.replaced else f"stays: {layer.why}")
            for layer in self.layers
        )
