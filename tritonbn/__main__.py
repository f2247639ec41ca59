"""`python -m tritonbn`: the command `tritonbn`."""

import sys

from tritonbn.cli import main

if __name__ == "__main__":
    sys.exit(main())
