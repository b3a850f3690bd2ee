"""`python3 -m harness.cli`: the command without an installation."""

from harness.cli.app import main

if __name__ == "__main__":
    main()
