"""The interface of an exported operator for C: its names, types, sizes and description."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Literal

from maddjit.arrays.formats import INPUTS
from maddjit.compiler.c_matrix import CMatrix
from maddjit.compiler.c_names import Names, check_name
from maddjit.compiler.maddness.lists import Lists
from maddjit.compiler.maddness.plan import Plan
from maddjit.compiler.network.plan import NetworkPlan
from maddjit.compiler.strassen_tile.plan import TilePlan
from maddjit.compiler.workspace import LINE, lines

LAYOUT = 1
"""The number of the description's layout. Descriptions of another layout cannot be read."""
_WINNER_BYTES = 8
"""Bytes of each number that a kernel writes for winners."""


@dataclass(frozen=True)
class Interface(Names):
    """A kernel and the C function around it: everything that their templates need.

    Attributes
    ----------
    name : str
        The prefix of every name that C sees.
    plan : Plan, TilePlan or NetworkPlan
        The kernel's plan. Its symbol contains the name, so that two operators can be linked into
        one program.
    what : {"outputs", "argmax", "topk"}
        What the C function returns.
    llvm : str
        The version of LLVM that makes the code.
    lists : Lists or None
        What a kernel of winners is told at each call; a constant of the C function.
    """

    name: str
    plan: Plan | TilePlan | NetworkPlan
    what: Literal["outputs", "argmax", "topk"]
    llvm: str
    lists: Lists | None = None

    @classmethod
    def of(
        cls,
        name: str,
        plan: Plan | TilePlan | NetworkPlan,
        what: Literal["outputs", "argmax", "topk"],
        llvm: str,
        lists: Lists | None = None,
    ) -> Interface:
        """Return the interface of a plan's kernel.

        Raises
        ------
        ValueError
            If `name` is not a name in C or is one of CMake's own targets, or if neither the rows
            nor the columns of A are contiguous.
        """
        check_name(name)
        if plan.signature.order == "strided":
            raise ValueError('order must be "C" or "F": in C, rows or columns are contiguous')
        return cls(name, replace(plan, symbol=f"{name}_kernel"), what, llvm, lists)

    @property
    def n_features(self) -> int:
        """Columns of A."""
        return self.plan.n_features

    @property
    def is_winners(self) -> bool:
        """Whether the kernel writes winners, with more numbers than the C function returns."""
        return self.plan.signature.result == "winners"

    @property
    def is_network(self) -> bool:
        """Whether rows are images, which a network's function takes."""
        return isinstance(self.plan, NetworkPlan)

    @property
    def width(self) -> int:
        """Results of one row."""
        return self.plan.signature.k if self.is_winners else self.plan.n_outputs

    @property
    def A(self) -> CMatrix:
        """The rows that the C function reads."""
        signature = self.plan.signature
        form = INPUTS[signature.dtype]
        return CMatrix("A", form, self.n_features, signature.order == "F")

    @property
    def Y(self) -> CMatrix:
        """The results that the C function writes."""
        signature = self.plan.signature
        return CMatrix("Y", signature.output, self.width, signature.out_order == "F")

    @property
    def packed(self) -> bytes:
        """The right-hand side as the kernel reads it; empty if it is part of the code."""
        return b"" if self.plan.packed is None else self.plan.packed.tobytes()

    @property
    def block_rows(self) -> int:
        """The number of rows whose winners are found before they are copied to Y."""
        return self.plan.row_block if isinstance(self.plan, Plan) else 0

    @property
    def found_step(self) -> int:
        """Bytes of one row of the kernel's winners: indices, the list's length, outputs."""
        return _WINNER_BYTES * (2 * self.plan.signature.k + 1)

    @property
    def found_offset(self) -> int:
        """The offset of the winners in the workspace, behind the kernel's lists."""
        lists_bytes = self.lists.n_bytes if self.lists else 0
        return lines(self.plan.workspace_bytes + lists_bytes)

    @property
    def workspace_bytes(self) -> int:
        """Bytes of workspace, wherever it begins: the C function skips to a cache line."""
        found = self.block_rows * self.found_step if self.is_winners else 0
        return self.found_offset + found + LINE

    @property
    def description(self) -> bytes:
        """Everything that `maddjit.native.load` needs to know, as JSON with a final zero byte."""
        signature, target = self.plan.signature, self.target
        told = {
            "layout": LAYOUT,
            "name": self.name,
            "words": self.words,
            "level": target.name,
            "architecture": target.architecture,
            "requires": self.needs,
            "what": self.what,
            "dtype": signature.dtype,
            "output": signature.output.name,
            "order": signature.order,
            "out_order": signature.out_order,
            "n_features": self.n_features,
            "width": self.width,
            "n_outputs": self.plan.n_outputs,
            "workspace_bytes": self.workspace_bytes,
            "adds": signature.residual,
            **self.ending,
            **({"rows": "tokens"} if self.is_of_tokens else {}),
            "maddjit": self.version,
            "llvm": self.llvm,
        }
        return json.dumps(told, sort_keys=True).encode() + b"\0"

    @property
    def words(self) -> str:
        """What the operator computes, in words."""
        return ", ".join(filter(None, (self._product_words, self.epilogue.words)))

    @property
    def _product_words(self) -> str:
        plan = self.plan
        if isinstance(plan, NetworkPlan):
            return plan.told
        if isinstance(plan, TilePlan):
            kind = "rounded" if plan.kind == "exact" and plan.is_bfloat16 else plan.kind
            shape, precision = " x ".join(map(str, plan.shape)), plan.signature.precision
            return f"Strassen-Tile, {kind}: rank {plan.rank} of {shape}, products in {precision}"
        found = f"MADDNESS, {plan.n_codebooks} codebooks of {plan.n_prototypes}"
        if plan.core:
            found += f", an exact core of rank {plan.core.rank}"
        if self.is_winners:
            assert self.lists is not None
            k, margin = plan.signature.k, self.lists.margin
            return f"exact top {k} of {plan.n_outputs} by {found}, lists within {margin}"
        return f"approximate: {found}, sums of {plan.sum_bits} bits"

    @property
    def Y_words(self) -> str:
        """The contents of a row of results, in words."""
        if not self.is_winners:
            return f"{self.width} outputs"
        return "the index of the largest output" if self.width == 1 else "indices, largest first"

    @property
    def Y_layout_words(self) -> str:
        """How Y lies in memory, and what becomes of it, in words."""
        found = f"{self.Y.layout}, no less than {'n_rows' if self.Y.by_columns else 'a row'}"
        added = "; the results are added to what it holds"
        return found + added * self.plan.signature.residual

    @property
    def batch_words(self) -> str:
        """A sentence for results that depend on more than their own row; otherwise empty."""
        plan = self.plan
        if not isinstance(plan, TilePlan):
            return ""
        if plan.rows.layout == "tokens":
            return (
                "\n   The rows of a call are one sequence. The results of a row also depend on its "
                f"neighbours:\n   {plan.shape[0]} rows share a tile."
            )
        if plan.kind == "approximate":
            return "\n   The results of a row also depend on the other rows of the call."
        return ""

    @property
    def is_of_tokens(self) -> bool:
        """Whether the rows of a call are one sequence, whose neighbours share tiles."""
        return isinstance(self.plan, TilePlan) and self.plan.rows.layout == "tokens"
