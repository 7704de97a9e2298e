"""The callable that names exact winners: looks up, settles, and watches how long its lists are."""

from __future__ import annotations

import os
import threading
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.checks import as_rows
from maddjit.arrays.formats import bfloat16_to_float32
from maddjit.arrays.layout import order_of
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.signature import RULES, Choices, Order, Signature
from maddjit.compiler.target import Target
from maddjit.exporting.export import Exported, What, export_plan
from maddjit.models.maddness import MaddnessModel
from maddjit.operators.base import Compiled
from maddjit.operators.function import Function
from maddjit.operators.kernel import Kernel, OperatorReport, describe
from maddjit.operators.watching import Audit, DriftWarning, ListLengths, audited
from maddjit.reference.maddness import Settled

_LONGER, _SLACK = 1.5, 0.05
"""Times the mean length beyond k of calibration, and share of k more, until `monitor` warns."""
_KEPT = 2**18
"""Numbers that memory is kept for between calls, because fresh pages cost time."""
_LEAST_ROWS = 1000
"""Rows from which on `monitor` warns."""


class WinnerOperator(Compiled[Plan]):
    """A compiled exact arg-max, or top-k, of ``A @ B + bias``; made by `maddjit.compile`.

    Scores of all outputs are looked up, those within a margin of the k-th best are settled by exact
    products. The exact winners are among them with the probability `coverage`, for rows like those
    of calibration. It may be called from many threads and can be pickled.
    """

    def __init__(
        self,
        model: MaddnessModel,
        target: Target,
        default: Signature,
        coverage: float,
        is_argmax: bool,
        build: Callable[[MaddnessModel, Target, Signature], Kernel[Plan]],
        again: Callable[..., WinnerOperator],
        threads: int = 1,
        choices: Choices = RULES,
    ) -> None:
        assert model.short_list is not None
        model.short_list.margin(coverage)  # refuses one before anything is compiled
        self.model = model
        self._is_argmax = is_argmax
        self._short = model.short_list
        super().__init__(model, target, default, build, again, threads, choices)
        self._begin(coverage)

    def _begin(self, coverage: float) -> None:
        """Make what an operator does not share with those of other coverages."""
        self.coverage = coverage
        self._functions = {}
        self._asked: dict[tuple[str, Order, bool], Function] = {}
        self._lock = threading.RLock()  # a signal's handler may call what it interrupts
        self._kept: list[NDArray[np.int64]] = []
        self.reset()

    def with_coverage(self, coverage: float) -> WinnerOperator:
        """Return an operator of another coverage, which shares model, tables and code with this.

        Coverage is an argument of kernels: nothing is compiled or copied, and kernels that either
        operator compiles later serve both. Each counts its own rows for `monitor`.

        Parameters
        ----------
        coverage : float
            As for `maddjit.compile`.

        Returns
        -------
        WinnerOperator
            The same results as ``maddjit.compile(…, coverage=coverage)``.

        Raises
        ------
        CoverageError
            If the rows of calibration cannot vouch for it.
        TypeError
            If it is no number.

        Examples
        --------
        >>> import numpy as np, maddjit
        >>> rng = np.random.default_rng(0)
        >>> A = rng.standard_normal((3000, 6)) @ rng.standard_normal((6, 32))
        >>> B = rng.standard_normal((32, 20))
        >>> model = maddjit.calibrate(maddjit.fit(A[:1000], B), A[1000:], B)
        >>> op = maddjit.compile(model, result="argmax", coverage=0.99)
        >>> safer = op.with_coverage(0.999)
        >>> bool(op.settle(A).lengths.mean() < safer.settle(A).lengths.mean())
        True
        """
        self._short.margin(coverage)  # refuses one that calibration cannot vouch for
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._again = partial(self._again, coverage=coverage)
        other._begin(coverage)
        return other

    def _lists(self, plan: Plan) -> Lists:
        """Return what calls of a plan's kernel say of its lists."""
        return Lists.of(self._short, self.coverage, plan.row_block)

    def _called(self, kernel: Kernel[Plan]) -> Function:
        return Function.of(kernel, self._lists(kernel.plan))

    def _exported(
        self, plan: Plan, directory: str | os.PathLike[str], name: str, compiler: str | None
    ) -> Exported:
        what: What = "argmax" if self._is_argmax else "topk"
        return export_plan(plan, directory, name, what, compiler, self._lists(plan))

    def __call__(self, A: ArrayLike, threads: int | None = None) -> NDArray[np.int64]:
        """Name each row's largest output, or its k largest.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            Of a dtype and layout that `CompiledOperator` takes.
        threads : int, optional
            At most this many share the rows; by default what `compile` was told.

        Returns
        -------
        (N,) or () int64; (N, k) or (k,) for the k largest
            The same indices as `maddjit.reference.settle`, equal outputs in the order of their
            indices.

        Raises
        ------
        TypeError, ValueError
            If A has another dtype or shape.
        """
        found, single = self._run(A, False, threads)
        indices = found[:, 0].copy() if self._is_argmax else found[:, : self._short.k].copy()
        self._keep(found)
        return indices[0] if single else indices

    def settle(self, A: ArrayLike, threads: int | None = None) -> Settled:
        """Return winners, their exact outputs, and the lengths of the short lists.

        Parameters and errors are those of calling the operator; it takes a little longer, because
        the output of a winner that is alone on its list is computed too.

        Returns
        -------
        Settled
            The same bits as `maddjit.reference.settle`.
        """
        k = self._short.k
        found, single = self._run(A, True, threads)
        outputs = found[:, k + 1 :].copy().view(np.float32)[:, ::2].copy()
        settled = Settled(found[:, :k].copy(), outputs, found[:, k].copy())
        self._keep(found)
        return Settled(*(part[0] for part in settled)) if single else settled

    def _run(
        self, A: ArrayLike, scored: bool, threads: int | None
    ) -> tuple[NDArray[np.int64], bool]:
        """Return the kernel's results, (N, 2k + 1): winners, lengths, outputs as halves."""
        bits = self._default.dtype == "bfloat16"
        rows, form, single = as_rows(A, self.model.n_features, bits)
        if not rows.flags.aligned:
            rows = rows.copy()
        found = self._memory(len(rows), 2 * self._short.k + 1)
        self._function_of(form.name, order_of(rows), scored)(
            rows, found, self._threads if threads is None else threads, self._least_rows
        )
        n_listed = int(found[:, self._short.k].sum())
        with self._lock:
            self._n_rows += len(found)
            self._n_listed += n_listed
        return found, single

    def _function_of(self, dtype: str, order: Order, scored: bool) -> Function:
        key = (dtype, order, scored)
        found = self._asked.get(key)
        if found is None:
            signature = replace(self._default, dtype=dtype, order=order, scored=scored)
            found = self._asked[key] = self._function(signature)
        return found

    def _memory(self, n_rows: int, width: int) -> NDArray[np.int64]:
        """Return (n_rows, width), of an earlier call's memory if there is enough."""
        size = n_rows * width
        if size > _KEPT:
            return np.empty((n_rows, width), np.int64)
        try:
            memory = self._kept.pop()
        except IndexError:
            memory = np.empty(size, np.int64)
        if len(memory) < size:
            memory = np.empty(size, np.int64)
        return memory[:size].reshape(n_rows, width)

    def _keep(self, found: NDArray[np.int64]) -> None:
        """Keep the memory of results that have been copied for the next call."""
        if found.base is not None:
            self._kept.append(found.base)

    def monitor(self) -> ListLengths:
        """Tell how long short lists have been, and warn if they are longer than at calibration.

        Longer lists are a sign of rows unlike those of calibration, for which `coverage` says
        nothing: `maddjit.calibrate` again, with such rows. Lists of the usual length prove nothing,
        see `audit`.

        Warns
        -----
        DriftWarning
            If after 1000 rows or more the mean length, less k, is half as large again as at
            calibration.
        """
        with self._lock:
            n_rows, n_listed = self._n_rows, self._n_listed
        mean = n_listed / n_rows if n_rows else float("nan")
        found = ListLengths(n_rows, mean, *self._short.expected_lengths(self.coverage))
        k = self._short.k
        if n_rows >= _LEAST_ROWS and mean - k > _LONGER * (found.expected - k) + _SLACK * k:
            warnings.warn(
                f"short lists have {mean:.3g} outputs on average, and had {found.expected:.3g} at "
                "calibration: these seem to be other rows, for which coverage says nothing; "
                "audit(A) some of them, or calibrate again",
                DriftWarning,
                stacklevel=2,
            )
        return found

    def audit(self, A: ArrayLike) -> float:
        """Return the share of rows that name the winners of the whole exact product.

        Rows may be approximated worse than those of calibration without having longer lists, which
        is all that `monitor` sees. An audit of a few hundred rows now and then sees that, too.

        Outputs are compared, not indices, and differences that the rounding of float32 products can
        explain do not count: equal items are equally good, whichever is named.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            Of a dtype that can be converted to float32, N > 0. `monitor` counts these rows, too.

        Returns
        -------
        float
            To be compared with `coverage`, give or take the sampling error √(c (1 − c) / N).

        Raises
        ------
        TypeError, ValueError
            If A has another dtype or shape, or no rows.

        See Also
        --------
        audit_report : Which rows miss a winner, and by how much.
        """
        return self.audit_report(A).share

    def audit_report(self, A: ArrayLike) -> Audit:
        """Compare rows with the whole exact product; tell which miss a winner, and by how much.

        Parameters and errors are those of `audit`.

        Returns
        -------
        Audit
            Its `share` is what `audit` returns.
        """
        rows, form, _ = as_rows(A, self.model.n_features, self._default.dtype == "bfloat16")
        if not len(rows):
            raise ValueError("an audit needs rows")
        found, _ = self._run(A, False, None)
        named = found[:, : self._short.k].copy()
        self._keep(found)
        with np.errstate(over="ignore"):
            numbers = bfloat16_to_float32(rows) if form.name == "bfloat16" else rows.astype("f4")
        return audited(numbers, named, self._short)

    def reset(self) -> None:
        """Forget the lengths seen so far."""
        with self._lock:
            self._n_rows = self._n_listed = 0

    @property
    def report(self) -> OperatorReport:
        """What has been compiled so far, how, and what lists to expect.

        Kernels are those of all operators that `with_coverage` made of one another.
        """
        mean, tail, longest = self._short.expected_lengths(self.coverage)
        found = describe(self.kernel(), self._kernels.compiled, self._choices, {})
        words = (
            f"coverage {self.coverage:g}: margin {self._short.margin(self.coverage)} in scores of "
            f"{self.plan.sum_bits} bits; {mean:.3g} outputs are listed on average, "
            f"{tail:.0f} or fewer in 99 % of rows, {longest:.0f} at most, "
            f"on {self._short.n_rows} rows of calibration"
        )
        return replace(found, settling=words)

    def __repr__(self) -> str:
        model = self.model
        what = "arg-max" if self._is_argmax else f"top {self._short.k}"
        return (
            f"WinnerOperator((N, {model.n_features}) → exact {what} of {model.n_outputs}, "
            f"C={model.n_codebooks}, K={model.n_prototypes}, coverage={self.coverage:g}, "
            f"target={self._target.name!r})"
        )
