"""Small networks over planes with random numbers, for tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maddjit.arrays.epilogue import Epilogue
from maddjit.models.convolution import ConvolutionModel
from maddjit.models.encoders import HashTrees
from maddjit.models.maddness import MaddnessModel
from maddjit.models.network import (
    Add,
    AveragePool,
    Concatenate,
    Dense,
    Exact,
    Layer,
    LookUp,
    MaxPool,
    Network,
    Planes,
    Quantise,
    Step,
)
from maddjit.models.window import Window

SAME = Window((3, 3), padding=(1, 1, 1, 1))
HALF = Window((3, 3), (2, 2), (1, 1, 1, 1))


class Making:
    """Adds layers with random numbers to a network, whose sizes follow by themselves."""

    def __init__(self, seed: int, shape: tuple[int, int, int], dtype: str = "float32") -> None:
        self.rng = np.random.default_rng(seed)
        self.shape = shape
        step, zero_point = (0.03, -11) if dtype == "float32" else (1.5, -100)
        self.steps: list[Step] = []
        self.add(Quantise(dtype), (0,), Planes(*shape, step, zero_point))

    def add(self, layer: Layer, inputs: tuple[int, ...] | None, planes: Planes | None) -> int:
        """Add a step, by default one that takes the last value; return the value's number."""
        inputs = (len(self.steps),) if inputs is None else inputs
        self.steps.append(Step(layer, inputs, planes, f"layer{len(self.steps)}"))
        return len(self.steps)

    def planes(self, value: int | None = None) -> Planes:
        found = self.steps[(value or len(self.steps)) - 1].planes
        assert found is not None
        return found

    def after(self, window: Window, n_outputs: int, epilogue: Epilogue, given: Planes) -> Planes:
        size = window.output_size(given.height, given.width)
        return Planes(n_outputs, *size, epilogue.step, epilogue.zero_point)

    def look_up(
        self,
        window: Window,
        n_outputs: int,
        n_codebooks: int,
        n_prototypes: int = 16,
        groups: int = 1,
        zero_point: int = -128,
        value: int | None = None,
    ) -> int:
        """Add look-ups whose outputs are spread over all of int8."""
        rng, given = self.rng, self.planes(value)
        n_features = given.channels // groups * window.n_taps
        products = tuple(
            MaddnessModel(
                HashTrees(
                    rng.integers(0, n_features, (n_codebooks, n_prototypes.bit_length() - 1)),
                    rng.integers(-128, 128, (n_codebooks, n_prototypes - 1)),
                    n_features,
                ),
                tables=rng.integers(
                    0, 256, (n_codebooks, n_prototypes, n_outputs // groups), dtype=np.uint8
                ),
                scale=rng.uniform(0.01, 0.02, n_outputs // groups) / np.sqrt(n_codebooks),
                offset=rng.uniform(-2.2, -1.8, n_outputs // groups) * np.sqrt(n_codebooks),
            )
            for _ in range(groups)
        )
        epilogue = Epilogue("int8", step=0.02, zero_point=zero_point, arithmetic="integer")
        layer = LookUp(ConvolutionModel(products, window), epilogue)
        planes = self.after(window, n_outputs, epilogue, given)
        return self.add(layer, None if value is None else (value,), planes)

    def exact(
        self,
        window: Window,
        n_outputs: int,
        groups: int = 1,
        zero_point: int = -128,
        value: int | None = None,
        is_last: bool = False,
    ) -> int:
        rng, given = self.rng, self.planes(value)
        shape = (n_outputs, given.channels // groups, *window.kernel)
        n_inputs = np.prod(shape[1:])
        epilogue = Epilogue("int8", low=-1.3, step=0.03, zero_point=zero_point)
        layer = Exact(
            rng.integers(-128, 128, shape),
            rng.uniform(0.0001, 0.0004, n_outputs) / np.sqrt(n_inputs),
            rng.uniform(-0.1, 0.1, n_outputs),
            window,
            groups,
            Epilogue() if is_last else epilogue,
        )
        planes = None if is_last else self.after(window, n_outputs, epilogue, given)
        return self.add(layer, None if value is None else (value,), planes)

    def pool(self, layer: MaxPool | AveragePool, value: int | None = None) -> int:
        given = self.planes(value)
        size = layer.window.output_size(given.height, given.width)
        planes = replace(given, height=size[0], width=size[1])
        return self.add(layer, None if value is None else (value,), planes)

    def global_average(self) -> int:
        given = self.planes()
        return self.pool(AveragePool(Window((given.height, given.width))))

    def total(self, a: int, b: int, least: int = -128, most: int = 127) -> int:
        planes = replace(self.planes(a), step=0.035, zero_point=-90)
        return self.add(Add(least, most), (a, b), planes)

    def joined(self, *values: int) -> int:
        planes = replace(
            self.planes(values[0]), channels=sum(self.planes(value).channels for value in values)
        )
        return self.add(Concatenate(), values, planes)

    def dense(self, n_outputs: int) -> int:
        size = self.planes().size
        weights = self.rng.integers(-128, 128, (n_outputs, size))
        scale, offset = self.rng.uniform(0, 0.01, n_outputs), self.rng.uniform(-1, 1, n_outputs)
        return self.add(Dense(weights, scale, offset), None, None)

    def network(self) -> Network:
        return Network(tuple(self.steps), self.shape)


def chain(seed: int, dtype: str = "float32", size: tuple[int, int] = (8, 9)) -> Network:
    """Return a network of one path: the kinds of layers that small image networks have."""
    made = Making(seed, (1, *size), dtype)
    made.exact(SAME, 5)
    made.look_up(SAME, 7, 6)
    made.pool(MaxPool(Window((2, 2), (2, 2), (0, size[0] % 2, 0, size[1] % 2))))
    made.look_up(HALF, 9, 5, zero_point=-20)
    made.look_up(SAME, 6, 9, zero_point=3)
    made.global_average()
    made.dense(4)
    return made.network()


def residual(seed: int, size: tuple[int, int] = (7, 6)) -> Network:
    """Return a network with branches: additions, planes side by side, groups, odd windows."""
    made = Making(seed, (3, *size))
    stem = made.exact(SAME, 6, groups=3, zero_point=-40)
    left = made.look_up(SAME, 6, 4, zero_point=-40)
    total = made.total(stem, left, least=-90, most=100)
    right = made.look_up(Window((1, 1)), 8, 3, groups=2, value=total)
    pooled = made.pool(MaxPool(SAME), total)
    mean = made.pool(AveragePool(Window((3, 2), padding=(1, 1, 0, 1))), total)
    made.joined(pooled, mean, total)
    left = made.look_up(HALF, 8, 6, n_prototypes=4)
    right = made.look_up(Window((1, 1), (2, 2)), 8, 6, n_prototypes=8, value=right)
    made.joined(left, right)
    made.exact(Window((2, 3), (1, 2), (1, 0, 1, 1)), 8)
    last = made.planes()
    made.exact(Window((last.height, last.width)), 3, is_last=True)
    return made.network()


def wide(n_inputs: int) -> Network:
    """Return a network whose last layer has the largest weights there are."""
    made = Making(0, (n_inputs, 1, 1), "uint8")
    made.add(Dense(np.full((1, n_inputs), -128), np.ones(1), np.zeros(1)), None, None)
    return made.network()
