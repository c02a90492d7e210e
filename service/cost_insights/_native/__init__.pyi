"""What is done once per event or once per cell, in Rust.

Nothing here does I/O, reads a clock or keeps a Python object. Whole batches
cross the border, the interpreter lock is released while they are worked on, and
what is wrong with them comes back as data. Amounts are picocents: integers, 10¹²
a cent.

The sub-modules are part of one built file, `_native.abi3.so`; in this folder are their
stubs alone.
"""

from cost_insights._native import amounts, answers, cells, commit, events, faults, ids, ledger

__all__ = [
    "PanicException",
    "amounts",
    "answers",
    "cells",
    "commit",
    "events",
    "faults",
    "ids",
    "ledger",
]

class PanicException(BaseException):
    """Something in here is wrong: a bug, which Python does not count among its exceptions."""
