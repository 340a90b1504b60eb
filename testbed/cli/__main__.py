"""`python -m testbed.cli`: the same as `bellwire`."""

import sys

from testbed.cli import main

if __name__ == "__main__":
    sys.exit(main())
