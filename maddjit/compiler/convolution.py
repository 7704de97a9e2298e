"""What a compilation of a convolution is asked for, checked once for compile and for pickles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from maddjit.arrays.checks import check_threads
from maddjit.arrays.epilogue import Epilogue
from maddjit.compiler.request import Request, ask_kernel, target_of
from maddjit.compiler.signature import RULES, Choices, Signature
from maddjit.compiler.target import Target
from maddjit.models.convolution import ConvolutionModel


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
        target_of(level, "run"),
        Signature(dtype, "F", "outputs", epilogue or Epilogue(), "F", placed=True),
        quantise,
        check_threads(threads),
        choices or RULES,
        level,
    )


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
            "result, k, order, precision, residual and tune"
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
