"""What the shuffles of each instruction set do, in plain LLVM IR: runs their kernels on any CPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from maddjit.compiler import native, target
from maddjit.compiler.target import Target


def _define(name: str, lanes: int, two: bool, pick: Callable[[int, str], tuple[str, str]]) -> str:
    """Define a shuffle lane by lane; `pick` returns IR that names a lane's source, and the name."""
    vector = f"<{lanes} x float>"
    second = f", {vector} %b" if two else ""
    lines = [f"define internal {vector} @{name}({vector} %a, <{lanes} x i32> %index{second}) {{"]
    if two:
        places = ", ".join(f"i32 {i}" for i in range(2 * lanes))
        both = f"<{2 * lanes} x float>"
        lines.append(
            f"  %source = shufflevector {vector} %a, {vector} %b, <{2 * lanes} x i32> <{places}>"
        )
    else:
        both = vector
        lines.append(f"  %source = bitcast {vector} %a to {vector}")
    before = "poison"
    for lane in range(lanes):
        code, place = pick(lane, f"%i{lane}")
        lines += [
            f"  %i{lane} = extractelement <{lanes} x i32> %index, i32 {lane}",
            code,
            f"  %x{lane} = extractelement {both} %source, i32 {place}",
            f"  %r{lane} = insertelement {vector} {before}, float %x{lane}, i32 {lane}",
        ]
        before = f"%r{lane}"
    return "\n".join([*lines, f"  ret {vector} {before}", "}"])


def _whole(entries: int) -> Callable[[int, str], tuple[str, str]]:
    """Let every lane choose among all entries by the low bits of its index."""
    return lambda lane, index: (f"  %p{lane} = and i32 {index}, {entries - 1}", f"%p{lane}")


def _quarter(lane: int, index: str) -> tuple[str, str]:
    """Let every lane choose within its own four lanes by the low two bits of its index."""
    code = f"  %q{lane} = and i32 {index}, 3\n  %p{lane} = add i32 %q{lane}, {lane & ~3}"
    return code, f"%p{lane}"


SEMANTICS = {
    "llvm.x86.avx.vpermilvar.ps.256": (8, False, _quarter),
    "llvm.x86.avx2.permps": (8, False, _whole(8)),
    "llvm.x86.avx512.vpermilvar.ps.512": (16, False, _quarter),
    "llvm.x86.avx512.permvar.sf.512": (16, False, _whole(16)),
    "llvm.x86.avx512.vpermi2var.ps.512": (16, True, _whole(32)),
}


def emulated(level: str) -> Target:
    """Return a target that plans like `level` and whose code, once `emulate`d, runs here."""
    plainest = target.runnable(native.host())[0].name
    host = target.resolve(plainest, native.host())
    wide = target.named(level)
    return replace(
        wide, triple=host.triple, cpu=host.cpu, features=host.features, requires=host.requires
    )


def emulate(ir: str) -> str:
    """Replace each declared shuffle by its definition."""
    for name, (lanes, two, pick) in SEMANTICS.items():
        own = "emulated." + name.removeprefix("llvm.")
        declaration = re.compile(rf"^declare .*@{re.escape(name)}\(.*$", re.MULTILINE)
        if declaration.search(ir):
            body = _define(own, lanes, two, pick)
            ir = declaration.sub(lambda _, body=body: body, ir).replace(f"@{name}(", f"@{own}(")
    return ir
