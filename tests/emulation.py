"""What the shuffles of each instruction set do, in plain LLVM IR: runs their kernels on any CPU."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from maddjit.compiler import llvm, target
from maddjit.compiler.intrinsics import BYTE_PAIRS, LEAST_WORD, PACKS, WHOLE_NUMBERS, WORDS
from maddjit.compiler.target import Target

Pick = Callable[[int, str, str], tuple[str, str]]


def _define(name: str, lanes: int, element: str, two: bool, pick: Pick) -> str:
    """Define a shuffle lane by lane; `pick` returns IR that names a lane's source, and the name."""
    index = "i32" if element == "float" else element
    vector = f"<{lanes} x {element}>"
    second = f", {vector} %b" if two else ""
    lines = [
        f"define internal {vector} @{name}({vector} %a, <{lanes} x {index}> %index{second}) {{"
    ]
    if two:
        places = ", ".join(f"i32 {i}" for i in range(2 * lanes))
        both = f"<{2 * lanes} x {element}>"
        lines.append(
            f"  %source = shufflevector {vector} %a, {vector} %b, <{2 * lanes} x i32> <{places}>"
        )
    else:
        both = vector
        lines.append(f"  %source = bitcast {vector} %a to {vector}")
    before = "poison"
    for lane in range(lanes):
        code, place = pick(lane, index, f"%i{lane}")
        lines += [
            f"  %i{lane} = extractelement <{lanes} x {index}> %index, i32 {lane}",
            code,
            f"  %x{lane} = extractelement {both} %source, {index} {place}",
            f"  %r{lane} = insertelement {vector} {before}, {element} %x{lane}, i32 {lane}",
        ]
        before = f"%r{lane}"
    return "\n".join([*lines, f"  ret {vector} {before}", "}"])


def _whole(entries: int) -> Pick:
    """Let every lane choose among all entries by the low bits of its index."""
    return lambda lane, kind, index: (
        f"  %p{lane} = and {kind} {index}, {entries - 1}",
        f"%p{lane}",
    )


def _within(size: int) -> Pick:
    """Let every lane choose within its own `size` lanes by the low bits of its index."""

    def pick(lane: int, kind: str, index: str) -> tuple[str, str]:
        low = f"  %q{lane} = and {kind} {index}, {size - 1}"
        return f"{low}\n  %p{lane} = add {kind} %q{lane}, {lane // size * size}", f"%p{lane}"

    return pick


SEMANTICS = {
    "llvm.x86.avx.vpermilvar.ps.256": (8, "float", False, _within(4)),
    "llvm.x86.avx2.permps": (8, "float", False, _whole(8)),
    "llvm.x86.avx512.vpermilvar.ps.512": (16, "float", False, _within(4)),
    "llvm.x86.avx512.permvar.sf.512": (16, "float", False, _whole(16)),
    "llvm.x86.avx512.vpermi2var.ps.512": (16, "float", True, _whole(32)),
    "llvm.x86.avx2.pshuf.b": (32, "i8", False, _within(16)),
    "llvm.x86.avx512.pshuf.b.512": (64, "i8", False, _within(16)),
    "llvm.x86.avx512.permvar.qi.512": (64, "i8", False, _whole(64)),
    "llvm.x86.avx512.vpermi2var.qi.512": (64, "i8", True, _whole(128)),
}
"""What codes of tables never ask for is left out: a byte shuffle's zero for a negative index."""

_PACKED = (
    *((n, name, 4, -(2**15), 2**15 - 1) for n, (name, _) in PACKS.items()),
    *((n, name, 2, 0, 255) for n, (_, name) in PACKS.items()),
    *((n, name, 2, -128, 127) for n, words in WORDS.items() for name in words.packs[:1]),
    *((n, name, 4, 0, 2**16 - 1) for n, words in WORDS.items() if (name := words.narrow)),
)
_PACKS = {name: (n // size, size, low, high) for n, name, size, low, high in _PACKED}
_PACKS |= {each.pack: (size // 2, 2, -128, 127) for size, each in WHOLE_NUMBERS.items()}
"""Of each pack: lanes of a vector, bytes of a lane, and the limits of what it becomes."""


def _define_pack(name: str, lanes: int, size: int, low: int, high: int) -> str:
    """Define a pack: clamp two vectors, then alternate between their groups of 16 bytes."""
    wide, narrow, per_group = f"i{8 * size}", f"i{4 * size}", 16 // size
    vector, both = f"<{lanes} x {wide}>", f"<{2 * lanes} x {wide}>"
    places = [
        half + group + i
        for group in range(0, lanes, per_group)
        for half in (0, lanes)
        for i in range(per_group)
    ]
    mask = ", ".join(f"i32 {place}" for place in places)
    return f"""
define internal <{2 * lanes} x {narrow}> @{name}({vector} %a, {vector} %b) {{
  %all = shufflevector {vector} %a, {vector} %b, <{2 * lanes} x i32> <{mask}>
  %is.low = icmp slt {both} %all, splat ({wide} {low})
  %raised = select <{2 * lanes} x i1> %is.low, {both} splat ({wide} {low}), {both} %all
  %is.high = icmp sgt {both} %raised, splat ({wide} {high})
  %clamped = select <{2 * lanes} x i1> %is.high, {both} splat ({wide} {high}), {both} %raised
  %narrow = trunc {both} %clamped to <{2 * lanes} x {narrow}>
  ret <{2 * lanes} x {narrow}> %narrow
}}"""


def _define_product(name: str, lanes: int) -> str:
    """Define a product of words: the upper half of twice the product, rounded."""
    words, numbers = f"<{lanes} x i16>", f"<{lanes} x i32>"
    return f"""
define internal {words} @{name}({words} %a, {words} %b) {{
  %wide.a = sext {words} %a to {numbers}
  %wide.b = sext {words} %b to {numbers}
  %product = mul {numbers} %wide.a, %wide.b
  %near = add {numbers} %product, splat (i32 16384)
  %upper = ashr {numbers} %near, splat (i32 15)
  %word = trunc {numbers} %upper to {words}
  ret {words} %word
}}"""


def _define_words(name: str, lanes: int) -> str:
    """Define products of words, two of which are added."""
    words, wide = f"<{2 * lanes} x i16>", f"<{2 * lanes} x i32>"
    even, odd = (", ".join(f"i32 {2 * i + side}" for i in range(lanes)) for side in (0, 1))
    return f"""
define internal <{lanes} x i32> @{name}({words} %a, {words} %b) {{
  %left = sext {words} %a to {wide}
  %right = sext {words} %b to {wide}
  %products = mul {wide} %left, %right
  %even = shufflevector {wide} %products, {wide} poison, <{lanes} x i32> <{even}>
  %odd = shufflevector {wide} %products, {wide} poison, <{lanes} x i32> <{odd}>
  %sums = add <{lanes} x i32> %even, %odd
  ret <{lanes} x i32> %sums
}}"""


def _define_byte_pairs(name: str, lanes: int) -> str:
    """Define products of unsigned and signed bytes, two of which are added and clipped to words."""
    both, wide = f"<{2 * lanes} x i8>", f"<{2 * lanes} x i32>"
    words, numbers = f"<{lanes} x i16>", f"<{lanes} x i32>"
    even, odd = (", ".join(f"i32 {2 * i + side}" for i in range(lanes)) for side in (0, 1))
    return f"""
define internal {words} @{name}({both} %a, {both} %b) {{
  %left = zext {both} %a to {wide}
  %right = sext {both} %b to {wide}
  %products = mul {wide} %left, %right
  %even = shufflevector {wide} %products, {wide} poison, <{lanes} x i32> <{even}>
  %odd = shufflevector {wide} %products, {wide} poison, <{lanes} x i32> <{odd}>
  %sums = add {numbers} %even, %odd
  %is.low = icmp slt {numbers} %sums, splat (i32 -32768)
  %raised = select <{lanes} x i1> %is.low, {numbers} splat (i32 -32768), {numbers} %sums
  %is.high = icmp sgt {numbers} %raised, splat (i32 32767)
  %clipped = select <{lanes} x i1> %is.high, {numbers} splat (i32 32767), {numbers} %raised
  %result = trunc {numbers} %clipped to {words}
  ret {words} %result
}}"""


def _define_least_word(name: str) -> str:
    """Define the least of eight words without signs; the place that follows it is left out."""
    lines, before = [], "%w0"
    for i in range(8):
        lines.append(f"  %w{i} = extractelement <8 x i16> %a, i32 {i}")
        if i:
            lines.append(f"  %c{i} = icmp ult i16 {before}, %w{i}")
            lines.append(f"  %m{i} = select i1 %c{i}, i16 {before}, i16 %w{i}")
            before = f"%m{i}"
    body = "\n".join(lines)
    return f"""
define internal <8 x i16> @{name}(<8 x i16> %a) {{
{body}
  %least = insertelement <8 x i16> zeroinitializer, i16 {before}, i32 0
  ret <8 x i16> %least
}}"""


def _define_round(name: str, lanes: int) -> str:
    """Define rounding to 32 bits, for numbers that are saturated to fewer bits later."""
    vector, more = f"<{lanes} x float>", ", <16 x i32> %z, i16 %m, i32 %r" * ("mask" in name)
    return f"""
define internal <{lanes} x i32> @{name}({vector} %a{more}) {{
  %is.low = fcmp olt {vector} %a, splat (float -1048576.0)
  %raised = select <{lanes} x i1> %is.low, {vector} splat (float -1048576.0), {vector} %a
  %is.high = fcmp ogt {vector} %raised, splat (float 1048576.0)
  %clamped = select <{lanes} x i1> %is.high, {vector} splat (float 1048576.0), {vector} %raised
  %up = fadd {vector} %clamped, splat (float 0x4168000000000000)
  %rounded = fsub {vector} %up, splat (float 0x4168000000000000)
  %whole = fptosi {vector} %rounded to <{lanes} x i32>
  ret <{lanes} x i32> %whole
}}"""


_DOT = (
    """
define internal <16 x i32> @emulated.dot(<16 x i32> %sums, <16 x i32> %left, <16 x i32> %right) {
  %a.bytes = bitcast <16 x i32> %left to <64 x i8>
  %b.bytes = bitcast <16 x i32> %right to <64 x i8>
  %a = zext <64 x i8> %a.bytes to <64 x i32>
  %b = sext <64 x i8> %b.bytes to <64 x i32>
  %products = mul <64 x i32> %a, %b
"""
    + "".join(
        f"  %p{i} = shufflevector <64 x i32> %products, <64 x i32> poison, <16 x i32> "
        f"<{', '.join(f'i32 {4 * lane + i}' for lane in range(16))}>\n"
        for i in range(4)
    )
    + """
  %s0 = add <16 x i32> %sums, %p0
  %s1 = add <16 x i32> %s0, %p1
  %s2 = add <16 x i32> %s1, %p2
  %s3 = add <16 x i32> %s2, %p3
  ret <16 x i32> %s3
}
"""
)
"""Products of unsigned and signed bytes, four of which are added to each sum."""


def emulated(level: str) -> Target:
    """Return a target that plans like `level` and whose code, once `emulate`d, runs here."""
    plainest = target.runnable(llvm.host())[0].name
    host = target.resolve(plainest, llvm.host())
    wide = target.named(level)
    return replace(
        wide,
        triple=host.triple,
        cpu=host.cpu,
        features=host.features,
        requires=host.requires,
        fuses=host.fuses,
        converts_half=host.converts_half,
    )


def emulate(ir: str) -> str:
    """Replace each declared intrinsic of an architecture by its definition.

    LLVM would abort the process on one that is left, since it is not the plainest level's.
    """
    dot = "llvm.x86.avx512.vpdpbusd.512"
    ir = re.sub(rf"^declare .*@{re.escape(dot)}\(.*$", lambda _: _DOT, ir, flags=re.MULTILINE)
    ir = ir.replace(f"@{dot}(", "@emulated.dot(")
    for name, what in SEMANTICS.items():
        ir = _replaced(ir, name, lambda own, what=what: _define(own, *what))
    for name, pack in _PACKS.items():
        ir = _replaced(ir, name, lambda own, pack=pack: _define_pack(own, *pack))
    for n_bytes, words in WORDS.items():
        ir = _replaced(
            ir, words.product, lambda own, lanes=n_bytes // 2: _define_product(own, lanes)
        )
    for n_bytes, each in WHOLE_NUMBERS.items():
        for name, define in ((each.products, _define_words), (each.round, _define_round)):
            ir = _replaced(
                ir, name, lambda own, lanes=n_bytes // 4, define=define: define(own, lanes)
            )
    for n_bytes, pairs in BYTE_PAIRS.items():
        ir = _replaced(ir, pairs, lambda own, lanes=n_bytes // 2: _define_byte_pairs(own, lanes))
    ir = _replaced(ir, LEAST_WORD, _define_least_word)
    left = re.findall(r"^declare .*@(llvm\.(?:x86|aarch64)\.[\w.]+)\(", ir, re.MULTILINE)
    assert not left, f"SEMANTICS lacks {', '.join(left)}"
    return ir


def _replaced(ir: str, name: str, define: Callable[[str], str]) -> str:
    """Replace the declaration of an intrinsic, if there is one, by what `define` makes of a name.

    All calls are of that name then.
    """
    declaration = re.compile(rf"^declare .*@{re.escape(name)}\(.*$", re.MULTILINE)
    if not declaration.search(ir):
        return ir
    own = "emulated." + name.removeprefix("llvm.")
    body = define(own)
    return declaration.sub(lambda _: body, ir).replace(f"@{name}(", f"@{own}(")
