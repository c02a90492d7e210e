"""The seam for traces: spans of calls and of their steps, and nothing where nobody traces."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol, TypeAlias

Facts: TypeAlias = Mapping[str, str | int | float]
"""What is known of a span; nothing that a caller has sent but the id of its request."""


class Span(Protocol):
    """Something that takes time, within something else; any thread may use it."""

    def rename(self, name: str) -> None:
        """Changes the name, where it is not known from the beginning."""

    def child(self, name: str, facts: Facts, callers: Sequence["Span"] = ()) -> "Span":
        """Begins a step of it, which is done for all of these callers."""

    def end(self, facts: Facts, *, error: str | None = None) -> None:
        """Ends it; `error` says what failed, if anything did."""


class Tracer(Protocol):
    """Begins the spans of calls."""

    def begin(self, name: str, header: Callable[[str], str | None]) -> Span:
        """Begins the span of a call, which continues the trace that its headers name."""


_current: ContextVar[Span | None] = ContextVar("span", default=None)


def current_span() -> Span | None:
    """The span of what the current task or thread works for, if it is traced."""
    return _current.get()


def continue_with(span: Span) -> None:
    """Makes a span that of the current task and of the tasks that it begins."""
    _current.set(span)


@contextmanager
def step(name: str, facts: Facts | None = None, parent: Span | None = None) -> Iterator[None]:
    """Traces a block as a step of `parent`, or else of what the task or thread works for."""
    parent = parent or _current.get()
    if parent is None:
        yield
        return
    span = parent.child(name, facts or {})
    before = _current.set(span)
    try:
        yield
    except BaseException as error:
        span.end({}, error=type(error).__name__)
        raise
    else:
        span.end({})
    finally:
        _current.reset(before)
