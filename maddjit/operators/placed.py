"""Runs the kernels of a convolution: planes enter a frame, kernels run over it, results leave."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS, Format, float32_to_bfloat16
from maddjit.compiler.convolution import ConvolutionRequest
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.workspace import aligned_zeros, lines
from maddjit.operators.bands import Band, Layout, Planes, bands, image_bytes, layout_of
from maddjit.operators.base import Build
from maddjit.operators.kernel import Kernel
from maddjit.operators.moving import Move, move
from maddjit.operators.runner import KERNEL
from maddjit.operators.threads import run, spans

_MOST_LAYOUTS = 64
"""The layouts that are kept; when there are more, all are forgotten."""


class Placed:
    """The kernels of all groups for one signature, whose columns are placed one by one.

    Attributes
    ----------
    n_planes : int
        The planes of results.
    dtype : dtype
        Their dtype.
    moves : list of Move
        How planes enter, and how results leave.
    """

    def __init__(
        self, request: ConvolutionRequest, kernels: list[Kernel[Plan]], build: Build
    ) -> None:
        plan = kernels[0].plan
        signature, model = plan.signature, request.model
        self._window, self._groups = model.window, model.groups
        self._is_codes = signature.result == "codes"
        self._group_planes = (
            model.products[0].n_codebooks if self._is_codes else model.products[0].n_outputs
        )
        self.n_planes = self._groups * self._group_planes
        self.dtype = signature.output.dtype
        self._inner = INPUTS[signature.dtype]
        self._fill = bits_of(model.fill, self._inner)
        self._kernels = kernels
        self._run = [KERNEL(kernel.function.address) for kernel in kernels]
        self._workspace_bytes = lines(max(kernel.plan.workspace_bytes for kernel in kernels))
        self._least_rows = plan.rows_per_thread
        target = request.target
        self._enter = move("enter", self._inner.itemsize, target, build)
        self._quantise = self._enter
        if request.quantise is not None:
            self._quantise = move("enter", 1, target, build, request.quantise)
        self._leave = move("leave", self.dtype.itemsize, target, build)
        self.moves: list[Move] = [self._enter, self._quantise, self._leave]
        self._layouts: dict[Any, Layout] = {}
        self._sizes: dict[Any, int] = {}
        self._spare: list[NDArray[np.uint8]] = []

    def __call__(self, x: NDArray[Any], form: Format, y: NDArray[Any], threads: int = 1) -> None:
        """Write the results of aligned planes into `y`, which shares no memory with them."""
        enter = self._enter if form is self._inner else self._quantise
        work = partial(self._work, x, y, enter)
        n_images, _, height, width = y.shape
        if threads == 1:
            work(0, n_images * height)
        else:
            least = -(-self._least_rows // width)
            run(work, spans(n_images * height, threads, least, 1))

    def _work(
        self,
        x: NDArray[Any],
        y: NDArray[Any],
        enter: Move,
        first: int,
        last: int,
    ) -> None:
        """Compute a span of the rows of all images; the arguments hold what it reads and writes."""
        down, rows = self._window.stride[0], y.shape[2]
        image_bytes = self._image_bytes(x, y)
        x_address = x.__array_interface__["data"][0]
        y_address = y.__array_interface__["data"][0]
        for band in bands(first, last, rows, image_bytes):
            layout = self._layout(x, y, band)
            memory = self._memory(layout.n_bytes + self._workspace_bytes)
            frame = memory.__array_interface__["data"][0]
            source = x_address + band.image * x.strides[0]
            if band.n_rows < rows:
                source += (band.row * down - self._window.padding[0]) * x.strides[2]
            for phase in layout.phases:
                enter.run(source + phase.source, frame + phase.goal, phase.sizes.address)
            self._compute(layout, frame)
            goal = y_address + band.image * y.strides[0] + band.row * y.strides[2]
            if self._is_codes:
                self._leave_codes(layout, memory, y, band)
            else:
                self._leave.run(frame + layout.frame_bytes, goal, layout.leaving.address)
            self._spare.append(memory)

    def _compute(self, layout: Layout, frame: int) -> None:
        """Run the kernels of all groups over a frame."""
        begin, results = frame + layout.lead, frame + layout.frame_bytes
        for kernel in self._run:
            kernel(
                begin,
                layout.run,
                self._inner.itemsize,
                layout.offsets.address,
                results,
                layout.output_step,
                frame + layout.n_bytes,
                0,
            )
            begin += layout.group_step
            results += layout.group_output_step

    def _leave_codes(
        self, layout: Layout, memory: NDArray[np.uint8], y: NDArray[Any], band: Band
    ) -> None:
        """Copy codes, which lie side by side for each output, to planes."""
        n_images, n_rows, width = band.n_images, band.n_rows, y.shape[3]
        n_codes = layout.output_step
        for group in range(self._groups):
            codes = np.lib.stride_tricks.as_strided(
                memory[layout.frame_bytes + group * layout.group_output_step :],
                (n_images, n_codes, n_rows, width),
                (layout.image_step * n_codes, 1, layout.pitch * n_codes, n_codes),
            )
            images = slice(band.image, band.image + n_images)
            planes = slice(group * n_codes, (group + 1) * n_codes)
            y[images, planes, band.row : band.row + n_rows] = codes

    def _image_bytes(self, x: NDArray[Any], y: NDArray[Any]) -> int:
        """Return about how many bytes of frames and outputs an image takes."""
        key = (x.shape[1:], y.shape[1])
        found = self._sizes.get(key)
        if found is None:
            found = image_bytes(
                self._window, self._planes(x, self._inner.itemsize), self._planes(y)
            )
            self._sizes = {key: found}
        return found

    def _layout(self, x: NDArray[Any], y: NDArray[Any], band: Band) -> Layout:
        """Return the layout of a band; those of the last calls are kept."""
        top, below = 0, 0
        if band.n_rows < y.shape[2]:
            first = band.row * self._window.stride[0] - self._window.padding[0]
            top, below = min(first, 0), min(x.shape[2] - first, self._window.seen_rows(band.n_rows))
        key = (x.shape[1:], x.strides, y.strides, band.n_images, band.n_rows, top, below)
        found = self._layouts.get(key)
        if found is None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts = {}
            planes = self._planes(x, self._inner.itemsize), self._planes(y)
            codes = self._group_planes if self._is_codes else 0
            found = layout_of(self._window, self._groups, *planes, band, self._fill, codes)
            self._layouts[key] = found
        return found

    def _planes(self, array: NDArray[Any], itemsize: int | None = None) -> Planes:
        return Planes(array.shape[1:], array.strides, itemsize or array.itemsize)

    def _memory(self, n_bytes: int) -> NDArray[np.uint8]:
        """Return memory to work in, if possible of an earlier call: fresh pages cost time."""
        try:
            memory = self._spare.pop()
        except IndexError:
            return aligned_zeros(n_bytes, np.uint8)
        return memory if memory.nbytes >= n_bytes else aligned_zeros(n_bytes, np.uint8)


def bits_of(fill: int, form: Format) -> int:
    """Return the bits of a number in a format.

    Raises
    ------
    ValueError
        If the format cannot hold it.
    """
    if form.name == "bfloat16":
        return int(float32_to_bfloat16(np.array([fill], np.float32))[0])
    if form.dtype.kind in "iu":
        limits = np.iinfo(form.dtype)
        if not limits.min <= fill <= limits.max:
            raise ValueError(
                f"planes of {form.name} cannot hold {fill}, which the model has outside of planes"
            )
    return int(np.array(fill, form.dtype).view(f"u{form.itemsize}"))
