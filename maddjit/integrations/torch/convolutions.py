"""Attributes of nn.Conv2d that 1 × 1 convolutions have in common, however they multiply."""

from __future__ import annotations


class Conv1x1:
    """Attributes of nn.Conv2d for modules whose rows are the pixels of images."""

    kernel_size = dilation = (1, 1)
    padding = output_padding = (0, 0)
    groups = 1
    padding_mode = "zeros"
    transposed = False
    in_features: int
    out_features: int
    stride: tuple[int, int]

    @property
    def in_channels(self) -> int:
        """The number of inputs, D."""
        return self.in_features

    @property
    def out_channels(self) -> int:
        """The number of outputs, M."""
        return self.out_features

    def _sizes(self) -> str:
        sizes = f"{self.in_features}, {self.out_features}"
        return f"{sizes}, kernel_size={self.kernel_size}, stride={self.stride}"
