"""``python -m maddjit`` is the command line."""

import sys

from maddjit.cli import main

sys.exit(main())
