"""Look-ups by hash trees with gradients: codes, sums of table entries, and what passes back."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

TOGETHER = 1 << 20
"""Leaves times rows whose gradients are found together: they should stay in a cache."""


def codes_of(taps: Tensor, thresholds: Tensor) -> Tensor:
    """Return the leaf of each tree that each row reaches.

    Parameters
    ----------
    taps : (C, T, R) tensor
        What level t of tree c compares, for R rows.
    thresholds : (C, K − 1) tensor
        Node i of level t stands at 2ᵗ − 1 + i. A row goes right when its tap is not below.

    Returns
    -------
    (C, R) uint8 tensor
    """
    depth = taps.shape[1]
    below: list[Any] = [0.0] * (1 << depth)
    for level in reversed(range(depth)):
        weight = float(1 << (depth - 1 - level))
        below = [
            torch.where(
                taps[:, level] >= thresholds[:, (1 << level) - 1 + i, None],
                below[2 * i + 1] + weight,
                below[2 * i],
            )
            for i in range(1 << level)
        ]
    return below[0].to(torch.uint8)


def walk(
    taps: Tensor, thresholds: Tensor, values: Tensor, temperature: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the gradients of taps (C, T, R) and nodes (C, K − 1, R) by leaves' values (C, K, R).

    `LookUpSums` says what is computed. That of a threshold is the negative sum of its node's.
    """
    depth = taps.shape[1]
    slope = 2 / temperature
    n_nodes = (1 << depth) - 1
    rights: list[Tensor] = []
    shares: list[Tensor | None] = [None]
    for node in range(n_nodes):
        level = (node + 1).bit_length() - 1
        right = torch.sigmoid((taps[:, level] - thresholds[:, node, None]) * slope)
        share = shares[node]
        to_right = right if share is None else share * right
        rights.append(right)
        shares += [1 - right if share is None else share - to_right, to_right]
    means = {n_nodes + k: values[:, k].to(taps.dtype) for k in range(n_nodes + 1)}
    of_taps: list[Any] = [0] * depth
    of_nodes: list[Any] = [None] * n_nodes
    for node in reversed(range(n_nodes)):
        level = (node + 1).bit_length() - 1
        left_mean, right_mean = means.pop(2 * node + 1), means.pop(2 * node + 2)
        gained, to_right = right_mean - left_mean, shares[2 * node + 2]
        assert to_right is not None
        means[node] = left_mean + rights[node] * gained
        change = (to_right - to_right * rights[node]) * (gained * slope)
        of_taps[level] = of_taps[level] + change
        of_nodes[node] = change
    return torch.stack(of_taps, 1), torch.stack(of_nodes, 1)


def chosen_leaves(codes: Tensor, n_leaves: int, dtype: torch.dtype) -> Tensor:
    """Return codes (C, R) as one-hot vectors (C, K, R)."""
    numbers = codes.float()  # comparisons of float32 are vectorised
    return torch.stack([(numbers == leaf).to(dtype) for leaf in range(n_leaves)], 1)


class Kernels:
    """The functions above as they are, or as `compile_look_ups` compiled them."""

    codes_of = staticmethod(codes_of)
    chosen_leaves = staticmethod(chosen_leaves)
    walk = staticmethod(walk)


def compile_look_ups(on: bool = True) -> None:
    """Let torch compile what layers by look-ups compute in training, in this process.

    Training is about three times as fast then. On CPUs `torch.compile` needs a C++ compiler.

    Parameters
    ----------
    on : bool
        False goes back to functions that are not compiled.
    """
    for function in (codes_of, chosen_leaves, walk):
        used = torch.compile(function, dynamic=True) if on else function
        setattr(Kernels, function.__name__, staticmethod(used))


class LookUpSums(torch.autograd.Function):
    """Sums of rounded table entries, with straight-through gradients of trees and tables.

    Forward, row r of tree c reaches one leaf k(c, r), and the sum of output m is
    ``Σ_c rint(levels[c, k(c, r), m])``: whole numbers, which float32 holds without error.

    Backward, two steps are replaced by smooth ones. Rounding counts as the identity. The choice of
    a leaf counts as a random walk down the tree: at a node with h = tap − threshold a row goes
    right with probability ``s(h) = (1 + tanh(h / τ)) / 2``, whose gradient is that of tanh(h / τ)
    / 2, and p[k] is the product of the probabilities along the path to leaf k. So with
    E = rint(levels) and the gradient g of the sums:

    - ``levels``: leaf k receives g from the rows that reach it. The one-hot vector of the forward
      pass stands here, and not p.
    - p: ``P[c, k, r] = Σ_m E[c, k, m] · g[m, r]``, one matrix product for all trees.
    - node i: let V[i, r] be the mean of P below it, which is P at a leaf and
      ``V[i] = V[left] + s · (V[right] − V[left])`` above. Let ρ[i] be the probability that the walk
      comes to node i: 1 at the root, ρ · s to the right and ρ · (1 − s) to the left. The
      derivative of Σ_k p[k] · P[k] by h is ``ρ · s'(h) · (V[right] − V[left])`` with
      ``s'(h) = s · (1 − s) · 2 / τ``. It is the gradient of the tap, and its negative sum over rows
      that of the threshold.

    That is one pass down and one up each tree. Products of rows, trees, leaves and outputs are
    never stored, and leaves times rows only for a few trees at a time. Since Σ_k p[k] = 1, a
    number that all leaves of a tree share has no part in the gradient; entries are centred before
    the product, so that less precise products do.
    """

    @staticmethod
    def forward(
        ctx: Any,
        taps: Tensor,
        thresholds: Tensor,
        cuts: Tensor,
        levels: Tensor,
        temperature: Tensor,
        precision: torch.dtype | None,
    ) -> Tensor:
        """Return sums (M, R); `cuts` are the thresholds that decide, and `thresholds` learn."""
        n_codebooks, n_leaves, n_outputs = levels.shape
        codes = Kernels.codes_of(taps, cuts)
        entries = levels.round()
        starts = n_leaves * torch.arange(n_codebooks, dtype=torch.int32, device=codes.device)
        places = codes.T.to(torch.int32, memory_format=torch.contiguous_format).add_(starts)
        sums = functional.embedding_bag(places, entries.reshape(-1, n_outputs), mode="sum")
        ctx.save_for_backward(taps, thresholds, codes, entries, temperature)
        ctx.precision = precision
        return sums.T

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
        """Return the gradients of taps, thresholds and levels."""
        taps, thresholds, codes, entries, temperature = ctx.saved_tensors
        n_codebooks, n_leaves, n_outputs = entries.shape
        n_rows = taps.shape[2]
        kind = ctx.precision or entries.dtype
        centred = (entries - entries.mean(1, keepdim=True).round()).to(kind)
        grad = grad.to(kind).contiguous()
        by_rows = grad.T.contiguous()
        together = max(1, TOGETHER // (n_leaves * n_rows))
        parts = []
        for start in range(0, n_codebooks, together):
            own = slice(start, start + together)
            chosen = Kernels.chosen_leaves(codes[own], n_leaves, kind)
            of_levels = (chosen.flatten(0, 1) @ by_rows).view(-1, n_leaves, n_outputs)
            values = (centred[own].flatten(0, 1) @ grad).view(-1, n_leaves, n_rows)
            of_own, of_nodes = Kernels.walk(taps[own], thresholds[own], values, temperature)
            parts.append((of_own, of_nodes.sum(2).neg_(), of_levels))
        of_taps, of_thresholds, of_levels = (torch.cat(part) for part in zip(*parts, strict=True))
        return of_taps, of_thresholds, None, of_levels.to(entries.dtype), None, None
