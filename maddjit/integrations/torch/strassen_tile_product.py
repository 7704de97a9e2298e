"""The product of Strassen-Tile layers in PyTorch: encode, multiply by the r matrices, decode."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from maddjit.integrations.torch.strassen_tile_rows import padded

_CHUNK_NUMBERS = 3 * 2**19
"""Encoded numbers and products of the tiles that a CPU works on together, as its caches hold."""

_CHUNK_TILES = 64
"""Tiles that a CPU works on together, at least: fewer read the r matrices too often."""


def encoded_weight(weight: Any, encode_weight: Any, tile: tuple[int, int, int]) -> Any:
    """Return V (r, Dk, Mk) of a weight (M, D): r linear combinations of its d · m blocks."""
    _, d, m = tile
    outputs, features = weight.shape
    rows, columns = -(-features // d), -(-outputs // m)
    whole = padded(weight, d * rows - features, m * columns - outputs)
    tiles = whole.reshape(m, columns, d, rows).permute(2, 0, 3, 1).reshape(d * m, rows * columns)
    return (encode_weight @ tiles).reshape(-1, rows, columns)


def as_autocast(*tensors: Any) -> tuple[Any, ...]:
    """Return tensors in the type that autocast asks for, as they are without it or if double."""
    kind = tensors[0].device.type
    if not torch.amp.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
        return tensors
    dtype = torch.get_autocast_dtype(kind)
    return tuple(x if x is None or x.dtype == torch.double else x.to(dtype) for x in tensors)


def tile_product(
    parts: Any, encode: Any, values: Any, decode: Any, bias: Any, *, recompute: bool
) -> Any:
    """Return the parts (P, n · m, Mk) of the outputs, for the parts (P, n · d, Dk) of P tiles.

    Small products are left to autograd. Others take some tiles after another, so that encoded tiles
    stay in the caches and need not be kept for the backward pass; compiled code finds its own way.

    Parameters
    ----------
    parts : (P, n · d, Dk) tensor
    encode : (r, n · d) tensor
    values : (r, Dk, Mk) tensor
    decode : (n · m, r) tensor
    bias : (n · m, Mk) tensor or None
    recompute : bool
        Whether the backward pass multiplies again instead of keeping the r products.
    """
    factors = parts, encode, values, decode, bias
    needs = torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in factors)
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        if recompute and needs and not torch.compiler.is_exporting():
            return checkpoint(_plain_product, *factors, use_reentrant=False)
        return _plain_product(*factors)
    # No public function tells whether torch.func transforms the call; Function.apply asks this one.
    if torch._C._are_functorch_transforms_active():
        return _plain_product(*factors)
    if not needs:
        return _multiplied(*factors, keep=False)[0]
    if not recompute and len(parts) <= _chunk(parts, values):
        return _plain_product(*factors)
    return _TileProduct.apply(*factors, recompute)


def _plain_product(parts: Any, encode: Any, values: Any, decode: Any, bias: Any) -> Any:
    """Return the outputs' parts by three batched products, which autograd knows."""
    z = torch.bmm(encode.expand(parts.shape[0], -1, -1), parts)
    return _decoded(torch.bmm(z.transpose(0, 1), values), decode, bias)


def _decoded(u: Any, decode: Any, bias: Any, out: Any = None) -> Any:
    """Return the outputs' parts of products (r, P, Mk)."""
    wide = decode.expand(u.shape[1], -1, -1)
    if bias is None:
        return torch.bmm(wide, u.transpose(0, 1), out=out)
    return torch.baddbmm(bias, wide, u.transpose(0, 1), out=out)


def _chunk(parts: Any, values: Any) -> int:
    """Return how many tiles are worked on together: on a CPU what its caches hold, else all."""
    if parts.device.type != "cpu":
        return max(len(parts), 1)
    rank, rows, columns = values.shape
    fitting: int = _CHUNK_NUMBERS // (rank * (rows + columns))
    return max(_CHUNK_TILES, fitting)


def _chunks(parts: Any, values: Any) -> Iterator[slice]:
    step = _chunk(parts, values)
    return (slice(first, first + step) for first in range(0, len(parts), step))


def _multiplied(
    parts: Any, encode: Any, values: Any, decode: Any, bias: Any, *, keep: bool
) -> tuple[Any, list[Any]]:
    """Return the outputs' parts, and the products (r, …, Mk) of each chunk if they are kept."""
    y = parts.new_empty(len(parts), len(decode), values.shape[2])
    kept = []
    for some in _chunks(parts, values):
        x = parts[some]
        z = torch.bmm(encode.expand(len(x), -1, -1), x)
        u = torch.bmm(z.transpose(0, 1), values)
        _decoded(u, decode, bias, out=y[some])
        if keep:
            kept.append(u)
    return y, kept


class _TileProduct(torch.autograd.Function):
    """The product chunk by chunk. Its backward pass encodes again, which is cheap."""

    @staticmethod
    def forward(
        ctx: Any, parts: Any, encode: Any, values: Any, decode: Any, bias: Any, recompute: bool
    ) -> Any:
        y, kept = _multiplied(parts, encode, values, decode, bias, keep=not recompute)
        ctx.save_for_backward(parts, encode, values, decode, bias, *kept)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        factors, kept = ctx.saved_tensors[:5], ctx.saved_tensors[5:]
        wanted = ctx.needs_input_grad[:5]
        if torch.is_grad_enabled():  # these gradients are to be differentiated themselves
            return *_plain_gradients(factors, wanted, grad), None
        return *_gradients(factors[:4], kept, wanted, grad), None


def _plain_gradients(factors: Any, wanted: Any, grad: Any) -> list[Any]:
    """Return gradients by autograd, with a graph of their own."""
    sources = [x for x, is_wanted in zip(factors, wanted, strict=True) if is_wanted]
    y = _plain_product(*factors)
    found = iter(torch.autograd.grad(y, sources, grad, create_graph=True))
    return [next(found) if is_wanted else None for is_wanted in wanted]


def _gradients(factors: Any, kept: Any, wanted: Any, grad: Any) -> list[Any]:
    """Return the gradients of the factors and of the bias, chunk by chunk; None if not wanted.

    `kept` holds the products of each chunk, or nothing if they are to be computed again.
    """
    parts, encode, values, decode = factors
    for_parts, for_encode, for_values, for_decode, for_bias = wanted
    d_parts = torch.empty_like(parts) if for_parts else None
    d_encode, d_values, d_decode = (_zeros(x) for x in (encode, values, decode.t()))
    for number, some in enumerate(_chunks(parts, values)):
        x, dy = parts[some], grad[some]
        tiles = len(x)
        if for_values or (for_decode and not kept):
            z = torch.bmm(encode.expand(tiles, -1, -1), x).transpose(0, 1)
        if for_decode:
            u = kept[number] if kept else torch.bmm(z, values)
            d_decode += torch.bmm(u.transpose(0, 1), dy.transpose(1, 2)).sum(0)
        if not (for_parts or for_encode or for_values):
            continue
        du = torch.bmm(decode.t().expand(tiles, -1, -1), dy).transpose(0, 1)
        if for_values:
            _add_product(d_values, z.transpose(1, 2), du)
        if for_parts or for_encode:
            dz = torch.bmm(du, values.transpose(1, 2)).transpose(0, 1)
        if for_encode:
            d_encode += torch.bmm(dz, x.transpose(1, 2)).sum(0)
        if d_parts is not None:
            torch.bmm(encode.t().expand(tiles, -1, -1), dz, out=d_parts[some])
    totals = d_encode, d_values, d_decode.t()
    wanted_totals = zip(totals, factors[1:], wanted[1:4], strict=True)
    return [
        d_parts,
        *(total.to(x.dtype) if is_wanted else None for total, x, is_wanted in wanted_totals),
        grad.sum(0) if for_bias else None,
    ]


def _zeros(x: Any) -> Any:
    """Return zeros to add to: of float32 at least, because sums over chunks need its digits."""
    return torch.zeros_like(x, dtype=torch.promote_types(x.dtype, torch.float32))


def _add_product(total: Any, left: Any, right: Any) -> None:
    if total.dtype == left.dtype:
        total.baddbmm_(left, right)
    else:
        total += torch.bmm(left, right)
