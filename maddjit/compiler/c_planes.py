"""The interface of an exported convolution for C: its names, types and description."""

from __future__ import annotations

import json
from dataclasses import dataclass

from maddjit.compiler.c_interface import LAYOUT
from maddjit.compiler.c_matrix import CMatrix
from maddjit.compiler.c_names import Names, check_name
from maddjit.compiler.convolving import ConvolutionPlan


@dataclass(frozen=True)
class PlanesInterface(Names):
    """A convolution and the C function around it: everything that their templates need.

    Attributes
    ----------
    name : str
        The prefix of every name that C sees.
    plan : ConvolutionPlan
        Its symbol contains the name, so that two operators can be linked into one program.
    llvm : str
        The version of LLVM that makes the code.
    """

    name: str
    plan: ConvolutionPlan
    llvm: str

    most = 2**20
    """The most rows and columns of a plane, so that sizes are far from wrapping around."""

    @classmethod
    def of(cls, name: str, plan: ConvolutionPlan, llvm: str) -> PlanesInterface:
        """Return the interface of a convolution.

        Raises
        ------
        ValueError
            If `name` is not a name in C or is one of CMake's own targets.
        """
        check_name(name)
        return cls(name, plan.for_linkers().renamed(f"{name}_kernel"), llvm)

    @property
    def x(self) -> CMatrix:
        """The planes that the C function reads."""
        return CMatrix("x", self.plan.given, self.plan.n_channels, False)

    @property
    def y(self) -> CMatrix:
        """The planes that it writes."""
        return CMatrix("y", self.plan.signature.output, self.plan.n_outputs, False)

    @property
    def words(self) -> str:
        """What the operator computes, in words."""
        return ", ".join(filter(None, (self.plan.told, self.epilogue.words)))

    @property
    def quantise_words(self) -> str:
        """A sentence on what becomes of planes before they are compared; empty if nothing does."""
        by = self.plan.quantise
        return f"\n   Numbers of x are {by.words} before they are compared." if by else ""

    @property
    def description(self) -> bytes:
        """What the library says of itself, as JSON with a final zero byte."""
        plan, target = self.plan, self.target
        told = {
            "layout": LAYOUT,
            "name": self.name,
            "words": self.words,
            "level": target.name,
            "architecture": target.architecture,
            "requires": self.needs,
            "what": "planes",
            "dtype": plan.given.name,
            "output": plan.signature.output.name,
            "n_channels": plan.n_channels,
            "n_outputs": plan.n_outputs,
            "window": vars(plan.window),
            **self.ending,
            "maddjit": self.version,
            "llvm": self.llvm,
        }
        return json.dumps(told, sort_keys=True).encode() + b"\0"
