"""Reports of compiled networks: what each layer is, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maddjit.compiler.network.operations import Calling
from maddjit.compiler.network.plan import NetworkPlan
from maddjit.models.network import Dense, Exact, LookUp, Network, Step
from maddjit.operators.report import how_made


@dataclass(frozen=True)
class LayerReport:
    """One layer of a compiled network.

    Attributes
    ----------
    name, kind : str
    shape : tuple of int
        What it gives for one image.
    words : str
        Its window and its codebooks, or its weights.
    table_bytes : int
        Bytes of its tables or weights.
    nanoseconds : float
        How long it takes for an image; 0 if that was not measured.
    share : float
        That, divided by what the whole network takes.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    words: str
    table_bytes: int
    nanoseconds: float = 0.0
    share: float = 0.0

    def __str__(self) -> str:
        size = " × ".join(map(str, self.shape))
        told = f"{self.name:<16}{self.kind:<12}{size:<16}{self.table_bytes:>9} bytes"
        if self.nanoseconds:
            told += f"{self.nanoseconds:>10.0f} ns {self.share:>6.1%}"
        return f"{told}  {self.words}".rstrip()


@dataclass(frozen=True)
class NetworkReport:
    """What was compiled for a network, and how long that took; ``print`` shows it.

    Attributes
    ----------
    target : str
        The feature level.
    images : int
        Images that go through all layers together.
    table_bytes, code_bytes, workspace_bytes : int
        The size of all tables and weights, of the object code, which contains them, and of the
        memory that each thread takes.
    layers : tuple of LayerReport
    seconds : dict
        How long each phase of compiling took.
    """

    target: str
    images: int
    table_bytes: int
    code_bytes: int
    workspace_bytes: int
    layers: tuple[LayerReport, ...]
    seconds: Mapping[str, float]

    def __str__(self) -> str:
        lines = [
            f"target    {self.target}",
            f"memory    {self.table_bytes} bytes of tables in {self.code_bytes} of object code, "
            f"{self.workspace_bytes} of workspace a thread",
            f"images    {self.images} at a time",
            *(f"layer     {layer}" for layer in self.layers),
            f"made      {how_made(self.seconds)}",
        ]
        return "\n".join(lines)


def layers_of(
    network: Network, plan: NetworkPlan, nanoseconds: Sequence[float] = ()
) -> tuple[LayerReport, ...]:
    """Return a report for each step of a network.

    Parameters
    ----------
    network : Network
    plan : NetworkPlan
    nanoseconds : sequence of float
        How long each operation takes, if that was measured.
    """
    kernels = {kernel.symbol: kernel.table_bytes for kernel in plan.kernels}
    tables = [0] * len(network.steps)
    times = [0.0] * len(network.steps)
    for i, (operation, number) in enumerate(zip(plan.operations, plan.steps, strict=True)):
        if isinstance(operation, Calling):
            tables[number] += kernels[operation.symbol]
        if nanoseconds:
            times[number] += nanoseconds[i]
    for name, content in plan.constants:
        if name.endswith(".weights"):
            tables[int(name.removeprefix("step").partition(".")[0])] += len(content)
    total = sum(times) or 1.0
    return tuple(
        LayerReport(
            step.name or f"step {i}",
            step.kind,
            network.output_shape if step.planes is None else step.planes.shape,
            words_of(step),
            tables[i],
            times[i],
            times[i] / total,
        )
        for i, step in enumerate(network.steps)
    )


def words_of(step: Step) -> str:
    """Return what a report says of a layer."""
    layer = step.layer
    if isinstance(layer, LookUp):
        product = layer.model.products[0]
        return f"{layer.window}, C={product.n_codebooks}, K={product.n_prototypes}"
    if isinstance(layer, Dense):
        return f"{layer.weights.shape[1]} → {layer.n_outputs}"
    if isinstance(layer, Exact):
        return f"{layer.window}, {layer.n_channels} → {layer.n_outputs}"
    window = getattr(layer, "window", None)
    return "" if window is None else str(window)
