"""`python -m tools NAME ...`: the command `tritile` without installing it."""

import sys

from .command import main

sys.exit(main())
