"""`python3 -m harness.cli`: the command without an installation."""

import sys

if __name__ == "__main__":
    # Python looks into the working directory first, where a user's file may be called select.py: last will do.
    sys.path.append(sys.path.pop(0))

    from harness.cli.app import main

    main()
