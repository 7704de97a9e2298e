"""What an operator computes, in NumPy: the definition that compiled code is held to."""

from maddjit.reference.encoding import encode
from maddjit.reference.maddness import (
    Settled,
    added_up,
    apply,
    argmax,
    project,
    scores,
    settle,
    sums,
    topk,
)

__all__ = [
    "Settled",
    "added_up",
    "apply",
    "argmax",
    "encode",
    "project",
    "scores",
    "settle",
    "sums",
    "topk",
]
