"""Other layers with fewer multiplications, small: low rank, Monarch, and two weights of four."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn

BLOCKS = 4
"""Blocks of Monarch's two block-diagonal matrices."""


class LowRankLinear(nn.Module):
    """A linear layer by a matrix of low rank, x · down · up."""

    def __init__(self, in_features: int, out_features: int, rank: int) -> None:
        super().__init__()
        self.down = nn.Parameter(torch.empty(in_features, rank))
        self.up = nn.Parameter(torch.empty(rank, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.normal_(self.down, std=1 / math.sqrt(in_features))
        nn.init.normal_(self.up, std=math.sqrt(1 / 3 / rank))  # outputs vary as nn.Linear's do

    @classmethod
    def from_linear(cls, layer: nn.Linear, rank: int, rows: Any) -> LowRankLinear:
        """Return the layer of this rank whose outputs on some rows are nearest to another's.

        Its directions are those in which the outputs vary most.
        """
        made = cls(layer.in_features, layer.out_features, rank)
        with torch.no_grad():
            outputs = rows @ layer.weight.T
            mean = outputs.mean(0)
            _, directions = torch.linalg.eigh((outputs - mean).T @ (outputs - mean))
            up = directions[:, -rank:].T
            made.down.copy_(layer.weight.T @ up.T)
            made.up.copy_(up)
            made.bias.copy_(layer.bias + mean - mean @ up.T @ up)
        return made

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs (…, M) of inputs (…, D)."""
        return input @ self.down @ self.up + self.bias

    def macs(self) -> int:
        """Return the multiply-adds of one row."""
        return self.down.numel() + self.up.numel()


class MonarchLinear(nn.Module):
    """A linear layer by two block-diagonal matrices with a permutation between them.

    Each block of the weight, of `BLOCKS` × `BLOCKS`, is of rank `inner` / `BLOCKS`² then (Dao et
    al., arXiv 2204.00595).
    """

    def __init__(self, in_features: int, out_features: int, inner: int) -> None:
        super().__init__()
        b = BLOCKS
        self.first = nn.Parameter(torch.empty(b, in_features // b, inner // b))
        self.second = nn.Parameter(torch.empty(b, inner // b, out_features // b))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.normal_(self.first, std=math.sqrt(b / in_features))
        nn.init.normal_(self.second, std=math.sqrt(b / 3 / inner))

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs (…, M) of inputs (…, D)."""
        b = BLOCKS
        x = input.reshape(-1, b, self.first.shape[1]).transpose(0, 1)
        inner = torch.bmm(x, self.first)  # block, row, feature
        mixed = inner.reshape(b, -1, inner.shape[-1] // b, b).permute(3, 1, 0, 2)
        outputs = torch.bmm(mixed.reshape(b, -1, self.second.shape[1]), self.second)
        return outputs.transpose(0, 1).reshape(*input.shape[:-1], -1) + self.bias

    def macs(self) -> int:
        """Return the multiply-adds of one row."""
        return self.first.numel() + self.second.numel()


class TwoOfFourLinear(nn.Linear):
    """A linear layer in which two weights of each four neighbours, the smaller ones, are zero.

    Gradients pass as if none were (a straight-through estimate), and zeroed weights decay, so that
    the choice settles (Zhou et al., arXiv 2102.04010).
    """

    DECAY = 2e-4

    def forward(self, input: Any) -> Any:
        """Return outputs (…, M) of inputs (…, D)."""
        return nn.functional.linear(input, _Masked.apply(self.weight, self.DECAY), self.bias)

    def macs(self) -> int:
        """Return the multiply-adds of one row."""
        return self.weight.numel() // 2


class _Masked(torch.autograd.Function):
    """Zero two of each four weights."""

    @staticmethod
    def forward(ctx: Any, weight: Any, decay: float) -> Any:
        fours = weight.reshape(-1, 4)
        kept = torch.zeros_like(fours).scatter_(1, fours.abs().topk(2).indices, 1.0)
        kept = kept.reshape(weight.shape)
        ctx.save_for_backward(weight, kept)
        ctx.decay = decay
        return weight * kept

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        weight, kept = ctx.saved_tensors
        return gradients[0] + ctx.decay * (1 - kept) * weight, None
