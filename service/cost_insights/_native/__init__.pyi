"""The work done once per event or once per cell, in Rust.

Nothing here does I/O, reads a clock or keeps a Python object. Whole batches
cross the border, the interpreter lock is released while they are processed, and
their faults come back as data. Amounts are picocents: integers, 10¹²
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
    """A bug in the native module; it is a BaseException, so that no handler hides it."""
