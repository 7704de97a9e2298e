"""The physical limit: reading all of an array once, or writing all of it once, at full width."""

from __future__ import annotations

import ctypes
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness.timing import Candidate
from maddjit.compiler import llvm
from maddjit.compiler.target import resolve

_CALLS = 256
"""Calls after which the random places of `read_runs` come again."""
STEP = 512
"""Bytes in one turn of a loop. LLVM makes them as many registers as that takes."""

_LOOP = """
define void @stream(ptr %place, i64 %bytes, ptr %sink) {{
entry:
  br label %loop
loop:
  %at = phi i64 [ 0, %entry ], [ %next, %loop ]
  %seen = phi <64 x i64> [ zeroinitializer, %entry ], [ %all, %loop ]
  %here = getelementptr i8, ptr %place, i64 %at
  {body}
  %next = add i64 %at, 512
  %more = icmp ult i64 %next, %bytes
  br i1 %more, label %loop, label %done
done:
  store volatile <64 x i64> %all, ptr %sink, align 8
  ret void
}}
!0 = !{{i32 1}}
"""
_READ = "%line = load <64 x i64>, ptr %here, align 4\n  %all = or <64 x i64> %seen, %line"
_WRITE = "%all = or <64 x i64> %seen, splat (i64 1)\n  store <64 x i64> splat (i64 1), ptr %here"


def stream(name: str, body: str, array: NDArray[np.generic]) -> Candidate:
    """Return a candidate that streams over an array's whole steps, from a cache line's start on."""
    target = resolve(None, llvm.host())
    loaded = llvm.load(llvm.to_object(_LOOP.format(body=body), target), "stream", target)
    function = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)(
        loaded.address
    )
    sink = np.empty(64, np.int64)
    skipped = -array.ctypes.data % 64
    place, size = array.ctypes.data + skipped, (array.nbytes - skipped) // STEP * STEP
    assert size > 0, "too small to stream"
    names = {"function": function, "place": place, "size": size, "sink": sink.ctypes.data}
    kept = {"loaded": loaded, "array": array, "memory": sink}
    return Candidate(name, "limit", "function(place, size, sink)", names | kept)


def read(A: NDArray[np.generic], name: str = "read A") -> Candidate:
    """Read all of A once."""
    return stream(name, _READ, A)


def streams(A: NDArray[np.generic], Y: NDArray[np.generic]) -> list[Candidate]:
    """Read A, write Y, and write Y past the caches."""
    return [
        read(A),
        stream("write Y", f"{_WRITE}, align 4", Y),
        stream("write Y past the caches", f"{_WRITE}, align 64, !nontemporal !0", Y),
    ]


_RUNS = """
define void @runs(ptr %table, ptr %starts, i64 %runs, i64 %bytes, ptr %sink) {
entry:
  br label %run
run:
  %n = phi i64 [ 0, %entry ], [ %following, %ran ]
  %sum = phi <64 x i64> [ zeroinitializer, %entry ], [ %all, %ran ]
  %place = getelementptr i64, ptr %starts, i64 %n
  %start = load i64, ptr %place
  br label %loop
loop:
  %at = phi i64 [ 0, %run ], [ %next, %loop ]
  %seen = phi <64 x i64> [ %sum, %run ], [ %all, %loop ]
  %offset = add i64 %start, %at
  %here = getelementptr i8, ptr %table, i64 %offset
  %line = load <64 x i64>, ptr %here, align 4
  %all = or <64 x i64> %seen, %line
  %next = add i64 %at, 512
  %more = icmp ult i64 %next, %bytes
  br i1 %more, label %loop, label %ran
ran:
  %following = add i64 %n, 1
  %again = icmp ult i64 %following, %runs
  br i1 %again, label %run, label %done
done:
  store volatile <64 x i64> %all, ptr %sink, align 8
  ret void
}
"""


def read_runs(table_bytes: int, runs: int, run_bytes: int, Y: NDArray[np.generic]) -> Candidate:
    """Read runs of bytes at random places of a table, other ones each time, and write Y once."""
    target = resolve(None, llvm.host())
    loaded = llvm.load(llvm.to_object(_RUNS, target), "runs", target)
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    function = ctypes.CFUNCTYPE(None, pointer, pointer, number, number, pointer)(loaded.address)
    table, sink = np.ones(table_bytes, np.uint8), np.empty(64, np.int64)
    size = run_bytes // STEP * STEP
    rng = np.random.default_rng(0)
    starts = rng.integers(0, (table_bytes - size) // 64, (_CALLS, runs)) * 64
    each = cycle(starts.ctypes.data + starts.strides[0] * i for i in range(_CALLS))
    arguments = (table.ctypes.data, runs, size, sink.ctypes.data)
    written = stream("write", f"{_WRITE}, align 4", Y).names
    names = {f"write_{name}": value for name, value in written.items()}
    names |= dict(zip(("table", "runs", "size", "sink"), arguments, strict=True))
    names |= {"read": function, "next": next, "each": each, "kept": (loaded, table, starts, sink)}
    run = (
        "read(table, next(each), runs, size, sink); "
        "write_function(write_place, write_size, write_sink)"
    )
    return Candidate("read runs", "limit", run, names)
