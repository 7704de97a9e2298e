"""The process that emits code for targets this machine may lack; nothing else imports it."""

from __future__ import annotations

import json
import sys

from maddjit.compiler.native import to_text
from maddjit.compiler.target import Target


def main() -> None:
    """Read a request as JSON from standard input, write the text to standard output."""
    request = json.load(sys.stdin)
    fields = request["target"]
    fields["requires"] = frozenset(fields["requires"])
    fields["intrinsics"] = tuple(fields["intrinsics"])
    sys.stdout.write(to_text(request["ir"], Target(**fields), request["stage"]))


if __name__ == "__main__":
    main()
