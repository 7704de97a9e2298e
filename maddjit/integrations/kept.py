"""Operators that a process compiles once, whichever thread asks first, and keeps until it ends."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Kept(Generic[T]):
    """Values by key, each made when it is first asked for.

    Examples
    --------
    >>> kept: Kept[str] = Kept()
    >>> kept.get("a", lambda: "first"), kept.get("a", lambda: "second"), len(kept)
    ('first', 'first', 1)
    """

    def __init__(self) -> None:
        self._values: dict[str, T] = {}
        self._making = threading.Lock()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Return the value of a key. If there is none, one thread makes it while others wait."""
        if key not in self._values:
            with self._making:
                if key not in self._values:
                    self._values[key] = make()
        return self._values[key]

    def clear(self) -> None:
        """Forget all values, as a new process would."""
        self._values.clear()

    def __len__(self) -> int:
        return len(self._values)
