"""What a compilation of a convolution is asked for, checked once for compile, export, pickles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from maddjit.arrays.checks import check_threads
from maddjit.arrays.epilogue import Epilogue
from maddjit.arrays.formats import INPUTS, Format, float32_to_bfloat16
from maddjit.arrays.layout import OutOrder
from maddjit.compiler.convolving import ConvolutionPlan
from maddjit.compiler.maddness.planner import make_plan
from maddjit.compiler.planes.plan import ELEMENTS, plan_move
from maddjit.compiler.request import Request, Use, ask_kernel, target_of
from maddjit.compiler.signature import RULES, Choices, Result, Signature
from maddjit.compiler.target import Target
from maddjit.models.convolution import ConvolutionModel

CONVOLUTION_SYMBOL = "maddjit_convolution"
"""The name of a whole convolution's function, unless it is exported under another one."""


@dataclass(frozen=True)
class ConvolutionRequest:
    """A checked request for the kernels of a convolution; `ask_convolution` makes it.

    Attributes
    ----------
    model : ConvolutionModel
    target : Target
    signature : Signature
        That of each group's kernel which is compiled first.
    quantise : Epilogue or None
        How float32 planes become int8 or uint8 before they are compared with thresholds.
    threads : int
        How many threads share the rows of a call, at most.
    choices : Choices
        What the planner is told instead of following its rules.
    level : str or None
        The feature level's name as the user gave it.
    """

    model: ConvolutionModel
    target: Target
    signature: Signature
    quantise: Epilogue | None = None
    threads: int = 1
    choices: Choices = RULES
    level: str | None = None

    def kernel(self, group: int, signature: Signature) -> Request:
        """Return the request for one kernel of a group's product."""
        return ask_kernel(self.model.products[group], self.target, signature, self.choices)

    def plan(self) -> ConvolutionPlan:
        """Return the plan of the whole convolution for other programs.

        Raises
        ------
        ValueError
            If planes of its dtype cannot hold what the model has outside of planes.
        """
        signature, target = self.signature, self.target
        inner, output = INPUTS[signature.dtype], signature.output
        plan = ConvolutionPlan(
            symbol=CONVOLUTION_SYMBOL,
            target=target,
            window=self.model.window,
            kernels=tuple(
                make_plan(product, target, signature, self.choices)
                for product in self.model.products
            ),
            enter=plan_move("enter", ELEMENTS[inner.itemsize], target, self.quantise),
            leave=plan_move("leave", ELEMENTS[output.itemsize], target),
            fill=self.model.fill,
            fill_bits=bits_of(self.model.fill, inner),
            quantise=self.quantise,
        )
        return plan.renamed(CONVOLUTION_SYMBOL)

    def __reduce__(self) -> tuple[Callable[..., ConvolutionRequest], tuple[Any, ...]]:
        asked = self.signature
        return _asked_again, (
            *(self.model, self.level, asked.dtype, asked.epilogue),
            *(self.quantise, self.threads, self.choices),
        )


def ask_convolution(
    model: ConvolutionModel,
    level: str | None,
    *,
    use: Use = "run",
    system: str | None = None,
    dtype: str = "float32",
    epilogue: Epilogue | None = None,
    quantise: Epilogue | None = None,
    threads: int = 1,
    choices: Choices | None = None,
) -> ConvolutionRequest:
    """Check what a user asks of a convolution, and return it as a request.

    Parameters
    ----------
    model : ConvolutionModel
    use : {"run", "export", "show"}
    system : str, optional
        As for `maddjit.compiler.request.ask`.
    level, dtype, epilogue, quantise, threads, choices
        As for `maddjit.compile`.

    Raises
    ------
    TargetError
        If the level is unknown, or this machine lacks one of its features.
    TypeError, ValueError
        If an option is none of those that there are, a product has an exact core, or what planes
        are quantised to is not their dtype.
    """
    if any(product.core is not None for product in model.products):
        raise ValueError("a convolution whose products have exact cores has no kernels")
    if quantise is not None:
        if not isinstance(quantise, Epilogue):
            raise TypeError(f"quantise must be an Epilogue, not {quantise!r}")
        if not quantise.is_integer or quantise.arithmetic != "float":
            raise ValueError(
                'quantise must be an Epilogue for int8 or uint8 with arithmetic="float", '
                f"not {quantise}"
            )
        if dtype not in ("float32", quantise.dtype):
            raise ValueError(
                f"planes are quantised to {quantise.dtype}, so dtype cannot be {dtype!r}"
            )
        dtype = quantise.dtype
    return ConvolutionRequest(
        model,
        target_of(level, use, system),
        placed_signature(dtype, "outputs", epilogue),
        quantise,
        check_threads(threads),
        choices or RULES,
        level,
    )


def placed_signature(
    dtype: str, result: Result, epilogue: Epilogue | None, sums: str = "int32"
) -> Signature:
    """Return the signature of a group's kernel: columns of A are placed one by one.

    Raises
    ------
    ValueError, TypeError
        As for `Signature`, or if the result is none that planes have.
    """
    if result not in ("outputs", "sums", "codes"):
        raise ValueError(f'a convolution has "outputs", "sums" and "codes", not {result!r}')
    out_order: OutOrder = "C" if result == "codes" else "F"
    return Signature(dtype, "F", result, epilogue or Epilogue(), out_order, sums, placed=True)


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
    return int(np.array(fill, form.dtype).view(f"i{form.itemsize}"))


def check_plain(is_plain: bool) -> None:
    """Refuse options of `maddjit.compile` that convolutions do not have.

    Raises
    ------
    ValueError
        Unless all of them are as they are by default.
    """
    if not is_plain:
        raise ValueError(
            "a convolution has outputs of planes in any order, and nothing to tune: leave out "
            "result, k, order, out_order, precision, residual and tune"
        )


def _asked_again(
    model: ConvolutionModel,
    level: str | None,
    dtype: str,
    epilogue: Epilogue,
    quantise: Epilogue | None,
    threads: int,
    choices: Choices,
) -> ConvolutionRequest:
    """Return a request that was pickled, for the machine where it is unpickled."""
    return ask_convolution(
        model,
        level,
        dtype=dtype,
        epilogue=epilogue,
        quantise=quantise,
        threads=threads,
        choices=choices,
    )
