"""A small vision transformer with blocks like those of T2T-ViT-7, whose linear layers vary."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from benchmarks.suites.networks.data import PATCH, PIECE, STRIDE, TOKENS

MLP_RATIO = 2
_BYTE_WIDTH = 16
"""Numbers that stand for a byte before bytes become tokens."""
Maker = Callable[[int, int], nn.Module]
"""Takes inputs and outputs and returns a linear layer."""


class Patches(nn.Module):
    """Tokens of images: patches that overlap, each in one linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embed = nn.Linear(PATCH * PATCH, width)

    def forward(self, images: Any) -> Any:
        """Return tokens (n, 16, width) of images (n, 28, 28) of bytes."""
        patches = images.unfold(1, PATCH, STRIDE).unfold(2, PATCH, STRIDE)
        x = patches.reshape(len(images), TOKENS, PATCH * PATCH).float()
        return self.embed((x - 73) / 90)


class Bytes(nn.Module):
    """Tokens of bytes: 16 bytes each, by a table and one linear layer."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(256, _BYTE_WIDTH)
        self.embed = nn.Linear(PIECE // TOKENS * _BYTE_WIDTH, width)

    def forward(self, pieces: Any) -> Any:
        """Return tokens (n, 16, width) of pieces (n, 256) of bytes."""
        return self.embed(self.table(pieces.int()).reshape(len(pieces), TOKENS, -1))


STEMS = {"patches": Patches, "bytes": Bytes}


class Block(nn.Module):
    """Attention and two layers, each behind a normalisation and beside a residual."""

    LAYERS = ("qkv", "proj", "fc1", "fc2")

    def __init__(self, width: int, heads: int, maker: Maker) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.proj = maker(width, 3 * width), maker(width, width)
        self.fc1, self.fc2 = maker(width, MLP_RATIO * width), maker(MLP_RATIO * width, width)

    def forward(self, x: Any) -> Any:
        """Return tokens (n, T, width) of tokens."""
        n, length, width = x.shape
        qkv = self.qkv(self.norm1(x)).reshape(n, length, 3, self.heads, width // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.proj(mixed.transpose(1, 2).reshape(n, length, width))
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Network(nn.Module):
    """Tokens, blocks, and a classifier of the tokens' mean."""

    def __init__(
        self, stem: str, classes: int, width: int, depth: int, heads: int, maker: Maker
    ) -> None:
        super().__init__()
        self.stem = STEMS[stem](width)
        self.places = nn.Parameter(torch.randn(TOKENS, width) * 0.02)
        self.blocks = nn.ModuleList(Block(width, heads, maker) for _ in range(depth))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, examples: Any) -> Any:
        """Return scores (n, classes) of examples, which are bytes."""
        x = self.stem(examples) + self.places
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))

    def layers(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield the name and the module of each linear layer of the blocks."""
        for i, block in enumerate(self.blocks):
            for name in Block.LAYERS:
                yield f"blocks.{i}.{name}", getattr(block, name)
