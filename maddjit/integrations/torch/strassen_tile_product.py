"""The product of Strassen-Tile layers in PyTorch: encode, multiply by the r matrices, decode."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional


def encoded_weight(weight: Any, encode_weight: Any, tile: tuple[int, int, int]) -> Any:
    """Return V (r, Dk, Mk) of a weight (M, D): r linear combinations of its d · m blocks."""
    _, d, m = tile
    outputs, features = weight.shape
    rows, columns = -(-features // d), -(-outputs // m)
    padded = functional.pad(weight, (0, d * rows - features, 0, m * columns - outputs))
    tiles = padded.reshape(m, columns, d, rows).permute(2, 0, 3, 1).reshape(d * m, rows * columns)
    return (encode_weight @ tiles).reshape(-1, rows, columns)


def tile_product(parts: Any, encode: Any, values: Any, decode: Any) -> Any:
    """Return the n · m parts (P, n · m, Mk) of the outputs, from the n · d parts (P, n · d, Dk)."""
    z = torch.bmm(encode.expand(len(parts), -1, -1), parts)
    u = torch.bmm(z.transpose(0, 1), values)
    return torch.bmm(decode.expand(len(parts), -1, -1), u.transpose(0, 1))
