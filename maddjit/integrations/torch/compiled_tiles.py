"""PyTorch modules for inference whose Strassen-Tile product is compiled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import nn

from maddjit.integrations.torch.convolutions import Conv1x1
from maddjit.integrations.torch.ops import model_key
from maddjit.integrations.torch.state import unpacked
from maddjit.integrations.torch.strassen_tile_convolution import pixels
from maddjit.integrations.torch.strassen_tile_rows import Grid, from_tiles, in_tiles, length_of
from maddjit.integrations.torch.tile_ops import Ending, tile_operator, tile_product
from maddjit.models.storage import to_bytes
from maddjit.models.strassen_tile import StrassenTileModel


class CompiledStrassenTile(nn.Module):
    """A Strassen-Tile layer with its parameters compiled into machine code, for inference.

    `compile_layers` makes it. Its state is the model's bytes, which travel with `state_dict`,
    `torch.save` and `torch.export`. It has no parameters.

    Parameters
    ----------
    fitted : StrassenTileModel
        What is multiplied by, the bias included; its rows are "tokens".
    ending : Ending
        The precision, and what a call that `compile_layers` fused does to outputs.
    grid : (int, int), optional
        Height and width of the grid whose patches share tiles; by default neighbours in the
        sequence do.

    Attributes
    ----------
    in_features, out_features, rank : int
    tile : (int, int, int)
    ending : Ending
    """

    def __init__(
        self,
        fitted: StrassenTileModel,
        ending: Ending | None = None,
        grid: tuple[int, int] | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = fitted.n_features, fitted.n_outputs
        self.tile, self.rank, self.grid = fitted.scheme.shape, fitted.scheme.rank, grid
        self.stride = 1, 1
        self.ending = ending or Ending()
        data = np.frombuffer(to_bytes(fitted), np.uint8)
        self.register_buffer("packed", torch.from_numpy(data.copy()))
        self.key = model_key(self.packed)

    def compile_operator(self) -> None:
        """Compile the operator now, and not at the first call.

        Raises
        ------
        TargetError
            If this machine lacks what the precision needs.
        """
        tile_operator(self.packed, self.key, self.ending)

    @property
    def fitted(self) -> StrassenTileModel:
        """The model."""
        model = unpacked(self.packed)
        assert isinstance(model, StrassenTileModel)
        return model

    def forward(  # nn.Linear calls its argument so
        self,
        input: Any,
        residual: Any = None,
        low: float = -math.inf,
        high: float = math.inf,
        in_place: bool = False,
    ) -> Any:
        """Return outputs (…, T, M) for sequences (…, T, D), in the dtype of the input or autocast.

        What is fused stands in the call, so that other calls of the layer are not changed.

        Parameters
        ----------
        input : tensor of floating point
            Of the shapes that the layer takes. Rows with NaN or infinities give NaN in all rows of
            their tiles.
        residual : tensor, optional
            Added to the outputs before they are clamped.
        low, high : float
            What outputs are clamped to.
        in_place : bool
            Whether the sum keeps the outputs' dtype and shape, as ``y += residual`` does. Otherwise
            those of both are promoted and broadcast.

        Raises
        ------
        RuntimeError
            If the layer is in training mode.
        TypeError
            If the input is not of floating point.
        ValueError
            If the input has another shape.
        """
        self._check(input)
        end = Ending(self.ending.precision, low, high, residual is not None)
        if residual is None:
            return self._product(input, None, end)
        same = torch.is_tensor(residual) and residual.dtype == self._dtype(input)
        # The compiled sum is one of float32, in which a residual of float64 would lose digits.
        if same and residual.shape == self._shape(input) and residual.dtype != torch.float64:
            return self._product(input, residual, end)
        y = self._product(input, None, Ending(end.precision))
        y = y.add_(residual) if in_place else y + residual
        return y.clamp(low, high) if end.is_clamped else y

    def _check(self, input: Any) -> None:
        """Refuse training, rows of another width, and whole numbers."""
        if self.training:
            raise RuntimeError(
                "compiled layers are for inference: call .eval() on the module, or train the one "
                "that compile_layers was given"
            )
        if not input.is_floating_point():
            raise TypeError(
                f"rows must be of floating point, as the outputs are, not {input.dtype}: .float() "
                "converts them"
            )
        self._check_shape(input)

    def _check_shape(self, input: Any) -> None:
        length_of(input.shape, self.in_features, self.grid)

    def _dtype(self, input: Any) -> Any:
        """Return the dtype of the outputs: the input's, or that which autocast gives products."""
        if torch.is_autocast_enabled("cpu") and input.dtype != torch.float64:
            return torch.get_autocast_dtype("cpu")
        return input.dtype

    def _product(self, input: Any, residual: Any, ending: Ending) -> Any:
        """Return the outputs for an input, with a residual of their shape added, clamped."""
        x, grid = self._sequences(input, self.stride)
        n, length = self.tile[0], x.shape[1]
        added = None if residual is None else self._sequences(residual, (1, 1))[0]
        if grid is not None:
            x = in_tiles(x, n, grid)
            added = None if added is None else in_tiles(added, n, grid)
        y = tile_product(
            x,
            added,
            self.packed,
            self.key,
            self.out_features,
            ending.precision,
            ending.low,
            ending.high,
        )
        y = y if grid is None else from_tiles(y, n, grid, length)
        return self._shaped(y, input, grid).to(self._dtype(input))

    def _shape(self, input: Any) -> tuple[int, ...]:
        """Return the shape of the outputs."""
        return (*input.shape[:-1], self.out_features)

    def _sequences(self, x: Any, stride: tuple[int, int]) -> tuple[Any, Grid]:
        """Return rows (…, T, D) as sequences (S, T, D), and their grid."""
        length = x.shape[-2] if x.dim() > 1 else 1
        return x.reshape(math.prod(x.shape[:-2]), length, x.shape[-1]), self.grid

    def _shaped(self, y: Any, input: Any, grid: Grid) -> Any:
        """Return outputs (S, T, M) in the shape that belongs to an input."""
        return y.reshape(self._shape(input))

    def _load_from_state_dict(
        self, state: Any, prefix: str, metadata: Any, strict: bool, *lists: Any
    ) -> None:
        packed = state.get(f"{prefix}packed")
        wrong = "" if packed is None else self._why_not_loaded(packed)
        if wrong:
            lists[-1].append(f"{prefix.removesuffix('.') or 'the layer'}: {wrong}")
            return
        if packed is not None:
            self.packed = torch.empty_like(packed)  # another model may take more bytes
        super()._load_from_state_dict(state, prefix, metadata, strict, *lists)
        self.key = model_key(self.packed)

    def _why_not_loaded(self, packed: Any) -> str:
        """Return why the bytes of a model cannot be loaded; empty if they can."""
        try:
            model = unpacked(packed)
        except ValueError as error:
            return f"packed: {error}"
        if not isinstance(model, StrassenTileModel):
            return f"packed holds a {type(model).__name__}, not a StrassenTileModel"
        own = self.in_features, self.out_features, self.tile, self.rank
        stored = model.n_features, model.n_outputs, model.scheme.shape, model.scheme.rank
        same = own == stored and model.rows == "tokens"
        return "" if same else f"packed holds {stored}, and the layer is {own}"

    def extra_repr(self) -> str:
        """Return the sizes and the ending for the text of a model."""
        n, d, m = self.tile
        text = f"{self._sizes()}, tile={n} × {d} × {m}, rank={self.rank}"
        if self.grid is not None:
            text += f", grid={self.grid[0]} × {self.grid[1]}"
        return f"{text}, {self.ending}"

    def _sizes(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}"


class CompiledStrassenTileConv1x1(Conv1x1, CompiledStrassenTile):
    """A 1 × 1 convolution by tiles of neighbouring pixels, compiled for inference.

    It is fastest on images in `torch.channels_last`. Outputs have the layout of the images.

    Parameters
    ----------
    fitted, ending
        As for `CompiledStrassenTile`.
    stride : (int, int)
        Down and to the right.

    Attributes
    ----------
    in_channels, out_channels, kernel_size, stride, padding, dilation, groups, padding_mode
        As nn.Conv2d has them.
    """

    def __init__(
        self, fitted: StrassenTileModel, ending: Ending | None, stride: tuple[int, int]
    ) -> None:
        super().__init__(fitted, ending)
        self.stride = stride

    def _check_shape(self, input: Any) -> None:
        if input.dim() not in (3, 4) or input.shape[-3] != self.in_features:
            raise ValueError(
                f"the input must have shape (N, {self.in_features}, H, W), or without N, not "
                f"{tuple(input.shape)}"
            )

    def _shape(self, input: Any) -> tuple[int, ...]:
        sizes = (-(-size // step) for size, step in zip(input.shape[-2:], self.stride, strict=True))
        return (*input.shape[:-3], self.out_features, *sizes)

    def _sequences(self, x: Any, stride: tuple[int, int]) -> tuple[Any, Grid]:
        return pixels(x if x.dim() == 4 else x[None], stride)

    def _shaped(self, y: Any, input: Any, grid: Grid) -> Any:
        assert grid is not None
        images = input if input.dim() == 4 else input[None]
        y = y.reshape(len(y), *grid, self.out_features).permute(0, 3, 1, 2)
        last = images.is_contiguous(memory_format=torch.channels_last)
        y = y if last and not images.is_contiguous() else y.contiguous()
        return y if input.dim() == 4 else y[0]
