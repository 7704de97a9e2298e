"""Stand-ins for a PyTorch model's layers: like their replacements, but with exact products."""

from __future__ import annotations

from typing import Any

from torch import nn

from maddjit.integrations.torch.modules import MaddnessConv1x1, MaddnessLinear
from maddjit.integrations.torch.places import take_over


def stand_in_for(layer: Any) -> nn.Module:
    """Return the stand-in of a layer. It shares the layer's memory, so its bits are the same.

    Products of a copy could differ: their order of addition may depend on the memory's alignment.
    """
    weight, bias = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
    made = (
        ExactConv1x1(weight, bias, layer.stride)
        if isinstance(layer, nn.Conv2d)
        else ExactLinear(weight, bias)
    )
    take_over(layer, made)
    return made


class ExactLinear(MaddnessLinear):
    """A replacement of a linear layer that multiplies exactly, to be compared with the layer."""

    def __init__(self, weight: Any, bias: Any) -> None:
        nn.Module.__init__(self)
        self._hold(weight, bias)

    def forward(self, input: Any) -> Any:
        """Return the outputs of the replaced layer."""
        return nn.functional.linear(input, self.weight, self.bias)

    def _codebooks(self) -> str:
        return "exact"


class ExactConv1x1(MaddnessConv1x1):
    """A replacement of a 1 × 1 convolution that multiplies exactly, to be compared with it."""

    def __init__(self, weight: Any, bias: Any, stride: tuple[int, int]) -> None:
        nn.Module.__init__(self)
        self._hold(weight, bias)
        self.stride = stride

    def forward(self, input: Any) -> Any:
        """Return the outputs of the replaced convolution."""
        return nn.functional.conv2d(input, self.weight, self.bias, self.stride)

    def _codebooks(self) -> str:
        return "exact"


class ExactTiles(nn.Module):
    """A layer's product, exact, without the attributes that a layer of tiles does not have."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self._exact = layer.weight.detach(), None if layer.bias is None else layer.bias.detach()
        self.bias = layer.bias
        take_over(layer, self)

    def forward(self, input: Any) -> Any:
        """Return the outputs of the replaced layer."""
        weight, bias = self._exact
        if weight.dim() == 4:
            return nn.functional.conv2d(input, weight, bias, self.stride)
        return nn.functional.linear(input, weight, bias)
