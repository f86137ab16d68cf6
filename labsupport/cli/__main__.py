"""`python -m labsupport.cli`: the same as `labs`."""

from __future__ import annotations

import sys

from labsupport.cli import main

sys.exit(main())
