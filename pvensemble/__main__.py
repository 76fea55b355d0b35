"""``python -m pvensemble`` is the command line."""

import sys

from pvensemble.cli import main

sys.exit(main())
