"""The methods that MADDNESS was compared with and a few more, all behind one interface.

`method.fit(A_train, B, setting, seed)` returns a callable A → Y, float32 of shape (N, M). Its time
is what calling it takes. Each uses one thread if the libraries below it were told to. Time it with
as many rows as are wanted after a first call with as many.

    left_out = {}
    for method in installed(METHODS, left_out):
        for setting in method.settings(D, M):
            multiply = method.fit(A_train, B, setting, 0)
            Y = multiply(A)
"""

from methods import codebooks, exact, low_rank, published, sketches, streaming
from methods.record import Apply, Fit, Method, installed

METHODS: tuple[Method, ...] = (
    *exact.METHODS,
    *low_rank.METHODS,
    *sketches.METHODS,
    *streaming.METHODS,
    *codebooks.METHODS,
    *published.METHODS,
)

__all__ = ["METHODS", "Apply", "Fit", "Method", "installed"]
