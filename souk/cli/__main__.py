"""`python -m souk.cli` is `souk`."""

import sys

from souk.cli import main

sys.exit(main())
