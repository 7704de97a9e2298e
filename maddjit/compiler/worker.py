"""The process that emits code for targets that this machine may lack; no module imports it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

from maddjit.compiler.llvm import REFUSED, NativeCodeError, to_object, to_text
from maddjit.compiler.target import named


def main() -> int:
    """Read a request as JSON from standard input; write text or object code to standard output.

    Returns
    -------
    int
        The exit status: 0, or `REFUSED` if LLVM rejects the code. Then standard error has the
        error's text alone.
    """
    request = json.load(sys.stdin)
    ir, stage, linked = request["ir"], request["stage"], request["linked"]
    target = replace(named(request["level"]), **request["target"])
    try:
        if stage == "object":
            made = to_object(ir, target, request["hidden"], linked)
        else:
            made = to_text(ir, target, stage, linked).encode()
    except NativeCodeError as error:
        sys.stderr.buffer.write(str(error).encode())
        return REFUSED
    sys.stdout.buffer.write(made)
    return 0


if __name__ == "__main__":
    sys.exit(main())
