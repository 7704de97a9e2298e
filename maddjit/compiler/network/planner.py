"""The planner of networks: (network, target) → NetworkPlan, step by step."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.conversion import literal
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.network import settings
from maddjit.compiler.network.filling import clearing, line_of, picking_lanes
from maddjit.compiler.network.multiplying import products_of
from maddjit.compiler.network.operations import (
    Adding,
    Calling,
    Flattening,
    LayingOut,
    Leaving,
    Taps,
)
from maddjit.compiler.network.places import Block, Place, arrange, framed, in_rows
from maddjit.compiler.network.plain import ending_of, pooling, quantising, signature_of
from maddjit.compiler.network.plan import NetworkPlan, Operation
from maddjit.compiler.network.preparing import (
    ONE,
    Prepared,
    geometries,
    group_images,
    phases_seen,
    prepared,
    seen_by_one,
    tap_offsets,
    taps_of,
)
from maddjit.compiler.network.products import convolving, row_products
from maddjit.compiler.signature import Signature
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import lines
from maddjit.models.layers import (
    Add,
    AveragePool,
    Dense,
    Exact,
    LookUp,
    MaxPool,
    Planes,
    Quantise,
)
from maddjit.models.network import Network, Step
from maddjit.models.window import Window

NETWORK_SYMBOL = "maddjit_network"
"""The name of a network's function, unless it is exported under another one."""


def plan_network(network: Network, target: Target, symbol: str = NETWORK_SYMBOL) -> NetworkPlan:
    """Return the plan of a network: how it is computed on `target`.

    Equal arguments give equal plans.
    """
    planning = _Planning(network, target, symbol)
    for number, step in enumerate(network.steps):
        planning.number = number
        planning.add(step)
    return NetworkPlan(
        symbol=symbol,
        target=target,
        images=planning.images,
        operations=tuple(planning.operations),
        steps=tuple(planning.steps),
        kernels=tuple(planning.kernels),
        image_steps=planning.image_steps,
        planes_bytes=planning.planes_bytes,
        workspace_bytes=planning.work + planning.work_bytes,
        products=products_of(target),
        signature=signature_of(network),
        input_shape=network.input_shape,
        output_shape=network.output_shape,
        constants=tuple(planning.constants.items()),
    )


@dataclass
class _Planning:
    """A plan in the making. First all memory is placed, then operations are added step by step."""

    network: Network
    target: Target
    symbol: str
    number: int = 0
    operations: list[Operation] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    kernels: list[Plan] = field(default_factory=list)
    constants: dict[str, bytes] = field(default_factory=dict)
    work_bytes: int = 0

    def __post_init__(self) -> None:
        network = self.network
        self.rooms = geometries(network)
        self.images = group_images(network, self.rooms)
        self.inputs = [prepared(network, step, self.rooms, self.images) for step in network.steps]
        blocks: dict[tuple[str, int], tuple[Block, Place]] = {}
        last = {v: i for i, step in enumerate(network.steps) for v in step.inputs}
        for i, step in enumerate(network.steps):
            copy = self.inputs[i].place
            if copy is not None:
                blocks["copy", i] = Block(copy.n_bytes, i, i), copy
            if step.planes is not None:
                place = self._unplaced(step.planes)
                # What leaves the network is read by one more operation.
                block = Block(place.n_bytes, i, last.get(i + 1, len(network.steps)))
                blocks["value", i + 1] = block, place
        self.planes_bytes = arrange([block for block, _ in blocks.values()])
        self.places = {key: place.at(block.begin) for key, (block, place) in blocks.items()}
        steps = {place.image_step for place in self.places.values() if not place.is_rows}
        self.image_steps = tuple(sorted(steps))
        self.offsets = lines(self.planes_bytes + settings.END)
        products = products_of(self.target)
        most = max([0, *(products.whole(taps_of(step)) for step in network.steps)])
        self.work = self.offsets + lines(8 * most)

    def _unplaced(self, planes: Planes) -> Place:
        if planes.shape[1:] == ONE:
            return in_rows(planes.channels, self.images)
        return framed(planes.shape, self.rooms[planes.shape[1:]], self.images)

    @cached_property
    def vector_bytes(self) -> int:
        return self.target.vector_bytes

    @property
    def name(self) -> str:
        """The prefix of what a step adds to the module."""
        return f"step{self.number}"

    def do(self, operation: Operation) -> None:
        """Add an operation of the present step."""
        self.operations.append(operation)
        self.steps.append(self.number)

    def value(self, number: int) -> Place:
        """Return the place of a value."""
        return self.places["value", number]

    def add(self, step: Step) -> None:
        """Add the operations of a step."""
        given, layer = self.inputs[self.number], step.layer
        to = self.value(self.number + 1) if step.planes is not None else None
        if isinstance(layer, Quantise):
            assert step.planes is not None
            assert to is not None
            self.do(quantising(to, step.planes, layer.dtype, self.target))
        elif isinstance(layer, Add):
            assert step.planes is not None
            assert to is not None
            self.do(self.adding(step, step.planes, to))
        elif isinstance(layer, LookUp | Exact | Dense | MaxPool | AveragePool):
            x = self.prepare(step, given)
            if isinstance(layer, MaxPool | AveragePool):
                assert to is not None
                self.do(pooling(layer, x, to, self.vector_bytes))
            elif given.way == "row" or x.is_rows:
                self.add_rows(step, layer, x, to)
            else:
                assert to is not None
                assert not isinstance(layer, Dense)
                self.add_planes(step, layer, given, x, to)
        else:
            assert to is not None
            first = 0
            for value in step.inputs:
                part = self.value(value)
                self.do(self.copying(part, to.channels(first, part.shape[0])))
                first += part.shape[0]
        if to is not None and self.is_seen_around(self.number + 1):
            assert step.planes is not None
            self.do(clearing(to, step.planes.zero_point, self.vector_bytes))
        if to is not None and self.number == len(self.network.steps) - 1:
            self.do(Leaving(to, line_of(to.shape[2], self.vector_bytes)))

    def is_seen_around(self, value: int) -> bool:
        """Tell whether a layer reads what lies around the pixels of a value."""
        return any(
            given.reads_around
            for step, given in zip(self.network.steps, self.inputs, strict=True)
            if value in step.inputs
        )

    def copying(self, x: Place, to: Place) -> LayingOut:
        """Return how planes are copied from place to place."""
        lanes = 1 if to.is_rows else picking_lanes(x.shape[2], 1, self.vector_bytes)
        return LayingOut(x, to, (1, 1), lanes)

    def prepare(self, step: Step, given: Prepared) -> Place:
        """Return the place that a layer reads; add what copies its input there."""
        value = step.inputs[0]
        if given.place is None:
            return self.value(value)
        x, to, window = self.value(value), self.places["copy", self.number], given.window
        assert window is not None
        zero_point = self.network.planes(value).zero_point
        if given.way == "row":
            seen, unseen = seen_by_one(window, x)
            self.do(Flattening(x, to, seen, unseen, zero_point, window.n_taps))
        else:
            stride = window.stride if given.way == "phases" else (1, 1)
            outside = -128 if isinstance(step.layer, MaxPool) else zero_point
            wanted = phases_seen(window, stride)
            width = min(to.image_step, -(-x.shape[2] // stride[1]) + settings.MOST_GAP)
            lanes = picking_lanes(width, stride[1], self.vector_bytes)
            self.do(LayingOut(x, to, stride, lanes, wanted, outside))
            own = replace(to, shape=x.shape)
            self.do(clearing(own, outside, self.vector_bytes, stride, wanted, lanes))
        return to

    def adding(self, step: Step, planes: Planes, to: Place) -> Adding:
        """Return how two values are added."""
        layer = step.layer
        assert isinstance(layer, Add)
        taken = [self.network.planes(value) for value in step.inputs]
        low = float(layer.least - planes.zero_point)
        # Numbers above 127 saturate.
        high = float(layer.most - planes.zero_point) if layer.most < 127 else math.inf
        limited = Epilogue("int8", low, high, zero_point=planes.zero_point)
        ended = ending_of(limited, self.target)
        ratios = [float(np.float32(each.step) / np.float32(planes.step)) for each in taken]
        a, b = (self.value(value) for value in step.inputs)
        return Adding(
            a,
            b,
            to,
            (literal(taken[0].zero_point), literal(taken[1].zero_point)),
            (literal(ratios[0]), literal(ratios[1])),
            ended,
            self.vector_bytes,
        )

    def call(
        self, product: int, x: Place, to: Place, signature: Signature, taps: Taps | None
    ) -> None:
        """Add the kernel of a product of look-ups."""
        layer = self.network.steps[self.number].layer
        assert isinstance(layer, LookUp)
        plan = make_plan(layer.model.products[product], self.target, signature)
        symbol = f"{self.symbol}_{self.name}_{product}"
        self.kernels.append(replace(plan, symbol=symbol))
        self.work_bytes = max(self.work_bytes, plan.workspace_bytes)
        self.do(Calling(x, to, symbol, taps, self.work))

    def taps(self, window: Window, x: Place, channels: int) -> Taps:
        """Return where taps are; some are repeated, so that instructions take whole groups."""
        base, rows = tap_offsets(window, x, channels)
        whole = products_of(self.target).whole(len(base))
        for name, offsets in (("base", base), ("rows", rows)):
            wanted = np.pad(offsets, (0, whole - len(base)), mode="edge")
            self.constants[f"{self.name}.{name}"] = wanted.astype("<i8").tobytes()
        return Taps(f"{self.name}.base", f"{self.name}.rows", whole, self.offsets)

    def add_planes(
        self, step: Step, layer: LookUp | Exact, given: Prepared, x: Place, to: Place
    ) -> None:
        """Add a convolution that reads and writes planes that lie alike."""
        assert given.window is not None
        down, across = given.window.stride
        groups = layer.model.groups if isinstance(layer, LookUp) else layer.groups
        channels = x.shape[0] // (down * across) // groups
        taps = self.taps(given.window, x, channels)
        group_step = channels * down * across * x.channel_step
        if isinstance(layer, Exact):
            planes = self.network.planes(step.inputs[0])
            found, constants = convolving(
                layer, planes, x, to, taps, group_step, self.target, self.name, self.work
            )
            self.work_bytes = max(self.work_bytes, found.scratch_bytes)
            self.constants |= constants
            self.do(found)
            return
        signature = Signature("int8", "F", epilogue=layer.epilogue, out_order="F", placed=True)
        outputs = to.shape[0] // groups
        for g in range(groups):
            source = replace(x, offset=x.offset + g * group_step)
            self.call(g, source, to.channels(g * outputs, outputs), signature, taps)

    def add_rows(
        self, step: Step, layer: LookUp | Exact | Dense, x: Place, to: Place | None
    ) -> None:
        """Add a layer whose input is one row of numbers for each image."""
        if isinstance(layer, LookUp):
            assert to is not None
            inputs = layer.model.products[0].n_features
            outputs = layer.model.products[0].n_outputs
            signature = Signature("int8", epilogue=layer.epilogue)
            for g in range(layer.model.groups):
                own = x.channels(g * inputs, inputs), to.channels(g * outputs, outputs)
                self.call(g, *own, signature, None)
            return
        planes = self.network.planes(step.inputs[0])
        found, constants = row_products(layer, planes, x, to, self.target, self.name)
        self.constants |= constants
        self.do(found)
