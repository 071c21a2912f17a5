"""Makes `python -m rugtheory.cli` work."""

import sys

from . import main

sys.exit(main())
