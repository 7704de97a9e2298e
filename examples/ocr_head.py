"""Read lines of text with PP-OCRv4's recogniser, whose last layer, 120 → 6625, works by look-ups.

The script draws lines of the standard library's docstrings in Pillow's own font, in random sizes
and shades, with blur and noise. The network of the package rapidocr-onnxruntime runs on them up to
its last layer, which names one of 6624 characters, or none, at each time step.

It prints a line for each coverage: the share of time steps of other lines at which the exact winner
is named, which should be about the coverage or more; edits per character written; how many
characters were in doubt on average; and the speed of this layer, which takes a twentieth of the
network's time. At last it reads the images that you name, each of one line of text. Other fonts and
languages are unlike the lines of calibration, so it prints the share of exact winners for each.

It needs ``pip install '.[heads]'`` and takes some minutes. ``--objective product`` saves most of
them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
from drawn_lines import drawn, lines
from heads import Floats, last_layer, rows_needed, times_as_fast
from numpy.typing import NDArray
from PIL import Image

import maddjit

HEIGHT, MIN_WIDTH, MAX_WIDTH = 48, 320, 4000
STEP = 8  # columns of pixels for each time step
TIMED_ROWS = 512
SHOWN = 6


def as_input(image: Image.Image) -> Floats:
    """Return what the network takes: (1, 3, 48, width), blue first, zeros on the right."""
    width = -(-image.width * HEIGHT // image.height)
    if width > MAX_WIDTH:
        raise ValueError(f"{image.width} × {image.height} pixels are too long a line")
    visible = Image.new("RGBA", image.size, "white")
    visible.alpha_composite(image.convert("RGBA"))
    scaled = visible.convert("RGB").resize((width, HEIGHT), Image.Resampling.BILINEAR)
    pixels = np.asarray(scaled, np.float32)[:, :, ::-1].transpose(2, 0, 1)
    padded = np.zeros((1, 3, HEIGHT, max(MIN_WIDTH, -(-width // STEP) * STEP)), np.float32)
    padded[0, :, :, :width] = pixels / 127.5 - 1
    return padded


def opened(paths: list[str]) -> dict[str, Floats]:
    """Return the network's input for each image. Say why, if an image cannot be read."""
    found = {}
    for path in paths:
        try:
            with Image.open(path) as image:
                found[path] = as_input(image)
        except (OSError, ValueError, Image.DecompressionBombError) as error:
            print(f"passed over: {path!r}: {error}", file=sys.stderr)
    return found


def text(winners: NDArray[np.int64], alphabet: Sequence[str]) -> str:
    """Return the text of the winners at successive time steps (CTC).

    A repeated winner is one character; winner 0 is none.
    """
    first = np.diff(winners, prepend=-1) != 0
    return "".join(alphabet[winner] for winner in winners[first & (winners != 0)])


def edits(left: str, right: str) -> int:
    """Return how many insertions, deletions and replacements turn one text into the other."""
    row = list(range(len(right) + 1))
    for i, a in enumerate(left, start=1):
        above, row = row, [i]
        for j, b in enumerate(right, start=1):
            row.append(min(above[j] + 1, row[-1] + 1, above[j - 1] + (a != b)))
    return row[-1]


def main(options: argparse.Namespace) -> None:
    """Draw, fit, calibrate and compile; print the table, some lines, and the images' texts."""
    spec = find_spec("rapidocr_onnxruntime")  # only its file is needed
    if spec is None or not spec.submodule_search_locations:
        sys.exit("rapidocr-onnxruntime is not installed: pip install '.[heads]'")
    network = Path(spec.submodule_search_locations[0], "models", "ch_PP-OCRv4_rec_infer.onnx")
    metadata = {entry.key: entry.value for entry in onnx.load(network).metadata_props}
    alphabet = ["", *metadata["character"].splitlines(), " "]

    n = options.lines
    written, images, rng = lines(n), opened(options.images), np.random.default_rng(1)
    inputs = [as_input(drawn(line, rng)) for line in written] + list(images.values())
    print(f"running the network on {len(inputs)} lines …", flush=True)
    A, B, bias = last_layer(network, [{"x": each} for each in inputs])
    rows = np.split(A, np.cumsum([each.shape[-1] // STEP for each in inputs])[:-1])
    train, calibrate = np.concatenate(rows[: n // 2]), np.concatenate(rows[n // 2 : 3 * n // 4])
    tested, written = rows[3 * n // 4 : n], written[3 * n // 4 :]
    test = np.concatenate(tested)

    model = maddjit.fit(
        train, B, options.codebooks, bias=bias, objective=options.objective, progress=True
    )
    model = maddjit.calibrate(model, calibrate, B)
    exact = (test @ B + bias).argmax(axis=1)

    def read(winners: NDArray[np.int64]) -> tuple[list[str], float]:
        ends = np.cumsum([len(line) for line in tested])[:-1]
        found = [text(line, alphabet) for line in np.split(winners, ends)]
        wrong = sum(edits(*pair) for pair in zip(found, written, strict=True))
        return found, wrong / sum(map(len, written))

    texts, wrong = read(exact)
    print(f"{len(train)} time steps to learn from, {len(calibrate)} to calibrate with,")
    print(f"{len(test)}, those of {len(written)} lines, to test on")
    print("coverage  exact winner  edits  mean list  times as fast as product and arg-max")
    print(f"{'product':8}  {1:12.4f} {wrong:6.4f} {len(bias):10}  1")
    op = maddjit.compile(model, result="argmax", coverage=options.coverage[0])
    for coverage in options.coverage:
        op = op.with_coverage(coverage)  # the same code and tables
        indices, _, lengths = op.settle(test)
        found, wrong = read(indices[:, 0])
        agreement = np.mean(indices[:, 0] == exact)
        speed = times_as_fast(op, test, B, TIMED_ROWS, options.rounds)
        print(f"{coverage:8}  {agreement:12.4f} {wrong:6.4f} {lengths.mean():10.1f}  {speed}")

    print(f"\nsome lines, coverage {options.coverage[-1]}:")
    for own, product, line in list(zip(found, texts, written, strict=True))[:SHOWN]:
        unlike = "" if own == product else f"; the exact network: {product!r}"
        print(repr(own) + unlike + ("" if own == line else f"; written: {line!r}"))
    for path, line in zip(images, rows[n:], strict=True):
        print(f"{path!r}: {text(op(line), alphabet)!r}, {op.audit(line):.2%} exact winners")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", nargs="*", metavar="IMAGE", help="of one line of text each")
    parser.add_argument("--lines", type=int, default=240, help="lines to draw")
    parser.add_argument("--coverage", type=float, nargs="+", default=[0.99, 0.999])
    parser.add_argument("--objective", choices=["argmax", "product"], default="argmax")
    parser.add_argument("--codebooks", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=15, help="rounds of timing")
    options = parser.parse_args()
    if not all(0 < coverage < 1 for coverage in options.coverage):
        parser.error("--coverage must be between 0 and 1")
    # A quarter of the lines, each of at least so many time steps, serves to calibrate.
    needed = 4 * -(-max(map(rows_needed, options.coverage)) // (MIN_WIDTH // STEP))
    if options.lines < needed:
        parser.error(f"--lines must be {needed} or more for a coverage of {max(options.coverage)}")
    main(options)
