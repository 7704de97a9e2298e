"""Images of lines of text for `ocr_head.py`, from the standard library's docstrings."""

from __future__ import annotations

import ast
import sys
import sysconfig
import textwrap
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont


def lines(n: int) -> list[str]:
    """Return n different lines of docstrings. Lines of the same module are neighbours."""
    rng = np.random.default_rng(0)
    found: dict[str, None] = {}
    modules = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for module in rng.permutation(len(modules)):
        nodes = ast.walk(ast.parse(modules[module].read_bytes()))
        texts = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]
        cut = [textwrap.wrap(" ".join(each.split()), rng.integers(20, 50)) for each in texts]
        long = [line for each in cut for line in each if len(line) > 10 and line.isascii()]
        found |= dict.fromkeys(long[:20])
        if len(found) >= n:
            return list(found)[:n]
    sys.exit(f"the standard library has {len(found)} lines: lower --lines")


def drawn(line: str, rng: np.random.Generator) -> Image.Image:
    """Draw a line in a random size and shade, with blur and noise."""
    line = line.replace(" ", "  ")  # the network overlooks narrow ones
    size = int(rng.integers(16, 40))
    font = ImageFont.load_default(size)
    left, top, right, bottom = (round(edge) for edge in font.getbbox(line))
    margin = int(rng.integers(1, 2 + size // 6))
    width, height = right - left + 2 * margin, bottom - top + 2 * margin
    image = Image.new("L", (width, height), int(rng.integers(170, 256)))
    ink = int(rng.integers(0, 90))
    ImageDraw.Draw(image).text((margin - left, margin - top), line, fill=ink, font=font)
    blurred = image.filter(ImageFilter.GaussianBlur(rng.uniform(0, 0.035) * size))
    noise = rng.uniform(0, 18) * rng.standard_normal((height, width))
    return Image.fromarray(np.clip(np.asarray(blurred) + noise, 0, 255).astype(np.uint8))
