"""PyTorch modules whose product is looked up: linear layers and 1 × 1 convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

from maddjit.integrations.torch import ops
from maddjit.integrations.torch.convolutions import Conv1x1
from maddjit.integrations.torch.state import VERSION, bring_up_to_date, unpacked, why_not_loaded
from maddjit.integrations.torch.tables import float_tables, with_tables
from maddjit.models.maddness import MaddnessModel
from maddjit.models.storage import to_bytes


class MaddnessLinear(nn.Module):
    """A linear layer whose outputs are looked up.

    Its state holds the model's bytes, and the weight and bias of the layer that it replaces. The
    state travels with `state_dict`, `torch.save` and `torch.export`.

    Parameters
    ----------
    fitted : MaddnessModel
        What is looked up, the bias included.
    weight : (M, D) tensor
        The weight of the replaced layer.
    bias : (M,) tensor, optional
        The bias of the replaced layer, for code that reads the attribute.

    Attributes
    ----------
    in_features, out_features : int
        The sizes D and M.
    weight, bias : nn.Parameter or None
        Those of the replaced layer, as they were when it was replaced, for code that reads them.
        They are frozen, and look-ups do not use them; gradients pass to the inputs through the
        weight. A bias of NaN is unknown: the version that saved the state did not keep it.
    tables, base : nn.Parameter or None
        Tables (C, K, M) and offset (M,) that are being trained, between `fine_tune` and
        `requantise`.

    Raises
    ------
    ValueError
        If weight or bias have other shapes.
    """

    _version = VERSION
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
        """Register the layer's weight and bias, and empty places for the rest of the state."""
        self.weight = _frozen(self._shaped(weight))
        self.register_parameter("bias", None if bias is None else _frozen(bias))
        self.register_parameter("tables", None)
        self.register_parameter("base", None)
        self.register_buffer("packed", torch.empty(0, dtype=torch.uint8))

    def _shaped(self, weight: Any) -> Any:
        """Return a weight (M, D) in the shape that the replaced layer's class gives it."""
        return weight

    def _set(self, fitted: MaddnessModel) -> None:
        """Set the model that is looked up, and compile it."""
        data = np.frombuffer(to_bytes(fitted), np.uint8)
        self.packed = torch.from_numpy(data.copy())
        self.key = ops.model_key(self.packed)
        ops.operator_for(self.packed, self.key)  # compiled now, and not at the first call

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
        """The model, as last fitted or requantised; it has no report."""
        model = unpacked(self.packed)
        assert isinstance(model, MaddnessModel)
        return model

    def forward(self, input: Any) -> Any:  # nn.Linear calls its argument so
        """Return outputs (…, M) of the input's dtype; inside autocast, of the dtype of autocast.

        Parameters
        ----------
        input : (…, D) tensor of floating point
            Rows with NaN or infinities give NaN.

        Raises
        ------
        TypeError
            If the input is not of floating point.
        """
        weight = self.weight.flatten(1)
        if self.tables is None:
            y = ops.product(input, weight, self.packed, self.key)
        else:
            y, _ = ops.look_up(input, self.tables, self.base, weight, self.packed, self.key)
        if torch.is_autocast_enabled("cpu") and y.dtype != torch.float64:
            return y.to(torch.get_autocast_dtype("cpu"))  # autocast gives products this dtype
        return y

    def fine_tune(self) -> None:
        """Turn tables and offset into float32 parameters; what is looked up stays the same.

        Raises
        ------
        ValueError
            If the model has an exact core or sums by averages.
        """
        if self.tables is None:
            tables, offset = float_tables(self.fitted)
            self.tables = nn.Parameter(torch.from_numpy(tables))
            self.base = nn.Parameter(torch.from_numpy(offset))

    def requantise(self) -> None:
        """Round the trained tables to 8 bits, and compile them; sums need no more bits than before.

        Raises
        ------
        ValueError
            If an entry is infinite or NaN.
        """
        if self.tables is None:
            return
        tables = self.tables.detach().double().numpy()
        offset = self.base.detach().double().numpy()
        rounded = with_tables(self.fitted, tables, offset)
        self.tables = self.base = None
        self._set(rounded)

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, *lists: Any
    ) -> None:
        bring_up_to_date(self, state, prefix, metadata.get("version") or 1)
        wrong = why_not_loaded(self, state, prefix)
        if wrong:  # load nothing: half of the state would be another layer
            lists[-1].append(f"{prefix.removesuffix('.') or 'the layer'}: {wrong}")
            return
        packed = state.get(f"{prefix}packed")
        if packed is not None:
            self.packed = torch.empty_like(packed)  # another model may take more bytes
        super()._load_from_state_dict(state, prefix, metadata, strict, *lists)
        self.key = ops.model_key(self.packed)

    def extra_repr(self) -> str:
        """Return the sizes for the text of a model, in the order in which nn.Linear shows them."""
        return f"{self._sizes()}, {self._codebooks()}"

    def _sizes(self) -> str:
        sizes = f"in_features={self.in_features}, out_features={self.out_features}"
        return f"{sizes}, bias={self.bias is not None}"

    def _codebooks(self) -> str:
        if self.packed.is_meta:
            return "on no device"
        model = self.fitted
        return f"codebooks={model.n_codebooks}, prototypes={model.n_prototypes}"


class MaddnessConv1x1(Conv1x1, MaddnessLinear):
    """A 1 × 1 convolution whose outputs are looked up: each place of an image is a row.

    It is fastest on images in `torch.channels_last`. Its outputs have the layout of the images.
    State, gradients and training are those of `MaddnessLinear`.

    Parameters
    ----------
    fitted : MaddnessModel
        What is looked up, the bias included.
    weight : (M, D) or (M, D, 1, 1) tensor
        The weight of the replaced layer.
    stride : (int, int)
        Down and to the right.
    bias : (M,) tensor, optional
        The bias of the replaced layer, for code that reads the attribute.

    Attributes
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode
        As nn.Conv2d has them.
    """

    def __init__(
        self, fitted: MaddnessModel, weight: Any, stride: tuple[int, int], bias: Any = None
    ) -> None:
        super().__init__(fitted, weight.flatten(1), bias)
        self.stride = stride

    def _shaped(self, weight: Any) -> Any:
        return weight.reshape(*weight.shape[:2], 1, 1)

    def forward(self, input: Any) -> Any:
        """Return (N, M, H', W') for images (N, D, H, W), or (M, H', W') for one image (D, H, W)."""
        down, right = self.stride
        places = input[..., ::down, ::right].movedim(-3, -1)
        y = super().forward(places).movedim(-1, -3)
        last = input.dim() == 4 and input.is_contiguous(memory_format=torch.channels_last)
        return y if last and not input.is_contiguous() else y.contiguous()

    def _sizes(self) -> str:
        sizes = super()._sizes()
        return sizes if self.bias is not None else f"{sizes}, bias=False"


def _frozen(tensor: Any) -> nn.Parameter:
    return nn.Parameter(tensor, requires_grad=False)
