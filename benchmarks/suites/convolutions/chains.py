"""One layer in a chain of equal ones: look-ups beside float32 and 8 bits, each in its own chain.

What a chain is given and returns is in the form that its own layers have between them, so nothing
is converted there. The time of a layer is that of a long chain less that of a short one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit
from benchmarks.harness.machine import Missing, first_line, refuse_onnxruntime
from benchmarks.harness.tables import Record
from benchmarks.harness.timing import Candidate, Turns, quartiles, take_turns
from benchmarks.rivals.candidates import UNAVAILABLE
from benchmarks.tasks.onnx_graphs import make_model, open_session
from maddjit.models.network import LookUp, Network, Planes, Quantise, Step

SHORT, LONG = 1, 5
"""Layers of the two chains."""
STEP, ZERO = 0.02, -128
"""What a number of the planes stands for, and the number that stands for 0."""
UINT8, FLOAT32 = "onnxruntime, uint8", "onnxruntime, float32"
TORCH_UINT8, TORCH_FLOAT32 = "PyTorch, uint8", "PyTorch, float32"

Make = Callable[[int], Callable[[], object]]
"""Takes how many layers a chain has, and returns what runs it."""


@dataclass(frozen=True)
class Chain:
    """Layers of so many planes in and out, images of so many rows and columns, images a call."""

    channels: int
    size: int
    images: int
    kernel: int = 3
    ratios: tuple[float, ...] = (1, 0.5)
    """Codebooks for each channel."""
    byte_groups: tuple[int, ...] = (8, 1)
    """Neighbouring codebooks whose entries add up to a byte."""

    @property
    def title(self) -> str:
        """The sizes in words."""
        return (
            f"{self.kernel} × {self.kernel}, {self.channels} → {self.channels}, "
            f"{self.size} × {self.size}, {self.images} at once"
        )

    @property
    def padding(self) -> int:
        """Rows and columns of zeros on each side; planes keep their size."""
        return self.kernel // 2

    @property
    def pixels(self) -> int:
        """Pixels of a plane, in all images."""
        return self.images * self.size * self.size


def model(chain: Chain, n_codebooks: int, group: int, seed: int) -> maddjit.ConvolutionModel:
    """Return a layer of random trees, and of random tables as ``byte_group=group`` makes them."""
    rng = np.random.default_rng(seed)
    n_features = chain.channels * chain.kernel**2
    product = maddjit.MaddnessModel(
        maddjit.HashTrees(
            rng.integers(0, n_features, (n_codebooks, 4)),
            np.rint(rng.uniform(-100, 100, (n_codebooks, 15))).astype(np.float32),
            n_features,
        ),
        tables=rng.integers(0, 256 // group, (n_codebooks, 16, chain.channels), np.uint8),
        scale=np.full(chain.channels, np.float32(STEP / n_codebooks)),
        offset=np.zeros(chain.channels, np.float32),
    )
    window = maddjit.Window((chain.kernel, chain.kernel), padding=(chain.padding,) * 4)
    return maddjit.ConvolutionModel((product,), window)


def look_ups(chain: Chain, n_codebooks: int, group: int, n_layers: int) -> Callable[[], object]:
    """Return a compiled chain of look-ups; its outputs are compared with the reference once."""
    planes = Planes(chain.channels, chain.size, chain.size, STEP, ZERO)
    end = maddjit.Epilogue("int8", step=STEP, zero_point=ZERO, arithmetic="integer")
    layers = [LookUp(model(chain, n_codebooks, group, seed), end) for seed in range(n_layers)]
    steps = [Step(layer, (i,), planes) for i, layer in enumerate([Quantise("uint8"), *layers])]
    network = Network(tuple(steps), (chain.channels, chain.size, chain.size))
    op = maddjit.compile(network)
    x = images(chain)
    if n_layers == SHORT:
        given = op(x[:1])
        if not np.array_equal(given, maddjit.network_reference.run(network, x[:1])):
            raise AssertionError(f"{op!r} differs from the reference")
    out = op(x)
    return lambda: op(x, out=out)


def images(chain: Chain) -> NDArray[np.uint8]:
    """Return random images."""
    shape = (chain.images, chain.channels, chain.size, chain.size)
    return np.random.default_rng(9).integers(0, 256, shape, dtype=np.uint8)


def weights(chain: Chain, seed: int) -> NDArray[np.float32]:
    """Return random weights that keep the size of activations."""
    shape = (chain.channels, chain.channels, chain.kernel, chain.kernel)
    scale = np.sqrt(2 / (chain.channels * chain.kernel**2))
    drawn = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return drawn * np.float32(scale)


def by_onnxruntime(chain: Chain, is_uint8: bool, n_layers: int) -> Callable[[], object]:
    """Return a chain of convolutions with ReLU in onnxruntime, its arrays bound."""
    from onnx import helper

    refuse_onnxruntime()
    constants: dict[str, NDArray[Any]] = {"step": np.array(STEP, np.float32)}
    constants["zero"] = np.array(0, np.uint8)
    nodes, last = [], "x"
    places = {"pads": [chain.padding] * 4, "kernel_shape": [chain.kernel] * 2}
    for i in range(n_layers):
        w = weights(chain, i)
        if is_uint8:
            constants |= {
                f"w{i}": np.clip(np.rint(w * 300), -127, 127).astype(np.int8),
                f"steps{i}": np.full(chain.channels, 1 / 300, np.float32),
                f"zeros{i}": np.zeros(chain.channels, np.int8),
            }
            taken = [last, "step", "zero", f"w{i}", f"steps{i}", f"zeros{i}", "step", "zero"]
            nodes.append(helper.make_node("QLinearConv", taken, [f"y{i}"], **places))
        else:
            constants[f"w{i}"] = w
            nodes.append(helper.make_node("Conv", [last, f"w{i}"], [f"z{i}"], **places))
            nodes.append(helper.make_node("Relu", [f"z{i}"], [f"y{i}"]))
        last = f"y{i}"
    kept = constants if is_uint8 else {k: v for k, v in constants.items() if k[0] == "w"}
    dtype: Any = np.uint8 if is_uint8 else np.float32
    sizes = [chain.images, chain.channels, chain.size, chain.size]
    session = open_session(make_model(nodes, kept, ("x", dtype, sizes), (last, dtype, sizes)))
    bound = session.io_binding()
    bound.bind_cpu_input("x", images(chain).astype(dtype))
    bound.bind_output(last)
    return lambda: session.run_with_iobinding(bound)


def by_torch(chain: Chain, is_uint8: bool, n_layers: int) -> Callable[[], object]:
    """Return a chain of convolutions with ReLU in PyTorch, channels last, weights packed."""
    import torch

    x = torch.from_numpy(images(chain).astype(np.float32)).mul(STEP)
    x = x.contiguous(memory_format=torch.channels_last)
    layers: list[Callable[[Any], Any]]
    if is_uint8:
        torch.backends.quantized.engine = "x86"
        x = torch.quantize_per_tensor(x, STEP, 0, torch.quint8)
        packed = [_packed(torch, chain, weights(chain, i)) for i in range(n_layers)]
        relu = torch.ops.quantized.conv2d_relu
        layers = [lambda x, w=w: relu(x, w, STEP, 0) for w in packed]
    else:
        ws = [torch.from_numpy(weights(chain, i)) for i in range(n_layers)]
        ws = [w.contiguous(memory_format=torch.channels_last) for w in ws]
        functions = torch.nn.functional
        layers = [lambda x, w=w: functions.conv2d(x, w, padding=chain.padding).relu_() for w in ws]

    def run() -> object:
        y = x
        with torch.inference_mode():
            for layer in layers:
                y = layer(y)
        return y

    run()
    return run


def _packed(torch: Any, chain: Chain, w: NDArray[np.float32]) -> Any:
    """Return weights with a scale for each output, packed."""
    zeros = torch.zeros(chain.channels, dtype=torch.long)
    scales = torch.full((chain.channels,), 1 / 300, dtype=torch.double)
    whole = torch.quantize_per_channel(torch.from_numpy(w), scales, zeros, 0, torch.qint8)
    sides = [chain.padding] * 2
    prepack = torch.ops.quantized.conv2d_prepack
    return prepack(whole, torch.zeros(chain.channels), [1, 1], sides, [1, 1], 1)


def own(chain: Chain) -> list[tuple[str, int, int, float]]:
    """Return the name of each way by look-ups, its codebooks, their group, codebooks a channel."""
    return [
        (f"C = {n}" + ", each entry widened" * (group == 1), n, group, ratio)
        for ratio in chain.ratios
        for group in chain.byte_groups
        for n in [round(chain.channels * ratio)]
    ]


def ways(chain: Chain) -> dict[str, Make]:
    """Return all ways to compute a chain."""
    found: dict[str, Make] = {}
    for name, n, group, _ in own(chain):
        found[name] = partial(look_ups, chain, n, group)
    for name, by, is_uint8 in (
        (UINT8, by_onnxruntime, True),
        (FLOAT32, by_onnxruntime, False),
        (TORCH_UINT8, by_torch, True),
        (TORCH_FLOAT32, by_torch, False),
    ):
        found[name] = partial(by, chain, is_uint8)
    return found


def measure(chain: Chain, limits: Any) -> Record:
    """Return the time of a layer by each way, and how many times as fast look-ups are."""
    left_out: dict[str, str] = {}
    candidates = list(_candidates(chain, left_out))
    turns = take_turns(candidates, limits.rounds, limits.turn, uncounted=1)
    names = [one.name.removesuffix(f", {LONG}") for one in candidates[::2]]
    layers = {name: _layer(turns, name) for name in names}
    tried = {name: (group, ratio) for name, _, group, ratio in own(chain)}
    return {
        "kind": "chain",
        "title": chain.title,
        "shape": [chain.channels, chain.size, chain.images, chain.kernel],
        "ns": {name: quartiles(1e9 * times / chain.pixels) for name, times in layers.items()},
        "faster": {
            name: {
                rival: quartiles(times / layers[name])
                for rival, times in layers.items()
                if rival not in tried
            }
            for name in tried
        },
        "ratios": {name: ratio for name, (group, ratio) in tried.items() if group > 1},
        "left_out": left_out,
    }


def _candidates(chain: Chain, left_out: dict[str, str]) -> Iterator[Candidate]:
    """Yield a long and a short chain of each way that there is."""
    for name, make in ways(chain).items():
        try:
            runs = [make(n_layers) for n_layers in (LONG, SHORT)]
        except (*UNAVAILABLE, Missing) as error:
            left_out[name] = first_line(error)
            continue
        for n_layers, run in zip((LONG, SHORT), runs, strict=True):
            yield Candidate(f"{name}, {n_layers}", "chain", run)


def _layer(turns: Turns, name: str) -> NDArray[np.float64]:
    """Return the seconds of one layer, for each round."""
    whole: NDArray[np.float64] = turns.seconds[f"{name}, {LONG}"]
    return (whole - turns.seconds[f"{name}, {SHORT}"]) / (LONG - SHORT)
