"""The errors that a user can mend: the command line prints them in one line and exits with status 2."""


class UsageError(ValueError):
    """Its message says what was expected, what came, and what to do."""
