"""Attacks and accidents at length, in one table: `make trust`.

Each row is a module with a function that does one kind of harm for as long as it is given, and
returns what it did and what failed. Tests run the same functions for a few seconds.
"""
