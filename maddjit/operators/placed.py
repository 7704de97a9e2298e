"""Runs the kernels of a convolution: planes enter a frame, kernels run over it, results leave."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maddjit.arrays.formats import INPUTS, Format
from maddjit.compiler.convolution import ConvolutionRequest, bits_of
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.workspace import aligned_zeros, lines
from maddjit.operators.bands import Steps, steps_of
from maddjit.operators.base import Build
from maddjit.operators.kernel import Kernel
from maddjit.operators.layouts import Band, Job, Layout, Planes, address_of
from maddjit.operators.moving import Move, drive, move
from maddjit.operators.threads import run, spans

_MOST_STEPS = 32
"""The steps of calls that are kept; when there are more, all are forgotten."""


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
        self._workspace_bytes = lines(max(kernel.plan.workspace_bytes for kernel in kernels))
        self._least_rows = plan.rows_per_thread
        target = request.target
        self._enter = move("enter", self._inner.itemsize, target, build)
        self._quantise = self._enter
        if request.quantise is not None:
            self._quantise = move("enter", 1, target, build, request.quantise)
        self._leave = move("leave", self.dtype.itemsize, target, build)
        self.moves: list[Move] = [self._enter, self._quantise, self._leave]
        self._driver = drive(target, build)
        self._steps: dict[Any, Steps] = {}
        self._spare: list[NDArray[np.uint8]] = []

    def __call__(self, x: NDArray[Any], form: Format, y: NDArray[Any], threads: int = 1) -> None:
        """Write the results of aligned planes into `y`, which shares no memory with them."""
        is_converted = form is not self._inner
        n_rows = y.shape[0] * y.shape[2]
        if threads == 1:
            self._work(x, y, is_converted, 0, n_rows)
        else:
            least = -(-self._least_rows // y.shape[3])
            run(partial(self._work, x, y, is_converted), spans(n_rows, threads, least, 1))

    def _work(
        self, x: NDArray[Any], y: NDArray[Any], is_converted: bool, first: int, last: int
    ) -> None:
        """Compute a span of the rows of all images; the arguments hold what it reads and writes."""
        key = (x.shape, x.strides, y.strides, is_converted, first, last)
        steps = self._steps.get(key) or self._new_steps(key, x, y)
        memory = self._memory(steps.n_bytes + self._workspace_bytes)
        arguments = (address_of(x), address_of(y), address_of(memory), steps.address)
        if not self._is_codes:
            self._driver.run(*arguments, 0, len(steps.bands))
        else:
            for number, (band, layout) in enumerate(zip(steps.bands, steps.layouts, strict=True)):
                self._driver.run(*arguments, number, number + 1)
                self._leave_codes(layout, memory, y, band)
        self._spare.append(memory)

    def _new_steps(self, key: tuple[Any, ...], x: NDArray[Any], y: NDArray[Any]) -> Steps:
        """Return what there is to do for a span of rows; that of the last calls is kept."""
        *_, is_converted, first, last = key
        job = Job(
            self._window,
            self._groups,
            Planes(x.shape[1:], x.strides, self._inner.itemsize, is_converted),
            Planes(y.shape[1:], y.strides, y.itemsize),
            self._fill,
            self._group_planes if self._is_codes else 0,
        )
        enter = self._quantise if is_converted else self._enter
        leave = 0 if self._is_codes else self._leave.kernel.function.address
        kernels = [kernel.function.address for kernel in self._kernels]
        head = (self._groups, enter.kernel.function.address, leave, *kernels)
        steps = steps_of(job, (first, last), head)
        if len(self._steps) >= _MOST_STEPS:
            self._steps = {}
        self._steps[key] = steps
        return steps

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

    def _memory(self, n_bytes: int) -> NDArray[np.uint8]:
        """Return memory to work in, if possible of an earlier call: fresh pages cost time."""
        try:
            memory = self._spare.pop()
        except IndexError:
            return aligned_zeros(n_bytes, np.uint8)
        return memory if memory.nbytes >= n_bytes else aligned_zeros(n_bytes, np.uint8)
