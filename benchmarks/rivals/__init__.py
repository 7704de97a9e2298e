"""Everything that maddjit is compared with.

`METHODS` multiply any A behind one interface: ``method.fit(A_train, B, setting, seed)`` returns a
callable A → Y, float32 of shape (N, M), and its time is what calling it takes.
`candidates` and `winners` time one given product into memory that is there. Each library uses one
thread if it was told to.
"""

from benchmarks.rivals import codebooks, eight_bit, low_rank, published
from benchmarks.rivals.method import Apply, Method, installed

METHODS: tuple[Method, ...] = (
    eight_bit.BFLOAT16,
    *eight_bit.METHODS,
    *low_rank.METHODS,
    *codebooks.METHODS,
    *published.METHODS,
)

__all__ = ["METHODS", "Apply", "Method", "installed"]
