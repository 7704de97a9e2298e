"""The process that emits code for targets this machine may lack; nothing else imports it."""

from __future__ import annotations

import json
import sys

from maddjit.compiler.llvm import to_object, to_text
from maddjit.compiler.target import Target


def main() -> None:
    """Read a request as JSON from standard input, write text or object code to standard output."""
    request = json.load(sys.stdin)
    fields = request["target"]
    fields["requires"] = frozenset(fields["requires"])
    fields["intrinsics"] = tuple(fields["intrinsics"])
    ir, stage, target = request["ir"], request["stage"], Target(**fields)
    if stage == "object":
        made = to_object(ir, target, request["hidden"])
    else:
        made = to_text(ir, target, stage).encode()
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    main()
