"""The last layer of PP-OCRv4's text recogniser, on rendered lines of English and Chinese."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.machine import Missing
from benchmarks.tasks.cache import Arrays, home, needs, stored
from benchmarks.tasks.onnx_graphs import last_product
from benchmarks.tasks.record import Floats, Task
from benchmarks.tasks.scores import accuracy, character_error_rate, ctc
from benchmarks.tasks.texts import Message, parts

VERSION = "1"
N_TRAIN, N_TEST = 700, 260
HEIGHT, MIN_WIDTH = 48, 320
ENGLISH, CHINESE = range(20, 50), range(6, 24)

TRUETYPE = Path("/usr/share/fonts/truetype")
LATIN_FONTS = [
    TRUETYPE / "dejavu" / "DejaVuSans.ttf",
    TRUETYPE / "dejavu" / "DejaVuSans-Bold.ttf",
    TRUETYPE / "dejavu" / "DejaVuSerif.ttf",
    TRUETYPE / "dejavu" / "DejaVuSansMono.ttf",
    TRUETYPE / "liberation" / "LiberationSans-Regular.ttf",
    TRUETYPE / "liberation" / "LiberationSerif-Regular.ttf",
    TRUETYPE / "liberation" / "LiberationSerif-Italic.ttf",
    TRUETYPE / "liberation" / "LiberationSansNarrow-Regular.ttf",
]
CHINESE_FONT = TRUETYPE / "wqy" / "wqy-zenhei.ttc"


def is_chinese(letter: str) -> bool:
    """Tell whether a letter is a Chinese character."""
    return "\u4e00" <= letter <= "\u9fff"


def cut(text: str, lengths: range, rng: np.random.Generator) -> str:
    """Return a line of the text of a random length, of whole words if it has words."""
    length = int(rng.integers(lengths.start, lengths.stop))
    if len(text) <= length:
        return text
    return text[: text.rfind(" ", lengths.start, length + 1)] if " " in text else text[:length]


def lines(
    found: Sequence[Message], n: int, known: frozenset[str], rng: np.random.Generator
) -> list[tuple[str, Path]]:
    """Choose `n` different lines of known characters, every other one Chinese, and their fonts."""
    chosen: dict[str, Path] = {}
    for index in rng.permutation(len(found)):
        chinese = len(chosen) % 2 == 1
        message = found[index]
        text, lengths = (message.chinese, CHINESE) if chinese else (message.english, ENGLISH)
        if chinese and sum(map(is_chinese, text)) < 0.8 * len(text):
            continue
        line = cut(text, lengths, rng).strip()
        if len(line) >= lengths.start and known.issuperset(line) and line not in chosen:
            chosen[line] = CHINESE_FONT if chinese else LATIN_FONTS[rng.integers(len(LATIN_FONTS))]
            if len(chosen) == n:
                return list(chosen.items())
    raise Missing(f"only {len(chosen)} of {n} lines: install more programs with translations")


def render(line: str, font: Path, rng: np.random.Generator) -> Floats:
    """Draw a line in a random size, with noise, as the network's input (1, 3, 48, width)."""
    pil = needs("PIL.ImageFont", "pillow")
    image, draw = needs("PIL.Image", "pillow"), needs("PIL.ImageDraw", "pillow")
    filters = needs("PIL.ImageFilter", "pillow")
    size = int(rng.integers(16, 40))
    drawn = pil.truetype(str(font), size)
    left, top, right, bottom = drawn.getbbox(line)
    margin = int(rng.integers(1, 2 + size // 6))
    paper, ink = int(rng.integers(170, 256)), int(rng.integers(0, 90))
    picture = image.new("L", (right - left + 2 * margin, bottom - top + 2 * margin), paper)
    draw.Draw(picture).text((margin - left, margin - top), line, fill=ink, font=drawn)
    picture = picture.filter(filters.GaussianBlur(rng.uniform(0, 0.035) * size))
    width = int(np.ceil(picture.width * HEIGHT / picture.height))
    pixels = np.asarray(picture.resize((width, HEIGHT), image.Resampling.BILINEAR), np.float64)
    pixels += rng.uniform(0, 18) * rng.standard_normal(pixels.shape)
    padded = np.zeros((1, 3, HEIGHT, max(width, MIN_WIDTH)), np.float32)
    padded[..., :width] = np.clip(pixels, 0, 255) / 127.5 - 1
    return padded


def _prepare() -> dict[str, NDArray[Any]]:
    rapidocr = needs("rapidocr_onnxruntime", "rapidocr-onnxruntime")
    for font in [*LATIN_FONTS, CHINESE_FONT]:
        if not font.is_file():
            packages = "fonts-dejavu-core fonts-dejavu-extra fonts-liberation fonts-wqy-zenhei"
            raise Missing(f"{font} not found: apt-get install {packages}")
    path = home(rapidocr) / "models" / "ch_PP-OCRv4_rec_infer.onnx"
    product = last_product(path)
    metadata = {entry.key: entry.value for entry in needs("onnx", "onnx").load(path).metadata_props}
    alphabet = ["", *metadata["character"].splitlines(), " "]
    if len(alphabet) != len(product.bias):
        raise ValueError(f"{len(alphabet)} characters for {len(product.bias)} outputs")

    made = []
    for seed, (part, n) in enumerate(zip(parts(), (N_TRAIN, N_TEST), strict=True)):
        written = lines(part, n, frozenset(alphabet), np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        made.append([product.inputs(render(line, font, rng))[0] for line, font in written])
    rows_train, rows_test = made
    A_test = np.concatenate(rows_test)
    winners = np.concatenate([(A @ product.B + product.bias).argmax(axis=1) for A in rows_test])
    return {
        "A_train": np.concatenate(rows_train),
        "A_test": A_test,
        "B": product.B,
        "bias": product.bias,
        "winners": winners,
        "ends": np.cumsum([len(rows) for rows in rows_test]),
        "alphabet": np.array(json.dumps(alphabet)),
        "written": np.array(json.dumps([line for line, _ in written])),
    }


def _build(arrays: Arrays) -> Task:
    winners, ends = arrays["winners"], arrays["ends"]
    alphabet, written = (json.loads(str(arrays[name])) for name in ("alphabet", "written"))

    chinese = [any(is_chinese(letter) for letter in line) for line in written]

    def error_rate(found: NDArray[np.int64], among: Sequence[bool]) -> float:
        steps = np.split(found, ends[:-1])
        read = [ctc(line, alphabet) for line in steps]
        return character_error_rate(list(compress(read, among)), list(compress(written, among)))

    groups = {
        "character error rate": [True] * len(written),
        "Chinese lines": chinese,
        "English lines": [not line for line in chinese],
    }
    by_winners = {name: partial(error_rate, among=among) for name, among in groups.items()}

    def of_outputs(name: str, outputs: Floats) -> float:
        return by_winners[name](outputs.argmax(axis=1))

    metric, *further = groups
    return Task(
        name="ocr",
        title="PP-OCRv4 recogniser, 120 × 6625",
        source=(
            "the Chinese and English recogniser in the package rapidocr-onnxruntime (Apache-2.0) "
            f"on {len(written)} test lines of program messages, rendered in DejaVu, Liberation and "
            "WenQuanYi Zen Hei with blur and noise; rows are time steps, lines to learn from come "
            "from other programs"
        ),
        A_train=arrays["A_train"],
        A_test=arrays["A_test"],
        B=arrays["B"],
        bias=arrays["bias"],
        metric=metric,
        higher_is_better=False,
        score=partial(of_outputs, metric),
        extra={
            **{name: partial(of_outputs, name) for name in further},
            "agreement": lambda outputs: accuracy(outputs, winners),
        },
        by_winners=by_winners,
    )


def load() -> Task:
    """Load the layer, whose outputs are scores of 6625 characters at each time step."""
    return stored("ocr", VERSION, _prepare, _build)
