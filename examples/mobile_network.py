"""Look-ups in a network of depthwise and 1 × 1 convolutions, PP-OCRv4's recogniser: no gain.

The network of the package rapidocr-onnxruntime reads images of one line of text. Its body is like a
MobileNet: depthwise convolutions, 1 × 1 convolutions, hard-swish, squeeze and excitation. The
script draws lines as `ocr_head.py` does, and replaces the 1 × 1 convolutions by look-ups, whose
tables are regressed on the exact network's outputs. All other nodes stay in onnxruntime.

It prints the share of the network's time that these layers take, which limits what they can save.
A line for each layer has its squared error over the variance on other lines of text; the share of
time steps at which the network names the same character if this layer alone is replaced; and how
many times as fast it is as onnxruntime in 8 bits and in float32, each in a chain of equal layers
(where it has as many outputs as inputs). At last all of them are replaced, by look-ups and by
onnxruntime's 8-bit convolutions.

It needs ``pip install '.[heads]'`` and takes a minute or two on an idle core. More codebooks
take several times as long.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from cut_network import Cut, Floats, Layer, Operator
from drawn_lines import drawn, lines
from measure import speed_up
from ocr_head import as_input, edits, text
from one_layer_chains import by_look_ups, by_onnxruntime, seconds_a_layer

import maddjit
from maddjit.integrations.onnx import compile_network
from maddjit.learning.regressing import regress

BYTE_GROUP = 8
"""Codebooks whose entries add up to a byte."""
JUDGED = 2000
"""Pixels that the error of a layer is measured on."""


def sampled(planes: Sequence[Floats], n: int) -> Floats:
    """Return about n pixels (C, n) of planes of several lines; of equal planes the same ones."""
    rng = np.random.default_rng(0)
    flat = [each.reshape(each.shape[1], -1) for each in planes]
    each = -(-n // len(flat))
    return np.concatenate([one[:, rng.integers(0, one.shape[1], each)] for one in flat], axis=1)


@dataclass(frozen=True, eq=False)
class LookUps:
    """Look-ups in the place of a layer, and how its planes become int8."""

    model: maddjit.ConvolutionModel
    end: maddjit.Epilogue

    @classmethod
    def fitted(cls, layer: Layer, pixels: Floats, ratio: float) -> LookUps:
        """Learn trees from pixels (C, n), with so many codebooks for each channel."""
        low, high = min(0.0, float(pixels.min())), max(0.0, float(pixels.max()))
        step = (high - low) / 255
        end = maddjit.Epilogue("int8", step=step, zero_point=round(-128 - low / step))
        n_codebooks = max(1, round(ratio * len(pixels)))
        model = maddjit.fit_convolution(
            pixels[None, :, None],  # an image of one row: 1 × 1 convolutions see no neighbours
            layer.weights,
            n_codebooks,
            bias=layer.bias,
            quantise=end,
            n_patches=pixels.shape[1],
            validation=0,
            method="paper",
            byte_group=min(BYTE_GROUP, n_codebooks),
        )
        return cls(model, end)

    def regressed(self, pixels: Floats, wanted: Floats) -> LookUps:
        """Return look-ups with the same trees, whose tables give pixels the wanted outputs."""
        (product,) = self.model.products
        made = regress(product, self.end(pixels).T, wanted.T, byte_group=BYTE_GROUP)
        return replace(self, model=replace(self.model, products=(made,)))

    def operator(self) -> Operator:
        """Return the compiled operator, from float32 planes to float32 planes."""
        op: Operator = maddjit.compile(self.model, quantise=self.end)
        return op


def speeds(layer: Layer, found: LookUps, size: tuple[int, int], rounds: int) -> str:
    """Return how many times as fast a layer is in a chain as one in 8 bits, and in float32."""
    if layer.weights.shape[0] != layer.weights.shape[1]:
        return f"{'–':>5} {'–':>9}"
    chains = [
        partial(by_look_ups, found.model, size),
        partial(by_onnxruntime, layer.weights, size, 8),
        partial(by_onnxruntime, layer.weights, size, 32),
    ]
    own, uint8, float32 = seconds_a_layer(chains, rounds)
    return f"{uint8 / own:5.2f} {float32 / own:9.2f}"


def error_of(op: Operator, layer: Layer, pixels: Floats) -> float:
    """Return the squared error for pixels (C, n), over the variance of the outputs."""
    planes = pixels[None, :, None]
    y = layer(planes)
    return float(np.mean((op(planes) - y) ** 2) / y.var(axis=(0, 2, 3)).mean())


def main(options: argparse.Namespace) -> None:
    """Draw lines, replace layer by layer, then all, and print what it costs and gives."""
    spec = find_spec("rapidocr_onnxruntime")  # only its file is needed
    if spec is None or not spec.submodule_search_locations:
        sys.exit("rapidocr-onnxruntime is not installed: pip install '.[heads]'")
    path = Path(spec.submodule_search_locations[0], "models", "ch_PP-OCRv4_rec_infer.onnx")
    rng, written, n = np.random.default_rng(1), lines(options.lines), options.lines // 2
    images = [as_input(drawn(line, rng)) for line in written]
    learn, test = images[:n], images[n:]
    try:
        compile_network(path, np.concatenate([each[..., :320] for each in learn]))
    except ValueError as error:
        print(f"compile_network: {error}")
    network = Cut(path)
    layers = network.layers[: options.layers]
    rest = network.layers[len(layers) :]
    alphabet = ["", *network.metadata("character").splitlines(), " "]
    share = network.share(test[0], options.rounds + 20)
    print(f"{len(network.layers)} layers take {share:.1%} of the time in float32;", end=" ")
    print(f"without them the network would be {1 / (1 - share):.2f} times as fast\n", flush=True)
    exact = [network.whole(image)[0].argmax(axis=1) for image in test]

    def same(found: Sequence[Floats]) -> float:
        pairs = zip(found, exact, strict=True)
        return float(np.mean(np.concatenate([y[0].argmax(axis=1) == own for y, own in pairs])))

    print("layer             planes       size   C   NMSE   same  × uint8 × float32")
    known, held, replaced = learn, test, learn  # what comes in, exactly or after look-ups
    ready: list[Operator] = []
    for layer, piece, tail in zip(layers, network.pieces, network.tails, strict=False):
        known, held, replaced = ([piece(x) for x in each] for each in (known, held, replaced))
        pixels = sampled(known, options.pixels)
        known = [layer(x) for x in known]
        wanted = sampled(known, options.pixels)
        trees = LookUps.fitted(layer, pixels, options.codebooks)
        alone = trees.regressed(pixels, wanted)
        op = alone.operator()
        (outputs, inputs), (height, width) = layer.weights.shape[:2], held[0].shape[2:]
        print(f"{layer.name:12} {inputs:5} → {outputs:3} {height:5} × {width:3}", end=" ")
        print(f"{alone.model.products[0].n_codebooks:3}", end=" ")
        print(f"{error_of(op, layer, sampled(held, JUDGED)):6.3f}", end=" ")
        print(f"{same([tail(op(x)) for x in held]):6.1%}", end="    ")
        print(speeds(layer, alone, (height, width), options.rounds), flush=True)
        held = [layer(x) for x in held]
        ready.append(trees.regressed(sampled(replaced, options.pixels), wanted).operator())
        replaced = [ready[-1](x) for x in replaced]

    print("\nall of them           same   edits  times as fast as float32")
    ways = {"exact": network.whole, "8 bits": network.in_8_bits(learn)}
    ways["look-ups"] = partial(network.run, [*ready, *rest])
    for name, way in ways.items():
        found = [way(image) for image in test]
        texts = [text(y[0].argmax(axis=1), alphabet) for y in found]
        wrong = sum(map(edits, texts, written[n:])) / sum(map(len, written[n:]))
        ratios = speed_up(partial(network.whole, test[0]), partial(way, test[0]), options.rounds)
        told = "{1:.2f} ({0:.2f}–{2:.2f})".format(*ratios)
        print(f"{name:18} {same(found):7.1%} {wrong:7.3f}  {told}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=60, help="half to learn from, half to test on")
    parser.add_argument("--layers", type=int, help="how many to replace, the first ones")
    parser.add_argument("--codebooks", type=float, default=0.25, help="for each channel, up to 1")
    parser.add_argument("--pixels", type=int, default=4000, help="to learn from")
    parser.add_argument("--rounds", type=int, default=11, help="rounds of timing")
    main(parser.parse_args())
