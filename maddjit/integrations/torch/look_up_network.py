"""`LookUpNetwork`: a sequence of layers over int8 planes that trains, and its export."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maddjit.integrations.torch.look_up_convolution import LookUpConv2d
from maddjit.integrations.torch.plane_modules import ExactConv2d, ExactLinear, Scale
from maddjit.models.network import Layer, LookUp, MaxPool, Network, Planes, Quantise, Step
from maddjit.models.window import Window


class PlanePool(nn.Module):
    """The largest number in each window of int8 planes; −128 stands outside of them.

    Parameters
    ----------
    window : Window
        Its dilation is 1.
    """

    def __init__(self, window: Window) -> None:
        super().__init__()
        if window.dilation != (1, 1):
            raise ValueError(f"pooling has a dilation of 1, not {window.dilation}")
        self.window = window

    @property
    def layer(self) -> MaxPool:
        """The layer as a record."""
        return MaxPool(self.window)

    def forward(self, x: Tensor) -> Tensor:
        """Return planes (N, C, Ho, Wo) for planes (N, C, H, W)."""
        top, bottom, left, right = self.window.padding
        x = functional.pad(x, (left, right, top, bottom), value=-128)
        rows, columns = self.window.output_size(
            x.shape[2] - top - bottom, x.shape[3] - left - right
        )
        down, across = self.window.stride
        seen = [
            x[
                :,
                :,
                i : i + down * (rows - 1) + 1 : down,
                j : j + across * (columns - 1) + 1 : across,
            ]
            for i in range(self.window.kernel[0])
            for j in range(self.window.kernel[1])
        ]
        return torch.stack(seen).amax(0)


class LookUpNetwork(nn.Module):
    """Layers over int8 planes, one after another, from images to float32 outputs.

    Parameters
    ----------
    layers : list of LookUpConv2d, ExactConv2d, PlanePool and ExactLinear
        The scale of each layer's input is that of the outputs before it.
    images : Scale
        What the numbers of quantised images stand for.
    names : list of str, optional
        The layers' names.
    """

    def __init__(
        self, layers: list[nn.Module], images: Scale, names: list[str] | None = None
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.images = images
        self.names = names or [f"layer {i}" for i in range(len(layers))]

    def quantised(self, images: Tensor) -> Tensor:
        """Return images as int8 numbers in their dtype, or in float32 for uint8; NaN is 127."""
        x = images.float() if images.dtype == torch.uint8 else images
        units = float(np.float32(1) / np.float32(self.images.step))
        stored = ((x * units).round() + self.images.zero_point).clamp(-128, 127)
        return stored.nan_to_num(nan=127)

    def forward(self, images: Tensor) -> Tensor:
        """Return outputs (N, M) for images (N, C, H, W) of floating point or uint8."""
        return self.with_outputs(images)[0]

    def with_outputs(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the outputs (N, M), and what the planes of each look-up layer stand for."""
        x, outputs = self.quantised(images), {}
        for name, layer in zip(self.names, self.layers, strict=True):
            x = layer(x)
            if isinstance(layer, LookUpConv2d):
                outputs[name] = (x - layer.output.zero_point) * layer.output.step
        return x, outputs

    def look_ups(self) -> list[LookUpConv2d]:
        """Return the layers by look-ups, in order."""
        return [layer for layer in self.layers if isinstance(layer, LookUpConv2d)]

    def network(self, input_shape: tuple[int, int, int], dtype: Any = "float32") -> Network:
        """Return the network as a record, with its parameters as they are now.

        Parameters
        ----------
        input_shape : (int, int, int)
            Planes, rows and columns of an image.
        dtype : {"float32", "uint8"}
            That of the images.
        """
        channels, height, width = input_shape
        scale = self.images
        planes = Planes(channels, height, width, scale.step, scale.zero_point)
        steps = [Step(Quantise(dtype), (0,), planes, "images")]
        for number, (layer, name) in enumerate(zip(self.layers, self.names, strict=True), 1):
            record: Layer
            if isinstance(layer, ExactLinear):
                steps.append(Step(layer.layer, (number,), None, name))
                continue
            if isinstance(layer, LookUpConv2d):
                record, scale = LookUp(layer.model, layer.epilogue), layer.output
                channels = record.model.n_outputs
            elif isinstance(layer, ExactConv2d):
                record, scale = layer.layer, layer.output
                channels = len(record.weights)
            else:
                assert isinstance(layer, PlanePool)
                record = layer.layer
            height, width = layer.window.output_size(height, width)
            planes = Planes(channels, height, width, scale.step, scale.zero_point)
            steps.append(Step(record, (number,), planes, name))
        return Network(tuple(steps), input_shape)
