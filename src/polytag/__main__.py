"""``python -m polytag`` is the command line."""

import sys

from polytag.cli import main

sys.exit(main())
