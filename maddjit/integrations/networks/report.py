"""What became of each layer of a network: what it is, what it costs, and what it loses."""

from __future__ import annotations

from dataclasses import dataclass

from maddjit.integrations.networks.choosing import Option


@dataclass(frozen=True)
class LayerLine:
    """One step of a network.

    Attributes
    ----------
    name : str
        The layer's name in the network that was converted.
    kind : str
        "look-ups", "exact" or what else it does, in a word.
    shape : (int, int, int) or None
        Planes, rows and columns of what it gives; None for rows of float32 outputs.
    n_codebooks : int
        0 if it has none.
    nanoseconds : float
        The predicted time for an image.
    error : float or None
        The squared error of what it gives, over its variance: before the clamp, at the places that
        look-ups are learned from, in the network as it is. None for what has no look-ups.
    """

    name: str
    kind: str
    shape: tuple[int, int, int] | None
    n_codebooks: int
    nanoseconds: float
    error: float | None = None


@dataclass(frozen=True)
class ConversionReport:
    """``print(report)`` shows a line for each layer, and what the whole network loses.

    Attributes
    ----------
    layers : tuple of LayerLine
    options : dict of str to tuple of Option
        By layer, what was measured with all other layers exact. Empty if nothing was chosen.
    loss : float
        What the network loses on the images kept back.
    exact_loss : float
        What the network loses there if all layers are exact in 8 bits.
    exact_nanoseconds : float
        The predicted time of that network for an image.
    metric : str
        What the losses are, in words.
    n_images : int
        The images that losses were measured on.
    is_held_out : bool
        Whether they were kept back. Too few calibration images are all learned from.
    level : str
        The level that times are predicted for.
    """

    layers: tuple[LayerLine, ...]
    options: dict[str, tuple[Option, ...]]
    loss: float
    exact_loss: float
    exact_nanoseconds: float
    metric: str
    n_images: int
    is_held_out: bool
    level: str

    @property
    def nanoseconds(self) -> float:
        """The predicted time of the whole network for an image."""
        return sum(line.nanoseconds for line in self.layers)

    def __str__(self) -> str:
        width = max(len(line.name) for line in self.layers)
        told = []
        for line in self.layers:
            size = " × ".join(map(str, line.shape)) if line.shape else "float32 outputs"
            kind = f"{line.kind}, C={line.n_codebooks}" if line.n_codebooks else line.kind
            row = f"{line.name:{width}}  {kind:18}  {size:16}  {line.nanoseconds / 1000:8.1f} µs"
            told.append(row + (f"  NMSE {line.error:.3f}" if line.error is not None else ""))
        told.append(
            f"predicted for {self.level}, one thread: {self.nanoseconds / 1000:.1f} µs an image; "
            f"all exact in 8 bits: {self.exact_nanoseconds / 1000:.1f} µs"
        )
        told.append(
            f"{self.metric}, on {self.n_images} images "
            f"{'kept back' if self.is_held_out else 'that were learned from'}: {self.loss:.4f}; "
            f"all exact in 8 bits: {self.exact_loss:.4f}"
        )
        for name, options in self.options.items():
            parts = [
                f"C={each.n_codebooks}: loss {each.loss:.4f}, {each.nanoseconds / 1000:.1f} µs"
                for each in options
            ]
            told.append(f"{name} alone  " + "; ".join(parts))
        return "\n".join(told)
