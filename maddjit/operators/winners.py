"""The operator that names exact winners: looks scores up, settles, and watches its short lists."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maddjit.arrays.formats import RESULTS, bfloat16_to_float32
from maddjit.arrays.layout import Order, order_of
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.request import Request
from maddjit.models.maddness import MaddnessModel
from maddjit.operators.base import BaseOperator, Build
from maddjit.operators.fastcall import Results
from maddjit.operators.report import OperatorReport, report_of
from maddjit.operators.runner import Runner
from maddjit.operators.watching import Audit, ListCounter, ListLengths, audited, warn_of_drift
from maddjit.reference.maddness import Settled

_NUMBERS = (RESULTS["winners"].dtype,)
"""The dtype of numbers of outputs."""
_KEPT = 2**18
"""The most numbers whose memory is kept between calls, because fresh pages cost time."""


class WinnerOperator(BaseOperator[Plan]):
    """A compiled exact arg-max, or top-k, of ``A @ B + bias``; made by `maddjit.compile`.

    It looks up a score for each output. The outputs whose score is within a margin of the k-th best
    are the short list, and exact products settle which of them win. The exact winners are on the
    list with the probability `coverage`, for rows like those of calibration. The operator may be
    called from many threads and can be pickled.
    """

    def __init__(self, request: Request, build: Build) -> None:
        assert isinstance(request.model, MaddnessModel)
        assert request.model.short_list is not None
        self.model = request.model
        self._short = request.model.short_list
        super().__init__(request, build)
        self._begin(request)

    def _begin(self, request: Request) -> None:
        """Create the state that operators with different coverages do not share."""
        assert request.coverage is not None
        self._request = request
        self.coverage = request.coverage
        self._runners = {}
        self._chosen: dict[tuple[str, Order, bool], Runner] = {}
        is_one, width = request.is_argmax, self._short.k
        results = Results(_NUMBERS, None if is_one else width, takes_out=False, is_scalar=is_one)
        self._winners = self._fast_call(results, self._threads == 1)
        self._winners.add(self._runner_for(request.signature.dtype, request.signature.order, False))
        self._counter = ListCounter(self._winners.counts)
        self._kept: list[NDArray[np.int64]] = []

    def with_coverage(self, coverage: float) -> WinnerOperator:
        """Return an operator of another coverage that shares this one's model, tables and code.

        The coverage is an argument of kernels, so nothing is compiled or copied, and a kernel that
        either operator compiles later serves both. Each counts its own rows for `monitor`.

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
            If it is not a number.

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
        other._begin(replace(self._request, coverage=coverage))
        return other

    def __call__(self, A: ArrayLike, threads: int | None = None) -> NDArray[np.int64]:
        """Return the index of each row's largest output, or those of its k largest.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            Of any dtype and layout that `CompiledOperator` takes.
        threads : int, optional
            At most this many share the rows; by default what `compile` was told.

        Returns
        -------
        (N,) or () int64; (N, k) or (k,) for the k largest
            The same indices as `maddjit.reference.settle`; equal outputs come in the order of their
            indices.

        Raises
        ------
        TypeError, ValueError
            If A has another dtype or shape.
        """
        if threads is None:
            answer = self._winners.call(A)
            if answer is not None:
                return answer
        found, single = self._run(A, False, threads)
        indices = (
            found[:, 0].copy() if self._request.is_argmax else found[:, : self._short.k].copy()
        )
        self._keep(found)
        return indices[0] if single else indices

    def settle(self, A: ArrayLike, threads: int | None = None) -> Settled:
        """Return the winners, their exact outputs, and the lengths of the short lists.

        Parameters and errors are those of calling the operator. It takes a little longer, because
        the output of a winner that is alone on its list is computed, too.

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
        """Return the kernel's results (N, 2k + 1), and whether A was one row.

        A row of results holds k winners, the length of the list, and k outputs, each the lower half
        of a number.
        """
        rows, form, single = self._rows(A)
        found = self._memory(len(rows), 2 * self._short.k + 1)
        runner = self._runner_for(form.name, order_of(rows), scored)
        if not scored:
            self._winners.add(runner)
        runner(rows, found, self._threads if threads is None else threads, self._least_rows)
        self._counter.add(found[:, self._short.k])
        return found, single

    def _runner_for(self, dtype: str, order: Order, scored: bool) -> Runner:
        """Return the runner for a kind of A; winners come with their outputs if `scored`."""
        key = (dtype, order, scored)
        found = self._chosen.get(key)
        if found is None:
            asked = self._request.signature
            signature = replace(asked, dtype=dtype, order=order, scored=scored)
            found = self._chosen[key] = self._runner(signature)
        return found

    def _memory(self, n_rows: int, width: int) -> NDArray[np.int64]:
        """Return an array (n_rows, width), in memory of an earlier call if that is large enough."""
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
        """Keep memory whose results have been copied, for the next call."""
        if found.base is not None:
            self._kept.append(found.base)

    def monitor(self) -> ListLengths:
        """Return how long short lists have been, and warn if they are longer than at calibration.

        Longer lists are a sign of rows unlike those of calibration. The coverage does not hold for
        such rows: call `maddjit.calibrate` again, with rows like them. Lists of the usual length
        prove nothing; `audit` does.

        Warns
        -----
        DriftWarning
            If after 1000 rows or more the mean length beyond k is half as large again as at
            calibration.
        """
        found = self._counter.lengths(self._short.expected_lengths(self.coverage))
        warn_of_drift(found, self._short.k, stacklevel=3)
        return found

    def audit(self, A: ArrayLike) -> float:
        """Return the share of rows whose named winners are those of the whole exact product.

        Rows may be approximated worse than those of calibration without having longer lists, and
        `monitor` sees nothing but lengths. An audit of a few hundred rows now and then sees more.

        It compares outputs, not indices. A difference that the rounding of float32 products can
        explain does not count: of equal outputs, any may be named.

        Parameters
        ----------
        A : (N, D) or (D,) array_like
            Of any dtype that the operator takes, N > 0. `monitor` counts these rows, too.

        Returns
        -------
        float
            To be compared with the coverage c; the sampling error is √(c (1 − c) / N).

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
        """Return which rows miss a winner of the whole exact product, and by how much.

        Parameters and errors are those of `audit`.

        Returns
        -------
        Audit
            Its `share` is what `audit` returns.
        """
        rows, form, _ = self._rows(A)
        if not len(rows):
            raise ValueError("an audit needs rows")
        found, _ = self._run(A, False, None)
        named = found[:, : self._short.k].copy()
        self._keep(found)
        with np.errstate(over="ignore"):
            numbers = bfloat16_to_float32(rows) if form.name == "bfloat16" else rows.astype("f4")
        return audited(numbers, named, self._short)

    def reset(self) -> None:
        """Forget the lengths that `monitor` has counted so far."""
        self._counter.reset()

    @property
    def report(self) -> OperatorReport:
        """Which kernels were compiled so far, how, and how long short lists are expected to be.

        The kernels are those of all operators that `with_coverage` made of one another.
        """
        mean, tail, longest = self._short.expected_lengths(self.coverage)
        found = report_of(self.kernel(), self._kernels.compiled, self._request.choices, {})
        words = (
            f"coverage {self.coverage:g}: margin {self._short.margin(self.coverage)} in scores of "
            f"{self.plan.sum_bits} bits; {mean:.3g} outputs are listed on average, "
            f"{tail:.0f} or fewer in 99 % of rows, {longest:.0f} at most, "
            f"on {self._short.n_rows} rows of calibration"
        )
        return replace(found, settling=words)

    def __repr__(self) -> str:
        model = self.model
        what = "arg-max" if self._request.is_argmax else f"top {self._short.k}"
        return (
            f"WinnerOperator((N, {model.n_features}) → exact {what} of {model.n_outputs}, "
            f"C={model.n_codebooks}, K={model.n_prototypes}, coverage={self.coverage:g}, "
            f"target={self.target.name!r})"
        )
