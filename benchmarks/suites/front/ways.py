"""What the README's plot compares: ways to compute two layers, checked and timed in turns."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import maddjit

sys.path.insert(0, str(Path(__file__).resolve().parents[3] / "examples"))
from first_minute import layers, ways
from first_minute.layers import Floats, Layer
from first_minute.ways import Way
from measure import clock

HELD_TO_AVX2 = {
    "MADDJIT_TARGET": "x86-64-v3",
    "OPENBLAS_CORETYPE": "Haswell",
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
}
"""Tells maddjit, OpenBLAS, PyTorch and its oneDNN to use nothing beyond AVX2."""
WITH_VNNI = HELD_TO_AVX2 | {"ONEDNN_MAX_CPU_ISA": "AVX2_VNNI"}
"""AVX2 and the 8-bit dot products that newer CPUs without AVX-512 have. No other way uses them."""

LOOK_UPS = (8, 16, 32, 64)
LOOK_UPS_AND_RANK = ((16, 8), (32, 8), (16, 16))
RANKS = (8, 16, 24, 32, 64)
LEAST_SECONDS = 5e-3
"""A turn repeats its call for at least this long."""
ROUNDS_A_PLACE = 5
"""So many rounds later, outputs go to other places in memory, some of which are luckier."""

Call = Callable[[], NDArray[Any]]


@dataclass(frozen=True)
class Row:
    """What was measured of one way to compute one layer.

    Attributes
    ----------
    layer : str
        "hidden" (512 × 512), "head" (512 × 10) or "winner", the head's largest output.
    family, size, name : str
        As `first_minute.ways.Way` has them.
    nmse : float or None
        Squared error of the outputs of 2000 held-out rows, over their squared distance from
        their mean. None for winners.
    right, same : float
        Shares of the 2000 images whose true class the whole network names, and whose class is
        that of the exact network.
    speed : list of 3 floats
        Times as fast as `numpy.matmul`, for winners as `numpy.matmul`, the bias and `argmax`:
        lower quartile, median and upper quartile.
    """

    layer: str
    family: str
    size: str
    name: str
    nmse: float | None
    right: float
    same: float
    speed: list[float]


def measure(batch: int, rounds: int, eight_bit_alone: bool = False) -> list[dict[str, Any]]:
    """Return the rows of all ways, or of PyTorch's 8 bits alone, in this process's level."""
    hidden, head = layers.load(4000)
    held = os.environ.get("ONEDNN_MAX_CPU_ISA", "")
    label = "with VNNI" if held.endswith("VNNI") else ""
    sections = [("hidden", hidden, list(torch_eight_bit(hidden, label)))]
    if not eight_bit_alone:
        onnx = ways.eight_bit if not held else (lambda layer: iter(()))
        sections[0][2].extend([*onnx(hidden), *_for_hidden(hidden)])
        of_head = [*torch_eight_bit(head), *onnx(head), *(look_ups(head, n) for n in (8, 16))]
        sections.append(("head", head, of_head))
        of_winner = [*map(ways.winner, [*torch_eight_bit(head), *onnx(head)])]
        sections.append(("winner", head, [*of_winner, *ways.exact_winners(head, 8, (0.999,))]))
    return [
        asdict(row)
        for name, layer, found in sections
        for row in _measured(name, layer, found, batch, rounds)
    ]


def _for_hidden(layer: Layer) -> Iterator[Way]:
    for rank in RANKS:
        yield ways.low_rank(layer, rank)
    for n_codebooks in LOOK_UPS:
        yield look_ups(layer, n_codebooks)
    for n_codebooks, rank in LOOK_UPS_AND_RANK:
        yield look_ups(layer, n_codebooks, rank)


def look_ups(layer: Layer, n_codebooks: int, rank: int = 0) -> Way:
    """Return compiled look-ups, whose outputs are the definition's bit for bit."""
    model = maddjit.fit(layer.learn, layer.B, n_codebooks, bias=layer.bias, core_rank=rank)
    op = maddjit.compile(model)
    if not np.array_equal(op(layer.test), maddjit.reference.apply(model, layer.test)):
        raise AssertionError(f"{op!r} does not compute what maddjit.reference defines")

    def prepare(rows: Floats) -> Call:
        out = np.empty((len(rows), len(layer.bias)), np.float32)
        return lambda: op(rows, out=out)

    if rank:
        size = f"{n_codebooks} + rank {rank}"
        return Way("look-ups and rank", size, f"look-ups: {size}", prepare)
    return Way("look-ups", str(n_codebooks), f"look-ups: {n_codebooks} an output", prepare)


def torch_eight_bit(layer: Layer, label: str = "") -> Iterator[Way]:
    """Yield PyTorch's dynamically quantised linear layer by oneDNN, if PyTorch is installed."""
    if not find_spec("torch"):
        return
    import torch

    if os.environ.get("ATEN_CPU_CAPABILITY") == "avx2":
        used = torch.backends.cpu.get_cpu_capability(), onednn()
        if used[0] != "AVX2" or "AVX2" not in used[1]:
            raise RuntimeError(f"PyTorch and oneDNN were to be held to AVX2, but use {used}")
    torch.set_num_threads(1)
    torch.backends.quantized.engine = "onednn"
    scale = np.abs(layer.B).max(axis=0) / np.float32(127)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces that it will drop these tensors
        weights = torch.quantize_per_channel(
            torch.from_numpy(np.ascontiguousarray(layer.B.T)),
            torch.from_numpy(scale).double(),
            torch.zeros(len(scale), dtype=torch.long),
            0,
            torch.qint8,
        )
        packed = torch.ops.quantized.linear_prepack(weights, torch.from_numpy(layer.bias))
    multiply = torch.ops.quantized.linear_dynamic

    def prepare(rows: Floats) -> Call:
        taken = torch.from_numpy(rows)
        return lambda: multiply(taken, packed).numpy()

    name = f"8 bits: PyTorch {label}".rstrip()
    yield Way("8 bits", label, name, prepare)


def onednn() -> str:
    """Return the instruction sets that PyTorch's oneDNN uses, in its own words; "" if unknown."""
    code = "import torch; torch.ones(64, 64).to_mkldnn()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"ONEDNN_VERBOSE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    told = (line.partition(",cpu,isa:")[2] for line in done.stdout.splitlines())
    return next(filter(None, told), "")


def _measured(
    name: str, layer: Layer, found: Sequence[Way], batch: int, rounds: int
) -> Iterator[Row]:
    """Yield a row for each way, after the exact one, which all are timed in turns with."""
    peer = ways.winner(ways.product_and_bias(layer)) if name == "winner" else ways.product(layer)
    exact = layer.test @ layer.B + layer.bias
    variance = float(((exact - exact.mean(axis=0)) ** 2).sum())
    classes = layer.classes(exact)
    few = layer.test[:batch]
    speeds = _times_as_fast([way.prepare for way in (peer, *found)], few, rounds)
    for way, speed in zip((peer, *found), speeds, strict=True):
        answer = way.prepare(layer.test)()
        nmse = None
        if way is peer:
            answer = classes if name == "winner" else exact
        if name != "winner":
            nmse = float(((answer - exact) ** 2).sum()) / variance
        named = layer.classes(answer) if answer.ndim == 2 else answer
        right, same = float(np.mean(named == layer.labels)), float(np.mean(named == classes))
        if not same > 0.8:  # the smallest of the ways agrees with the exact network on nine in ten
            raise AssertionError(f"{way.name}: {same:.1%} of the images named as exactly")
        yield Row(name, way.family, way.size, way.name, nmse, right, same, speed)


def _times_as_fast(
    prepares: Sequence[Callable[[Floats], Call]], rows: Floats, rounds: int
) -> Iterator[list[float]]:
    """Yield quartiles of how many times as fast as the first way each is, round by round.

    Every round times all ways in another random order.
    """
    repeats = [_repeats(prepare(rows)) for prepare in prepares]
    seconds = np.empty((rounds, len(prepares)))
    order, rng = list(range(len(prepares))), random.Random(0)
    for turn, times in enumerate(seconds):
        if turn % ROUNDS_A_PLACE == 0:
            calls = [prepare(rows) for prepare in prepares]
        rng.shuffle(order)
        for i in order:
            calls[i]()  # what it keeps between calls is then in the caches, as far as it fits
            times[i] = _time(calls[i], repeats[i]) / repeats[i]
    for ratios in (seconds[:, :1] / seconds).T:
        yield [float(f"{value:.4g}") for value in np.percentile(ratios, [25, 50, 75])]


def _repeats(call: Call) -> int:
    call()
    repeats = 1
    while (seconds := _time(call, repeats)) < LEAST_SECONDS:
        repeats = max(2 * repeats, int(repeats * LEAST_SECONDS / max(seconds, 1e-9)))
    return repeats


def _time(call: Call, repeats: int) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return clock() - start
