"""``python -m mongospec_cli``: the command, of the Python that runs it."""

import sys

from mongospec_cli.command import main

if __name__ == "__main__":
    sys.exit(main())
