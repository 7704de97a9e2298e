"""Stores of some lanes of a vector, and no others."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Store:
    """Some neighbouring lanes of a vector, and the offset that they are stored at."""

    lanes: tuple[int, ...]
    byte_offset: int


def exact_stores(n_lanes: int, itemsize: int, first: int = 0) -> tuple[Store, ...]:
    """Return stores of the first `n_lanes` lanes: one for each binary digit, the largest first.

    `first` is the number of elements between the base address and lane 0.

    >>> [(len(store.lanes), store.byte_offset) for store in exact_stores(11, 4)]
    [(8, 0), (2, 32), (1, 40)]
    """
    stores: list[Store] = []
    done = 0
    while done < n_lanes:
        size = 1 << ((n_lanes - done).bit_length() - 1)
        stores.append(Store(tuple(range(done, done + size)), (first + done) * itemsize))
        done += size
    return tuple(stores)
