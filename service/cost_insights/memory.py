"""The memory of this process, as the C library and the system see it."""

import ctypes
import resource
from pathlib import Path
from typing import Final

_PAGE_BYTES: Final = resource.getpagesize()

_LIBRARY: Final = ctypes.CDLL(None)

_M_ARENA_MAX: Final = -8
"""The number of a parameter of `mallopt`, from malloc.h of the GNU C library."""


class _Mallinfo2(ctypes.Structure):
    """The structure of that name in malloc.h."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    )


def use_one_heap() -> None:
    """Lets all threads allocate from one heap.

    With one for each thread, what was freed in one is of no use to the others: large requests that
    are refused again and again would leave twice as much memory behind as the budget allows. The
    interpreter's lock lets few threads allocate at the same time in any case. To be called before
    the process has other threads: each keeps the heap that it got first.
    """
    # Other C libraries have one heap, or no such parameter.
    if (mallopt := getattr(_LIBRARY, "mallopt", None)) is not None:
        mallopt(_M_ARENA_MAX, 1)


def resident_bytes() -> int:
    """The memory that this process has in use, with the files that it maps.

    Where the system does not tell, it is the most that was in use so far.
    """
    try:
        _, resident, *_ = _pages()
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1_024
    return resident * _PAGE_BYTES


def private_bytes() -> int:
    """The memory that this process holds for itself, freed memory that it has kept included.

    0 where the system does not tell.
    """
    try:
        _, resident, shared, *_ = _pages()
    except OSError:
        return 0
    return (resident - shared) * _PAGE_BYTES


def _pages() -> list[int]:
    """The size of the program, its resident pages, the shared ones of these, and more."""
    return [int(field) for field in Path("/proc/self/statm").read_text().split()]


def allocated_bytes() -> int:
    """The memory that is allocated and not freed; takes milliseconds where much is free.

    Objects of Python of up to 512 bytes do not count: they have an allocator of their own. With a C
    library that does not tell, all that the process holds for itself counts.
    """
    if (mallinfo2 := getattr(_LIBRARY, "mallinfo2", None)) is None:
        return private_bytes()
    mallinfo2.restype = _Mallinfo2
    found = mallinfo2()
    return int(found.uordblks + found.hblkhd)
