"""PyTorch modules whose product is looked up, and how their tables are trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from maddjit.integrations import torch_ops
from maddjit.learning.tables import quantise
from maddjit.models import MaddnessModel
from maddjit.storage import from_bytes, to_bytes


class MaddnessLinear(nn.Module):
    """A linear layer that is looked up.

    Its state is the model's bytes and the weight that it stands for, by which gradients pass to
    its inputs; both travel with `state_dict`, `torch.save` and `torch.export`. The bias is in the
    model.

    Parameters
    ----------
    fitted : MaddnessModel
    weight : (M, D) tensor

    Attributes
    ----------
    tables, base : nn.Parameter or None
        (C, K, M) and (M,), between `fine_tune` and `requantise`.

    Raises
    ------
    ValueError
        If the weight has another shape.
    """

    tables: Any
    base: Any

    def __init__(self, fitted: MaddnessModel, weight: Any) -> None:
        super().__init__()
        shape = fitted.n_outputs, fitted.n_features
        if tuple(weight.shape) != shape:
            raise ValueError(f"weight must have shape {shape}, not {tuple(weight.shape)}")
        self.register_buffer("weight", weight.detach().clone())
        self.register_buffer("packed", torch.empty(0, dtype=torch.uint8))
        self.register_parameter("tables", None)
        self.register_parameter("base", None)
        self._set(fitted)

    def _set(self, fitted: MaddnessModel) -> None:
        data = np.frombuffer(to_bytes(fitted), np.uint8)
        self.packed = torch.from_numpy(data.copy())
        self.key = torch_ops.key_of(self.packed)
        torch_ops.operator(self.packed, self.key)  # compiled now, and not at the first call

    @property
    def fitted(self) -> MaddnessModel:
        """The model, as last fitted or requantised; without a report."""
        model = from_bytes(self.packed.numpy().tobytes())
        assert isinstance(model, MaddnessModel)
        return model

    def forward(self, input: Any) -> Any:  # named as that of nn.Linear
        """Return (…, M), of the dtype of the input (…, D), which is of floating point."""
        if self.tables is None:
            return torch_ops.product(input, self.weight, self.packed, self.key)
        y, _ = torch_ops.look_up(input, self.tables, self.base, self.weight, self.packed, self.key)
        return y

    def fine_tune(self) -> None:
        """Make tables and offset parameters, in float32; what is looked up stays the same.

        Raises
        ------
        ValueError
            If the model has an exact core or sums by averages.
        """
        if self.tables is not None:
            return
        model = self.fitted
        if model.core is not None or model.accumulate != "exact":
            raise ValueError("tables with an exact core, or summed by averages, cannot be tuned")
        tables = model.tables.astype(np.float32) * model.scale
        self.tables = nn.Parameter(torch.from_numpy(tables))
        self.base = nn.Parameter(torch.from_numpy(model.offset.copy()))

    def requantise(self) -> None:
        """Round tables to 8 bits, sums of as few bits as before, and compile them.

        Raises
        ------
        ValueError
            If an entry is infinite or NaN.
        """
        if self.tables is None:
            return
        old = self.fitted
        tables = self.tables.detach().double().numpy()
        base = self.base.detach().double().numpy()
        if not (np.isfinite(tables).all() and np.isfinite(base).all()):
            raise ValueError("tables and offset must be finite")
        entries, scale, offset = quantise(
            tables, base, scale="per-output", accumulate="exact", byte_group=_byte_group(old)
        )
        self.tables = self.base = None
        self._set(
            MaddnessModel(
                old.split_dims,
                old.thresholds,
                entries,
                scale,
                offset,
                old.n_features,
                bias=old.bias,
            )
        )

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, *lists: Any
    ) -> None:
        packed = state.get(f"{prefix}packed")
        if packed is not None:
            wrong = self._why_not(packed, state, prefix)
            if wrong:  # take nothing, for half of it would be another layer
                lists[-1].append(f"{prefix.removesuffix('.') or 'the layer'}: {wrong}")
                return
            self.packed = torch.empty_like(packed)  # another model may take more bytes
        super()._load_from_state_dict(state, prefix, metadata, strict, *lists)
        self.key = torch_ops.key_of(self.packed)

    def _why_not(self, packed: Any, state: Any, prefix: str) -> str:
        """Return why a state cannot be loaded, or nothing."""
        try:
            model = from_bytes(packed.cpu().numpy().tobytes())
        except ValueError as error:
            return f"packed: {error}"
        if not isinstance(model, MaddnessModel):
            return f"packed holds a {type(model).__name__}, not a MaddnessModel"
        shapes: dict[str, tuple[int, ...]] = {"weight": (model.n_outputs, model.n_features)}
        if self.tables is not None:
            shapes |= {"tables": model.tables.shape, "base": (model.n_outputs,)}
        for name, shape in shapes.items():
            own = tuple(getattr(self, name).shape)
            stored = tuple(state[f"{prefix}{name}"].shape) if f"{prefix}{name}" in state else own
            if not own == stored == shape:
                return f"{name} must have shape {own}, is {stored}, and packed needs {shape}"
        return ""

    def extra_repr(self) -> str:
        """Return the sizes, for the representation of a model."""
        model = self.fitted
        return (
            f"{model.n_features}, {model.n_outputs}, codebooks={model.n_codebooks}, "
            f"prototypes={model.n_prototypes}"
        )


class MaddnessConv1x1(MaddnessLinear):
    """A 1 × 1 convolution that is looked up: each place of an image is a row.

    Fastest from images in `torch.channels_last`; the results are. The rest is that of
    `MaddnessLinear`.

    Parameters
    ----------
    fitted : MaddnessModel
    weight : (M, D) tensor
    stride : (int, int)
    """

    def __init__(self, fitted: MaddnessModel, weight: Any, stride: tuple[int, int]) -> None:
        super().__init__(fitted, weight)
        self.stride = stride

    def forward(self, input: Any) -> Any:
        """Return (N, M, H', W') of images (N, D, H, W), or the same without N."""
        down, right = self.stride
        places = input[..., ::down, ::right].movedim(-3, -1)
        return super().forward(places).movedim(-1, -3)


def _byte_group(model: MaddnessModel) -> int:
    """Return how many neighbouring codebooks add up in 8 bits: the most of C, C/2, C/4 … 1."""
    most = model.tables.max(axis=1).astype(np.int64)
    group = model.n_codebooks
    while group > 1:
        starts = np.arange(0, model.n_codebooks, group)
        if np.add.reduceat(most, starts, axis=0).max() <= 255:
            return group
        group //= 2
    return 1
