"""The process that emits code for targets that this machine may lack; no module imports it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from maddjit.compiler.llvm import to_object, to_text
from maddjit.compiler.target import named


def main() -> None:
    """Read a request as JSON from standard input; write text or object code to standard output."""
    request = json.load(sys.stdin)
    ir, stage = request["ir"], request["stage"]
    target = replace(named(request["level"]), **request["target"])
    if stage == "object":
        made = to_object(ir, target, request["hidden"])
    else:
        made = to_text(ir, target, stage).encode()
    sys.stdout.buffer.write(made)


if __name__ == "__main__":
    main()
