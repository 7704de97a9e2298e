"""Custom ops of PyTorch: the compiled product, and look-ups in float tables, with gradients."""

import hashlib
import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from maddjit.integrations.kept import Kept
from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import from_bytes
from maddjit.operators.maddness import CompiledOperator
from maddjit.pipeline import compile

_operators: Kept[CompiledOperator] = Kept()
"""The operators of this process, by the hash of their models' bytes."""


def model_key(packed: Tensor) -> str:
    """Return the SHA-256 of a model's bytes, by which its operator is found."""
    return hashlib.sha256(packed.cpu().numpy().tobytes()).hexdigest()


def operator_for(packed: Tensor, key: str) -> CompiledOperator:
    """Return a model's operator. Each process compiles it once, and keeps it until it ends."""

    def compiled() -> CompiledOperator:
        model = from_bytes(packed.numpy().tobytes())
        assert isinstance(model, MaddnessModel)
        return compile(model)

    return _operators.get(key, compiled)


def _rows(x: Tensor) -> Any:
    """Return x as a NumPy array (N, D), in x's own memory if that is possible."""
    if not x.is_floating_point():
        raise TypeError(
            f"rows must be of floating point, as the outputs are, not {x.dtype}: .float() converts "
            "them"
        )
    rows = x.detach().reshape(-1, x.shape[-1])
    return (rows.float() if rows.dtype == torch.bfloat16 else rows).numpy()


def _without_false_numbers(y: Tensor, x: Tensor) -> None:
    """Write NaN to the outputs of rows with NaN or infinities, which look-ups do not notice."""
    if not math.isfinite(x.sum(dtype=torch.promote_types(x.dtype, torch.float32)).item()):
        y[~x.isfinite().all(-1)] = math.nan


@torch.library.custom_op("maddjit::product", mutates_args=(), device_types="cpu")
def product(x: Tensor, weight: Tensor, packed: Tensor, key: str) -> Tensor:
    """Return ``x @ weight.T + bias``, looked up; `weight` is for the gradient alone."""
    outputs = torch.empty((*x.shape[:-1], weight.shape[0]), dtype=torch.float32)
    flat = outputs.view(-1, weight.shape[0]).numpy()
    operator_for(packed, key)(_rows(x), out=flat)
    _without_false_numbers(outputs, x.detach())
    return outputs.to(x.dtype)


@product.register_fake
def _(x: Tensor, weight: Tensor, packed: Tensor, key: str) -> Tensor:
    return x.new_empty((*x.shape[:-1], weight.shape[0]))


@torch.library.custom_op("maddjit::product_backward", mutates_args=(), device_types="cpu")
def product_backward(grad: Tensor, weight: Tensor) -> Tensor:
    """Return the straight-through gradient of x, which is that of the exact product."""
    return torch.matmul(grad, weight.to(grad.dtype))


@product_backward.register_fake
def _(grad: Tensor, weight: Tensor) -> Tensor:
    return grad.new_empty((*grad.shape[:-1], weight.shape[1]))


def _keep_weight(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1])


def _straight_through(ctx: Any, grad: Tensor) -> tuple[Any, ...]:
    (weight,) = ctx.saved_tensors
    return product_backward(grad, weight), None, None, None


product.register_autograd(_straight_through, setup_context=_keep_weight)


@torch.library.custom_op("maddjit::look_up", mutates_args=(), device_types="cpu")
def look_up(
    x: Tensor, tables: Tensor, base: Tensor, weight: Tensor, packed: Tensor, key: str
) -> tuple[Tensor, Tensor]:
    """Return the sums of look-ups in float tables (C, K, M), plus base, and the codes (…, C)."""
    n_codebooks, _, n_outputs = tables.shape
    codes = torch.from_numpy(np.ascontiguousarray(operator_for(packed, key).encode(_rows(x))))
    sums = torch.nn.functional.embedding_bag(
        _places(codes, tables), tables.flatten(0, 1), mode="sum"
    )
    outputs = (sums + base).to(x.dtype).reshape(*x.shape[:-1], n_outputs)
    _without_false_numbers(outputs, x.detach())
    return outputs, codes.reshape(*x.shape[:-1], n_codebooks)


@look_up.register_fake
def _(
    x: Tensor, tables: Tensor, base: Tensor, weight: Tensor, packed: Tensor, key: str
) -> tuple[Tensor, Tensor]:
    outputs = x.new_empty((*x.shape[:-1], tables.shape[2]))
    return outputs, x.new_empty((*x.shape[:-1], tables.shape[0]), dtype=torch.uint8)


def _places(codes: Tensor, tables: Tensor) -> Tensor:
    """Return the rows of flattened tables (C · K, M) that codes (N, C) select."""
    n_codebooks, n_prototypes, _ = tables.shape
    return codes.long() + n_prototypes * torch.arange(n_codebooks)


@torch.library.custom_op("maddjit::look_up_backward", mutates_args=(), device_types="cpu")
def look_up_backward(
    grad: Tensor, codes: Tensor, tables: Tensor, weight: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradient of x, straight through, and the exact ones of tables and base."""
    n_codebooks, _, n_outputs = tables.shape
    rows = grad.reshape(-1, n_outputs).to(tables.dtype)
    places = _places(codes.reshape(-1, n_codebooks), tables)
    of_tables = torch.zeros_like(tables)
    for column in places.unbind(1):
        of_tables.view(-1, n_outputs).index_add_(0, column, rows)
    return torch.matmul(grad, weight.to(grad.dtype)), of_tables, rows.sum(0)


@look_up_backward.register_fake
def _(grad: Tensor, codes: Tensor, tables: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    of_x = grad.new_empty((*grad.shape[:-1], weight.shape[1]))
    return of_x, torch.empty_like(tables), tables.new_empty(tables.shape[2])


def _keep_codes(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
    ctx.mark_non_differentiable(output[1])
    ctx.save_for_backward(output[1], inputs[1], inputs[3])


def _to_tables(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Any, ...]:
    codes, tables, weight = ctx.saved_tensors
    return *look_up_backward(grad, codes, tables, weight), None, None, None


look_up.register_autograd(_to_tables, setup_context=_keep_codes)
