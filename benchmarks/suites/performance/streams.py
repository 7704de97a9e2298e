"""The physical limit: reading all of an array once, or writing all of it once, at full width."""

from __future__ import annotations

import ctypes

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.timing import Candidate
from maddjit.compiler import llvm
from maddjit.compiler.target import resolve

STEP = 512
"""Bytes in one turn of a loop: four vectors of 128 bytes, so that four reads overlap."""

_LOOP = """
define void @{symbol}(ptr %place, i64 %bytes, ptr %sink) {{
entry:
  br label %loop
loop:
  %at = phi i64 [ 0, %entry ], [ %next, %loop ]
{before}
  %here0 = getelementptr i8, ptr %place, i64 %at
  %here1 = getelementptr i8, ptr %here0, i64 128
  %here2 = getelementptr i8, ptr %here0, i64 256
  %here3 = getelementptr i8, ptr %here0, i64 384
{body}
  %next = add i64 %at, 512
  %more = icmp ult i64 %next, %bytes
  br i1 %more, label %loop, label %done
done:
{after}
  ret void
}}
"""


def _lines(pattern: str) -> str:
    return "\n".join(pattern.replace("#", str(i)) for i in range(4))


def _ir(symbol: str) -> str:
    if symbol == "stream_read":
        return _LOOP.format(
            symbol=symbol,
            before=_lines(
                "  %seen# = phi <16 x i64> [ zeroinitializer, %entry ], [ %all#, %loop ]"
            ),
            body=_lines(
                "  %line# = load <16 x i64>, ptr %here#, align 4\n"
                "  %all# = or <16 x i64> %seen#, %line#"
            ),
            after=_lines("  store volatile <16 x i64> %all#, ptr %sink, align 8"),
        )
    how = "align 64, !nontemporal !0" if symbol == "stream_past_caches" else "align 4"
    stores = _lines(f"  store <16 x i64> splat (i64 1), ptr %here#, {how}")
    return _LOOP.format(symbol=symbol, before="", body=stores, after="") + "!0 = !{i32 1}\n"


def stream(name: str, symbol: str, array: NDArray[np.generic]) -> Candidate:
    """Return a candidate that streams over an array's whole steps, from a cache line's start on."""
    target = resolve(None, llvm.host())
    loaded = llvm.load(llvm.to_object(_ir(symbol), target), symbol, target)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(
        loaded.address
    )
    sink = np.empty(16, np.int64)
    skipped = -array.ctypes.data % 64
    place, size = array.ctypes.data + skipped, (array.nbytes - skipped) // STEP * STEP
    assert size > 0, "too small to stream"
    names = {"function": function, "place": place, "size": size, "sink": sink.ctypes.data}
    kept = {"loaded": loaded, "array": array, "memory": sink}
    return Candidate(name, "limit", "function(place, size, sink)", names | kept)


def read(A: NDArray[np.generic], name: str = "read A") -> Candidate:
    """Read all of A once."""
    return stream(name, "stream_read", A)


def streams(A: NDArray[np.generic], Y: NDArray[np.generic]) -> list[Candidate]:
    """Read A, write Y, and write Y past the caches."""
    return [
        read(A),
        stream("write Y", "stream_write", Y),
        stream("write Y past the caches", "stream_past_caches", Y),
    ]
