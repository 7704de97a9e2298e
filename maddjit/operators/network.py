"""The operator of a `Network`: images in, outputs out, one call of compiled code."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from functools import cached_property
from time import perf_counter
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import check_out, check_threads
from maddjit.compiler import llvm
from maddjit.compiler.network.plan import NetworkPlan
from maddjit.compiler.network.planner import plan_network
from maddjit.compiler.render import render_network
from maddjit.compiler.request import target_of
from maddjit.compiler.target import Target
from maddjit.compiler.workspace import aligned_zeros
from maddjit.exporting.export import Exported, export_plan
from maddjit.models.network import Network
from maddjit.operators.network_code import CompiledNetwork
from maddjit.operators.network_report import LayerReport, NetworkReport, layers_of
from maddjit.operators.threads import run, spans
from maddjit.reference.network import checked

_NETWORK = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_void_p,
    ctypes.c_int64,
    ctypes.c_int64,
)
"""void network(images, n, image_step, Y, Y_step, workspace, first, last); steps in bytes.

Operations from `first` on are done, up to the one before `last`.
"""
_PROFILED_SECONDS = 0.2
"""How long a profile measures at least."""


BuildNetwork = Callable[[Network, Target], CompiledNetwork]
"""A function that compiles a network: `build_network`, except in tests."""


class NetworkOperator:
    """A compiled network over planes of int8; made by `maddjit.compile`.

    It may be called from many threads, and can be pickled: the network travels, and is compiled
    again where it is unpickled.

    Attributes
    ----------
    network : Network
    """

    def __init__(
        self,
        network: Network,
        level: str | None,
        threads: int,
        build: BuildNetwork,
        target: Target | None = None,
    ) -> None:
        self.network = network
        self._level, self._build = level, build
        self._threads = check_threads(threads)
        self._target = target or target_of(level, "run")
        self._compiled = build(network, self._target)
        self._run = _NETWORK(self._compiled.function.address)
        self._workspace_bytes, self._images, self._n_operations = self._compiled.about
        self._spare: list[NDArray[np.uint8]] = []

    def __call__(
        self, images: ArrayLike, out: NDArray[Any] | None = None, threads: int | None = None
    ) -> NDArray[Any]:
        """Compute the network; the bits are those of `maddjit.network_reference.run`.

        Parameters
        ----------
        images : (N, C, H, W) array_like
            Of the dtype that the network takes. They are read in place if each is contiguous.
        out : array, optional
            Where to write, which saves the time that fresh memory costs.
        threads : int, optional
            At most this many share the images; by default what `compile` was told.

        Returns
        -------
        (N, M) float32 array, or (N, C, H, W) int8 array

        Raises
        ------
        TypeError
            If the images or `out` have another dtype.
        ValueError
            If a shape does not fit, or `out` is read-only.
        """
        given = _direct(checked(self.network, images))
        shape = (len(given), *self.network.output_shape)
        dtype = self.network.output_dtype
        answer = np.empty(shape, dtype) if out is None else check_out(out, shape, dtype)
        is_direct = out is None or (
            answer.flags.c_contiguous
            and answer.flags.aligned
            and not np.may_share_memory(answer, given)
        )
        direct = answer if is_direct else np.empty(shape, dtype)
        most = self._threads if threads is None else check_threads(threads)
        unit = self._images if len(given) >= most * self._images else 1

        def work(first: int, last: int) -> None:
            memory = self._workspace()
            self._do(given[first:last], direct[first:last], memory, 0, self._n_operations)
            self._spare.append(memory)

        if len(given):
            run(work, spans(len(given), most, unit, unit))
        if direct is not answer:
            answer[...] = direct
        return answer

    def _do(
        self,
        images: NDArray[Any],
        out: NDArray[Any],
        memory: NDArray[np.uint8],
        first: int,
        last: int,
    ) -> None:
        """Run some operations; nothing is checked."""
        self._run(
            images.__array_interface__["data"][0],
            len(images),
            images.strides[0],
            out.__array_interface__["data"][0],
            out.strides[0],
            memory.__array_interface__["data"][0],
            first,
            last,
        )

    def _workspace(self) -> NDArray[np.uint8]:
        """Return memory to work in, if possible of an earlier call."""
        try:
            return self._spare.pop()
        except IndexError:
            return aligned_zeros(self._workspace_bytes, np.uint8)

    @cached_property
    def plan(self) -> NetworkPlan:
        """The plan of the network; it is made anew, because a cached object needs none."""
        return plan_network(self.network, self._target)

    @property
    def target(self) -> Target:
        """The feature level that the code is for."""
        return self._target

    def ir(self, stage: Literal["template", "optimized"] = "template") -> str:
        """Return the LLVM IR, as the templates render it or as LLVM's passes leave it.

        Rendered modules follow each other; the first one calls the others.

        Raises
        ------
        ValueError
            If `stage` is unknown.
        """
        first, *others = render_network(self.plan)
        if stage == "template":
            return "\n".join([first, *others])
        if stage == "optimized":
            return llvm.to_text(first, self._target, "optimized", others)
        raise ValueError(f'stage must be "template" or "optimized", not {stage!r}')

    def asm(self) -> str:
        """Return the assembly."""
        first, *others = render_network(self.plan)
        return llvm.to_text(first, self._target, "assembly", others)

    def export(
        self,
        directory: str | os.PathLike[str],
        *,
        name: str = "network",
        compiler: str | None = None,
    ) -> Exported:
        """Write the network for programs in C, as `maddjit.export` does, which says more.

        Raises
        ------
        ValueError, LinkError, OSError
            As for `maddjit.export`.
        """
        return export_plan(self.plan, directory, name, compiler=compiler)

    @property
    def report(self) -> NetworkReport:
        """What each layer is, what it costs in memory, and how long compiling took."""
        return NetworkReport(
            target=self._target.name,
            images=self._images,
            table_bytes=self.plan.table_bytes,
            code_bytes=self._compiled.code_bytes,
            workspace_bytes=self._workspace_bytes,
            layers=layers_of(self.network, self.plan),
            seconds=self._compiled.seconds,
        )

    def profile(self, images: ArrayLike) -> tuple[LayerReport, ...]:
        """Measure how long each layer takes, in one thread, on some images.

        Parameters
        ----------
        images : (N, C, H, W) array_like
            At least one. As many are used as go through the network together.

        Returns
        -------
        tuple of LayerReport
            With `nanoseconds` for each image: the median of many runs.

        Raises
        ------
        TypeError, ValueError
            If there are no images, or as for a call.
        """
        given = _direct(checked(self.network, images)[: self._images])
        if not len(given):
            raise ValueError("a profile needs images")
        out = np.empty((len(given), *self.network.output_shape), self.network.output_dtype)
        memory, n = self._workspace(), self._n_operations
        # Each operation is a call, and a call takes its time: so does one without any operation.
        ranges = [part for i in range(n) for part in ((i, i + 1), (i, i))]
        times: list[NDArray[np.float64]] = []
        begun = perf_counter()
        while len(times) < 5 or perf_counter() < begun + _PROFILED_SECONDS:
            marks = [perf_counter()]
            for first, last in ranges:
                self._do(given, out, memory, first, last)
                marks.append(perf_counter())
            times.append(np.diff(marks))
        self._spare.append(memory)
        each = np.median(times, axis=0).reshape(n, 2) * 1e9 / len(given)
        own = np.maximum(each[:, 0] - each[:, 1], 0)
        return layers_of(self.network, self.plan, own.tolist())

    def __reduce__(self) -> tuple[Any, ...]:
        return NetworkOperator, (self.network, self._level, self._threads, self._build)

    def __repr__(self) -> str:
        wanted, given = (
            f"(N, {', '.join(map(str, shape))})"
            for shape in (self.network.input_shape, self.network.output_shape)
        )
        return f"NetworkOperator({wanted} → {given}, target={self._target.name!r})"


def _direct(images: NDArray[Any]) -> NDArray[Any]:
    """Return images of which each one is contiguous and aligned."""
    if len(images) and images[0].flags.c_contiguous and images.flags.aligned:
        return images
    return np.ascontiguousarray(images)
