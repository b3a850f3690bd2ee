"""Environments that targets need, made on demand in the user's cache: one for each set of requirements."""
