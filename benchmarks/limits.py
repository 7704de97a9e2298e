"""How near operators are to the limit: one streaming read of A and one streaming write of Y.

Each candidate runs right after a `numpy.matmul` of the same arrays, which leaves the caches as a
program with other work would. Row-major float32, `out=` reused, one thread.
"""

from __future__ import annotations

import argparse
import ctypes
from collections.abc import Callable
from time import perf_counter

import numpy as np
from speed import clustered
from threadpoolctl import threadpool_limits

import maddjit
from maddjit.compiler import native
from maddjit.compiler.target import resolve

STREAMS = """
define void @stream_read(ptr %place, i64 %bytes, ptr %sink) {
entry:
  br label %loop
loop:
  %at = phi i64 [ 0, %entry ], [ %next, %loop ]
  %seen = phi <16 x i64> [ zeroinitializer, %entry ], [ %all, %loop ]
  %here = getelementptr i8, ptr %place, i64 %at
  %line = load <16 x i64>, ptr %here, align 4
  %all = or <16 x i64> %seen, %line
  %next = add i64 %at, 128
  %more = icmp ult i64 %next, %bytes
  br i1 %more, label %loop, label %done
done:
  store <16 x i64> %all, ptr %sink, align 8
  ret void
}
define void @stream_write(ptr %place, i64 %bytes, ptr %sink) {
entry:
  br label %loop
loop:
  %at = phi i64 [ 0, %entry ], [ %next, %loop ]
  %here = getelementptr i8, ptr %place, i64 %at
  store <16 x i64> splat (i64 1), ptr %here, align 4
  %next = add i64 %at, 128
  %more = icmp ult i64 %next, %bytes
  br i1 %more, label %loop, label %done
done:
  ret void
}
"""
"""Whole vectors in order; arrays are a multiple of 128 bytes long."""


def stream(symbol: str, array: np.ndarray) -> Callable[[], object]:
    """Return a function that reads or writes all of an array once."""
    target = resolve(None, native.host())
    loaded = native.load(native.to_object(STREAMS, target), symbol, target)
    kind = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p)
    function, sink = kind(loaded.address), np.empty(16, np.int64)
    assert array.nbytes % 128 == 0

    def run() -> object:
        function(array.ctypes.data, array.nbytes, sink.ctypes.data)
        return loaded

    return run


def main(shapes: list[tuple[int, int, int]], n_codebooks: int, rounds: int) -> None:
    """Print nanoseconds a row and ratios for each shape."""
    print(f"C = {n_codebooks}, K = 16; ns a row, medians, each right after a matmul")
    for n_rows, n_features, n_outputs in shapes:
        A = clustered(n_rows, n_features, seed=2)
        B = np.random.default_rng(3).standard_normal((n_features, n_outputs)).astype(np.float32)
        exact, Y = np.empty((2, n_rows, n_outputs), np.float32)
        model = maddjit.fit(clustered(4000, n_features, seed=1), B, n_codebooks)
        op = maddjit.compile(model)
        candidates = {
            "read A": stream("stream_read", A),
            "write Y": stream("stream_write", Y),
            "operator": lambda op=op, A=A, Y=Y: op(A, out=Y),
        }
        times: dict[str, list[float]] = {name: [] for name in ("matmul", *candidates)}
        for _ in range(rounds):
            for name, candidate in candidates.items():
                times["matmul"].append(once(lambda A=A, B=B, exact=exact: np.matmul(A, B, exact)))
                times[name].append(once(candidate))
        rows = {name: 1e9 * float(np.median(t)) / n_rows for name, t in times.items()}
        limit = rows["read A"] + rows["write Y"]
        print(
            f"({n_rows}, {n_features}, {n_outputs}): "
            + ", ".join(f"{name} {ns:.0f}" for name, ns in rows.items())
            + f"; matmul / operator {rows['matmul'] / rows['operator']:.1f}, "
            f"matmul / (read + write) {rows['matmul'] / limit:.1f}, "
            f"operator / (read + write) {rows['operator'] / limit:.2f}",
            flush=True,
        )


def once(candidate: Callable[[], object]) -> float:
    """Return the seconds of one call."""
    start = perf_counter()
    candidate()
    return perf_counter() - start


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--codebooks", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--small", action="store_true", help="one small shape only")
    options = parser.parse_args()
    large = [(10000, 512, 100), (10000, 512, 10), (10000, 512, 1000), (100000, 512, 100)]
    with threadpool_limits(1):
        main([(512, 64, 64)] if options.small else large, options.codebooks, options.rounds)
