"""Train and test parts that share no group, the same on every run."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from numpy.typing import NDArray


def digest(text: str) -> int:
    """Return 64 bits of a text's SHA-256."""
    content = text.encode(errors="surrogateescape")
    return int.from_bytes(hashlib.sha256(content).digest()[:8], "big")


def directory_group(path: PurePath) -> str:
    """Return the last two folder names without version numbers: copies of a package share them."""
    return re.sub(r"\d+(\.\d+)*", "", "/".join(path.parent.parts[-2:]))


def in_test(groups: Sequence[str], labels: Sequence[str], share: float) -> NDArray[np.bool_]:
    """Mark what is for testing: about `share` of each label, of its groups all or nothing.

    A group with files of several labels counts as one group for each of them.
    """
    sizes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for group, label in zip(groups, labels, strict=True):
        sizes[label][group] += 1
    chosen = set()
    for label, counts in sizes.items():
        left = round(share * counts.total())
        for group in sorted(counts, key=digest):
            if counts[group] <= left:
                left -= counts[group]
                chosen.add((group, label))
    return np.array([pair in chosen for pair in zip(groups, labels, strict=True)], bool)
