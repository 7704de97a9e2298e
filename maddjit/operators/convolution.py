"""The operator of a `ConvolutionModel`: planes in, planes out."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import INPUTS, OUTPUTS
from maddjit.compiler.frames import frame_of, offsets_of
from maddjit.compiler.request import ask_kernel, target_of
from maddjit.compiler.signature import Signature
from maddjit.compiler.workspace import aligned_zeros
from maddjit.models.convolution import ConvolutionModel
from maddjit.operators.base import Build
from maddjit.operators.kernel import Kernel


class ConvolutionOperator:
    """A compiled convolution; made by `maddjit.compile`."""

    def __init__(
        self,
        model: ConvolutionModel,
        build: Build,
        level: str | None = None,
        dtype: str = "float32",
        epilogue: Epilogue | None = None,
        fill: int = 0,
    ) -> None:
        self.model, self.fill = model, fill
        self.epilogue, self._input = epilogue or Epilogue(), INPUTS[dtype]
        self.target = target_of(level, "run")
        signature = Signature(dtype, "F", "outputs", self.epilogue, "F", placed=True)
        self._kernels: list[Kernel[Any]] = [
            build(ask_kernel(product, self.target, signature)) for product in model.products
        ]
        self._runners = [Placed(kernel) for kernel in self._kernels]

    def __call__(self, x: ArrayLike) -> NDArray[Any]:
        """Convolve the planes (N, C, H, W); the bits are those of the reference."""
        planes, model, window = np.asarray(x), self.model, self.model.window
        itemsize = self._input.itemsize
        n_images, n_channels, height, width = planes.shape
        size = window.output_size(height, width)
        frame = frame_of(window, height, width)
        down, across = window.stride
        plane_step = frame.plane_step(n_images, itemsize)
        n_planes = n_channels * down * across
        memory = aligned_zeros(n_planes * plane_step // itemsize, self._input.dtype)
        memory[:] = self.fill
        runs = memory.reshape(n_planes, -1)[
            :, frame.lead : frame.lead + n_images * frame.image_step
        ]
        framed = runs.reshape(n_channels, down, across, n_images, frame.image_rows, frame.pitch)
        for p in range(down):
            for q in range(across):
                part = planes[:, :, p::down, q::across].transpose(1, 0, 2, 3)
                framed[:, p, q, :, : part.shape[2], : part.shape[3]] = part
        run = frame.run(n_images, *size)
        form = OUTPUTS[self.epilogue.dtype]
        out_step = odd(run, form.itemsize)
        out = aligned_zeros(model.n_outputs * out_step // form.itemsize, form.dtype)
        outputs = model.n_outputs // model.groups
        inputs = model.group_channels
        offsets = offsets_of(window, frame, inputs, plane_step, itemsize)
        first = memory.ctypes.data + frame.lead * itemsize
        for g, runner in enumerate(self._runners):
            runner(
                first + g * inputs * down * across * plane_step,
                run,
                itemsize,
                offsets,
                out.ctypes.data + g * outputs * out_step,
                out_step,
            )
        length = n_images * frame.image_step
        whole = np.zeros((model.n_outputs, length), form.dtype)
        whole[:, :run] = out.reshape(model.n_outputs, -1)[:, :run]
        cut = whole.reshape(model.n_outputs, n_images, frame.image_rows, frame.pitch)
        return np.ascontiguousarray(cut[:, :, : size[0], : size[1]].transpose(1, 0, 2, 3))


def odd(run: int, itemsize: int) -> int:
    """Return the bytes from one plane of outputs to the next."""
    return -(-run * itemsize // 64) * 64 + 64


class Placed:
    """Runs a kernel whose columns are placed one by one."""

    def __init__(self, kernel: Kernel[Any]) -> None:
        from maddjit.operators.runner import _KERNEL

        self.kernel = kernel
        self.run = _KERNEL(kernel.function.address)
        self.memory = aligned_zeros(kernel.plan.workspace_bytes, np.uint8)

    def __call__(
        self, A: int, n_rows: int, itemsize: int, offsets: NDArray[np.int64], Y: int, Y_step: int
    ) -> None:
        """Run the kernel on a run of outputs."""
        places = offsets.ctypes.data
        self.run(A, n_rows, itemsize, places, Y, Y_step, self.memory.ctypes.data, 0)
