"""PyTorch modules whose product is looked up, and how their tables are trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from maddjit.integrations.torch import ops
from maddjit.learning.maddness.tables import quantise
from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import from_bytes, to_bytes


class MaddnessLinear(nn.Module):
    """A linear layer that is looked up.

    Its state is the model's bytes, and the weight and bias of the layer that it stands for; they
    travel with `state_dict`, `torch.save` and `torch.export`.

    Parameters
    ----------
    fitted : MaddnessModel
        The bias is in it, too.
    weight : (M, D) tensor
    bias : (M,) tensor, optional
        What readers of the attribute get.

    Attributes
    ----------
    in_features, out_features : int
    weight, bias : nn.Parameter or None
        Those of the layer, as they were when it was replaced, for whoever reads them. They are
        frozen, and not what is looked up; by the weight, gradients pass to the inputs. A bias of
        NaN is not known: the state was saved by a version that did not keep it.
    tables, base : nn.Parameter or None
        (C, K, M) and (M,), between `fine_tune` and `requantise`.

    Raises
    ------
    ValueError
        If weight or bias have other shapes.
    """

    _version = 2  # since 2 with a bias, and a convolution's weight of four dimensions
    weight: Any
    bias: Any
    tables: Any
    base: Any

    def __init__(self, fitted: MaddnessModel, weight: Any, bias: Any = None) -> None:
        super().__init__()
        shape = fitted.n_outputs, fitted.n_features
        for name, part, wanted in ("weight", weight, shape), ("bias", bias, shape[:1]):
            if part is not None and tuple(part.shape) != wanted:
                raise ValueError(f"{name} must have shape {wanted}, not {tuple(part.shape)}")
        self._hold(weight.detach().clone(), None if bias is None else bias.detach().clone())
        self._set(fitted)

    def _hold(self, weight: Any, bias: Any) -> None:
        """Keep the layer's weight and bias, for readers, and places for the rest."""
        self.weight = _frozen(self._shaped(weight))
        self.register_parameter("bias", None if bias is None else _frozen(bias))
        self.register_parameter("tables", None)
        self.register_parameter("base", None)
        self.register_buffer("packed", torch.empty(0, dtype=torch.uint8))

    def _shaped(self, weight: Any) -> Any:
        """Return a weight (M, D) in the shape that readers expect."""
        return weight

    def _set(self, fitted: MaddnessModel) -> None:
        data = np.frombuffer(to_bytes(fitted), np.uint8)
        self.packed = torch.from_numpy(data.copy())
        self.key = ops.key_of(self.packed)
        ops.operator(self.packed, self.key)  # compiled now, and not at the first call

    @property
    def in_features(self) -> int:
        """The number of inputs, D."""
        return int(self.weight.shape[1])

    @property
    def out_features(self) -> int:
        """The number of outputs, M."""
        return int(self.weight.shape[0])

    @property
    def fitted(self) -> MaddnessModel:
        """The model, as last fitted or requantised; without a report."""
        model = from_bytes(self.packed.cpu().numpy().tobytes())
        assert isinstance(model, MaddnessModel)
        return model

    def forward(self, input: Any) -> Any:  # named as that of nn.Linear
        """Return (…, M), of the dtype of the input (…, D), or that of autocast inside of one.

        Rows with NaN or infinities give NaN.
        """
        weight = self.weight.flatten(1)
        if self.tables is None:
            y = ops.product(input, weight, self.packed, self.key)
        else:
            y, _ = ops.look_up(input, self.tables, self.base, weight, self.packed, self.key)
        if torch.is_autocast_enabled("cpu") and y.dtype != torch.float64:
            return y.to(torch.get_autocast_dtype("cpu"))  # as products are there
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
        self._bring_up_to_date(state, prefix, metadata.get("version") or 1)
        packed = state.get(f"{prefix}packed")
        wrong = self._why_not(packed, state, prefix)
        if wrong:  # take nothing, for half of it would be another layer
            lists[-1].append(f"{prefix.removesuffix('.') or 'the layer'}: {wrong}")
            return
        if packed is not None:
            self.packed = torch.empty_like(packed)  # another model may take more bytes
        super()._load_from_state_dict(state, prefix, metadata, strict, *lists)
        self.key = ops.key_of(self.packed)

    def _bring_up_to_date(self, state: Any, prefix: str, version: int) -> None:
        """Make a state of today of one that an earlier version saved."""
        weight = state.get(f"{prefix}weight")
        if weight is not None and weight.dim() == 2:
            state[f"{prefix}weight"] = self._shaped(weight)
        if version < 2 and self.bias is not None and f"{prefix}bias" not in state:
            state[f"{prefix}bias"] = torch.full_like(self.bias, torch.nan)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if "bias" not in self._parameters:  # pickled by an earlier version
            weight = self._buffers.pop("weight")
            self._parameters["weight"] = _frozen(self._shaped(weight))
            self._parameters["bias"] = _frozen(torch.full_like(weight[:, 0], torch.nan))

    def _why_not(self, packed: Any, state: Any, prefix: str) -> str:
        """Return why a state cannot be loaded, or nothing."""
        if packed is None:
            weight = state.get(f"{prefix}weight", self.weight)
            same = self.weight.is_meta or torch.equal(weight, self.weight)
            why = "the state has another weight and no packed model, so look-ups would stay as they"
            return "" if same else f"{why} are: load it into the original model, then replace"
        try:
            model = from_bytes(packed.cpu().numpy().tobytes())
        except ValueError as error:
            return f"packed: {error}"
        if not isinstance(model, MaddnessModel):
            return f"packed holds a {type(model).__name__}, not a MaddnessModel"
        ones = tuple(self.weight.shape[2:])
        shapes: dict[str, tuple[int, ...]] = {"weight": (model.n_outputs, model.n_features, *ones)}
        if self.tables is not None:
            shapes |= {"tables": model.tables.shape, "base": (model.n_outputs,)}
        for name, shape in shapes.items():
            own = tuple(getattr(self, name).shape)
            stored = tuple(state[f"{prefix}{name}"].shape) if f"{prefix}{name}" in state else own
            if not own == stored == shape:
                return f"{name} must have shape {own}, is {stored}, and packed needs {shape}"
        return ""

    def extra_repr(self) -> str:
        """Return the sizes, for the representation of a model, in the order of nn.Linear's."""
        return f"{self._sizes()}, {self._codebooks()}"

    def _sizes(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"

    def _codebooks(self) -> str:
        if self.packed.is_meta:
            return "on no device"
        model = self.fitted
        return f"codebooks={model.n_codebooks}, prototypes={model.n_prototypes}"


class MaddnessConv1x1(MaddnessLinear):
    """A 1 × 1 convolution that is looked up: each place of an image is a row.

    Fastest from images in `torch.channels_last`; results are laid out as images are. The rest is
    that of `MaddnessLinear`.

    Parameters
    ----------
    fitted : MaddnessModel
    weight : (M, D) or (M, D, 1, 1) tensor
    stride : (int, int)
    bias : (M,) tensor, optional

    Attributes
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode
        Those of nn.Conv2d.
    """

    kernel_size = dilation = (1, 1)
    padding = output_padding = (0, 0)
    groups = 1
    padding_mode = "zeros"
    transposed = False

    def __init__(
        self, fitted: MaddnessModel, weight: Any, stride: tuple[int, int], bias: Any = None
    ) -> None:
        super().__init__(fitted, weight.flatten(1), bias)
        self.stride = stride

    def _shaped(self, weight: Any) -> Any:
        return weight.reshape(*weight.shape[:2], 1, 1)

    @property
    def in_channels(self) -> int:
        """The number of inputs, D."""
        return self.in_features

    @property
    def out_channels(self) -> int:
        """The number of outputs, M."""
        return self.out_features

    def forward(self, input: Any) -> Any:
        """Return (N, M, H', W') of images (N, D, H, W), or the same without N."""
        down, right = self.stride
        places = input[..., ::down, ::right].movedim(-3, -1)
        y = super().forward(places).movedim(-1, -3)
        last = input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last)
        return y if last and not input.is_contiguous() else y.contiguous()

    def _sizes(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size=(1, 1), stride={self.stride}"
        return sizes if self.bias is not None else f"{sizes}, bias=False"


class ExactLinear(MaddnessLinear):
    """A replaced layer with an exact product, to be compared with the layer."""

    def __init__(self, weight: Any, bias: Any) -> None:
        nn.Module.__init__(self)
        self._hold(weight, bias)

    def forward(self, input: Any) -> Any:
        """Return what the layer does."""
        return nn.functional.linear(input, self.weight, self.bias)

    def _codebooks(self) -> str:
        return "exact"


class ExactConv1x1(MaddnessConv1x1):
    """A replaced convolution with an exact product, to be compared with the convolution."""

    def __init__(self, weight: Any, bias: Any, stride: tuple[int, int]) -> None:
        nn.Module.__init__(self)
        self._hold(weight, bias)
        self.stride = stride

    def forward(self, input: Any) -> Any:
        """Return what the convolution does."""
        return nn.functional.conv2d(input, self.weight, self.bias, self.stride)

    def _codebooks(self) -> str:
        return "exact"


def _frozen(tensor: Any) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)


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
