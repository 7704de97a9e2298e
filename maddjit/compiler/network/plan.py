"""The plan of a network: its operations, its kernels of look-ups, its arena and its constants."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import prod

from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.network.exact import Convolving, Packing, RowProducts
from maddjit.compiler.network.filling import Clearing
from maddjit.compiler.network.multiplying import Products
from maddjit.compiler.network.operations import (
    Adding,
    Calling,
    Flattening,
    LayingOut,
    Leaving,
    Pooling,
    Quantising,
)
from maddjit.compiler.outline import outlined
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target

Operation = (
    Quantising
    | LayingOut
    | Clearing
    | Flattening
    | Calling
    | Convolving
    | RowProducts
    | Pooling
    | Adding
    | Leaving
)
"""All kinds of operations."""


@dataclass(frozen=True)
class NetworkPlan:
    """A network, decided: every operation with its numbers, and all constants of its code.

    Attributes
    ----------
    symbol : str
        Name of the function.
    target : Target
    images : int
        Images that go through all operations together.
    operations : tuple of operations
        In calling order.
    steps : tuple of int
        For each operation, the step of the network that it belongs to.
    kernels : tuple of Plan
        The kernels of look-ups, each a module of its own.
    image_steps : tuple of int
        The bytes between neighbouring images of a row, of all geometries.
    planes_bytes, workspace_bytes : int
        Bytes of all planes, and of everything that a call works in.
    products : Products
        How integers are multiplied.
    signature : Signature
        The formats of images and results, each image and each result being a row.
    input_shape : (int, int, int)
    output_shape : tuple of int
    constants : tuple of (str, bytes)
        The constants of the code, but for those of the kernels.
    """

    symbol: str
    target: Target
    images: int
    operations: tuple[Operation, ...]
    steps: tuple[int, ...]
    kernels: tuple[Plan, ...]
    image_steps: tuple[int, ...]
    planes_bytes: int
    workspace_bytes: int
    products: Products
    signature: Signature
    input_shape: tuple[int, int, int]
    output_shape: tuple[int, ...]
    constants: tuple[tuple[str, bytes], ...] = field(repr=False)

    template = "network/network.ll.j2"
    packed = None
    row_unit = 1

    def __str__(self) -> str:
        return outlined(self)

    @property
    def n_features(self) -> int:
        """Numbers of an image."""
        return prod(self.input_shape)

    @property
    def n_outputs(self) -> int:
        """Numbers of a result."""
        return prod(self.output_shape)

    @property
    def told(self) -> str:
        """What the network is, in words."""
        n_steps, n_kernels = self.steps[-1] + 1, len(self.kernels)
        given, made = (" x ".join(map(str, s)) for s in (self.input_shape, self.output_shape))
        return f"a network of {n_steps} steps from {given} to {made}, {n_kernels} of look-ups"

    def for_linkers(self) -> NetworkPlan:
        """Return this plan for objects that linkers take."""
        target = self.target.for_linkers()
        kernels = tuple(replace(kernel, target=target) for kernel in self.kernels)
        return replace(self, target=target, kernels=kernels)

    @property
    def about_symbol(self) -> str:
        """The name of the constant that tells callers what the code needs."""
        return f"{self.symbol}_about"

    @property
    def about(self) -> tuple[int, int, int]:
        """That constant: bytes of a workspace, images of a group, and operations."""
        return self.workspace_bytes, self.images, len(self.operations)

    @property
    def packings(self) -> tuple[Packing, ...]:
        """How results are packed: one that names all instructions, or none."""
        found = (op.endings.packing for op in self.operations if isinstance(op, Convolving))
        return tuple(filter(None, found))[:1]

    @property
    def words(self) -> int:
        """Words of a vector."""
        return 2 * self.products.lanes

    @property
    def table_bytes(self) -> int:
        """Bytes of all tables and weights as they are laid out."""
        weights = sum(len(content) for name, content in self.constants if "weights" in name)
        return weights + sum(kernel.table_bytes for kernel in self.kernels)
