"""The way from a request to a kernel: plan, cache, render, LLVM, load."""

from __future__ import annotations

import logging
from time import perf_counter
from types import MappingProxyType
from typing import Any

from maddjit.compiler import cache, llvm
from maddjit.compiler.fingerprint import plan_key
from maddjit.compiler.objects import parted
from maddjit.compiler.planes.drive import DriveRequest
from maddjit.compiler.planes.plan import MoveRequest
from maddjit.compiler.render import render
from maddjit.compiler.request import Request
from maddjit.models.records import let_go
from maddjit.operators.kernel import Kernel

logger = logging.getLogger(__name__)


def build(request: Request | MoveRequest | DriveRequest) -> Kernel[Any]:
    """Return the kernel of a request: plan, cache, render, LLVM, load.

    It notes the seconds that each phase took. A kernel that the cache has is neither rendered nor
    compiled.
    """
    seconds: dict[str, float] = {}
    last = perf_counter()

    def passed(phase: str) -> None:
        nonlocal last
        now = perf_counter()
        seconds[phase], last = now - last, now

    plan = request.plan()
    passed("plan")
    key = plan_key(plan)
    code = cache.read(key)
    passed("cache")
    if code is None:
        ir = render(plan)
        passed("render")
        code = parted(llvm.to_object(ir, plan.target))
        passed("llvm")
        cache.write(key, code)
        passed("keep")
    let_go()
    function = llvm.load(code, plan.symbol, plan.target, plan.sequences_symbol)
    passed("load")
    logger.debug("compiled %s: %s", plan.symbol, seconds)
    return Kernel(plan, code.n_bytes, function, MappingProxyType(seconds))
