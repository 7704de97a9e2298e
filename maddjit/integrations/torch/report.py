"""What became of the layers of a PyTorch model, as records that print."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Replacement:
    """What became of one layer.

    Attributes
    ----------
    name : str
    shape : (int, int)
        Inputs and outputs.
    n_rows : int
        Rows it was fitted to.
    nmse : float
        Held-out error of its product, NaN if it stayed; of fewer than 20 rows none are held out.
    why : str
        What it is now and what was moved across with it, or why it stayed.
    replaced : bool
    """

    name: str
    shape: tuple[int, int]
    n_rows: int
    nmse: float
    why: str
    replaced: bool


@dataclass(frozen=True)
class Report:
    """What `replace_linear` did, layer by layer."""

    layers: tuple[Replacement, ...]

    @property
    def replaced(self) -> tuple[str, ...]:
        """Names of the layers that were replaced."""
        return tuple(layer.name for layer in self.layers if layer.replaced)

    def __str__(self) -> str:
        width = max(len(layer.name) for layer in self.layers)
        return "\n".join(
            f"{layer.name:{width}}  {layer.shape[0]} → {layer.shape[1]}  "
            + (f"NMSE {layer.nmse:.4g}, {layer.why}" if layer.replaced else f"stays: {layer.why}")
            for layer in self.layers
        )
