"""What takes too long for every run of the tests; CONTRIBUTING.md lists the commands."""
