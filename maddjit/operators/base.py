"""What operators of every kind have: kernels for dtypes and orders of A, and a look at them."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, Generic, Literal

from maddjit.compiler.signature import RULES, Choices, Order, Signature
from maddjit.compiler.target import Target
from maddjit.exporting.export import Exported, export_plan
from maddjit.operators.function import Function
from maddjit.operators.kernel import Kernel, Kernels, P
from maddjit.operators.threads import check_threads


class Compiled(Generic[P]):
    """A model with its kernels, one for each dtype and order of A that occurred.

    It can be pickled: the model travels and is compiled again where it lands. P is its plans' type.
    """

    def __init__(
        self,
        model: Any,
        target: Target,
        default: Signature,
        build: Callable[[Any, Target, Signature], Kernel[P]],
        again: Callable[..., Any],
        threads: int = 1,
        choices: Choices = RULES,
    ) -> None:
        self._target = target
        self._default = default
        self._again = again
        self._choices = choices
        self._threads = check_threads(threads)
        self._kernels: Kernels[P] = Kernels(partial(build, model, target))
        self._functions: dict[Signature, Function] = {}
        self._least_rows = self.kernel().plan.rows_per_thread

    def _function(self, signature: Signature) -> Function:
        found = self._functions.get(signature)
        if found is None:
            found = self._functions[signature] = self._called(self._kernels[signature])
        return found

    def _called(self, kernel: Kernel[P]) -> Function:
        return Function.of(kernel)

    def kernel(self, dtype: str | None = None, order: Order | None = None) -> Kernel[P]:
        """Return the kernel for a dtype and order, compiling it if need be."""
        default = self._default
        return self._kernels[
            replace(default, dtype=dtype or default.dtype, order=order or default.order)
        ]

    def ir(
        self,
        stage: Literal["template", "optimized"] = "template",
        *,
        dtype: str | None = None,
        order: Order | None = None,
    ) -> str:
        """Return the LLVM IR as the templates render it, or as LLVM's passes leave it."""
        return self.kernel(dtype, order).ir(stage)

    def asm(self, *, dtype: str | None = None, order: Order | None = None) -> str:
        """Return the assembly of a kernel."""
        return self.kernel(dtype, order).asm()

    def export(
        self,
        directory: str | os.PathLike[str],
        *,
        name: str = "product",
        dtype: str | None = None,
        order: Order | None = None,
        compiler: str | None = None,
    ) -> Exported:
        """Write the operator for programs in C: a kernel with a function around it, and a header.

        Parameters
        ----------
        directory, name, compiler
            As for `maddjit.export`, which also writes operators for other targets.
        dtype, order
            The kind of A; by default what `compile` was told.

        Returns
        -------
        Exported
            Where its parts are.

        Raises
        ------
        ValueError, LinkError, OSError
            As `maddjit.export`.
        """
        return self._exported(self.kernel(dtype, order).plan, directory, name, compiler)

    def _exported(
        self, plan: P, directory: str | os.PathLike[str], name: str, compiler: str | None
    ) -> Exported:
        return export_plan(plan, directory, name, compiler=compiler)

    @property
    def plan(self) -> P:
        """The plan of the kernel that `compile` was asked for."""
        return self.kernel().plan

    @property
    def target(self) -> Target:
        """The feature level that the code is for."""
        return self._target

    def __reduce__(self) -> tuple[Callable[[], Any], tuple[()]]:
        return self._again, ()
