"""`souk` whose servers wait for each part for half of a request's time: a machine that stops for a second is no fault.

python -m tests.patient serve ...
"""

import math
import sys

from souk.cli import main
from souk.serving import budget

if __name__ == "__main__":
    budget.PATIENCE = math.inf
    sys.exit(main())
