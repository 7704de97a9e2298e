"""A network's machine code: made, or taken from the cache, and loaded."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from types import MappingProxyType

from maddjit.compiler import cache, llvm
from maddjit.compiler.fingerprint import network_key
from maddjit.compiler.network.planner import NETWORK_SYMBOL, plan_network
from maddjit.compiler.objects import parted
from maddjit.compiler.render import render_network
from maddjit.compiler.target import Target
from maddjit.models.network import Network
from maddjit.models.records import let_go


@dataclass(frozen=True)
class CompiledNetwork:
    """A network's function: what it needs, its code, and the seconds each phase took."""

    function: llvm.LoadedFunction = field(repr=False)
    code_bytes: int
    seconds: Mapping[str, float]

    @cached_property
    def about(self) -> tuple[int, int, int]:
        """Bytes of a workspace, images of a group, and operations, as the code itself says."""
        found = (ctypes.c_int64 * 3).from_address(self.function.beside)
        return found[0], found[1], found[2]


def build_network(network: Network, target: Target) -> CompiledNetwork:
    """Return the function of a network, from the cache if it is there.

    It notes the seconds that each phase took.
    """
    begun = perf_counter()
    key = network_key(network, target)
    code = cache.read(key)
    seconds = {"cache": perf_counter() - begun}
    if code is None:
        begun = perf_counter()
        plan = plan_network(network, target)
        seconds["plan"] = perf_counter() - begun
        first, *others = render_network(plan)
        seconds["render"] = perf_counter() - begun - seconds["plan"]
        begun = perf_counter()
        code = parted(llvm.to_object(first, target, linked=others))
        cache.write(key, code)
        seconds["llvm"] = perf_counter() - begun
    begun = perf_counter()
    let_go()
    function = llvm.load(code, NETWORK_SYMBOL, target, f"{NETWORK_SYMBOL}_about")
    seconds["load"] = perf_counter() - begun
    return CompiledNetwork(function, code.n_bytes, MappingProxyType(seconds))
