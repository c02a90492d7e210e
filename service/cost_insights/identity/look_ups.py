"""Look-ups of access tokens: many in one statement, each kept for a moment."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from cost_insights.store import Store

_KEPT_MAX = 10_000
_KEYS_MAX = 2_000
"""The greatest number of keys in one statement."""

_RENEWED_FROM = 0.5
"""The part of its time after which what is kept is renewed, if it was used meanwhile."""

_V = TypeVar("_V")


@dataclass
class _Kept(Generic[_V]):
    """What a look-up found."""

    value: _V
    since: float
    """The time at which the look-up began: what was committed later may be missing."""

    is_used: bool = False


@dataclass(eq=False)
class _Group(Generic[_V]):
    """The keys of one statement, which may be tried several times."""

    keys: set[bytes] = field(default_factory=set)
    since: float = 0
    """The time at which its latest attempt began; 0 before the first, while keys may join."""

    asking: "asyncio.Task[Mapping[bytes, _V]]" = field(init=False)
    is_done: asyncio.Event = field(default_factory=asyncio.Event)


class LookUps(Generic[_V]):
    """Looks up keys in the database, from a thread of its own.

    All that are wanted while a statement runs are in the next one. What was found is kept, and
    looked up again, together with all else that is in use, before its time is over: so calls
    seldom wait, and the statements do not multiply with the keys.
    """

    def __init__(
        self,
        store: Store,
        find: Callable[[Collection[bytes]], Mapping[bytes, _V]],
        *,
        keep_seconds: float,
    ) -> None:
        """`find` looks up keys in the database, and leaves out those that it does not find."""
        self._store = store
        self._find = find
        self._keep_seconds = keep_seconds
        self._kept: OrderedDict[bytes, _Kept[_V]] = OrderedDict()
        self._renew_at = 0.0
        self._next: _Group[_V] | None = None
        self._running: dict[bytes, _Group[_V]] = {}
        self._turn = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="look-ups")

    def close(self) -> None:
        """Ends the thread."""
        self._thread.shutdown()

    def kept(self, key: bytes) -> _V | None:
        """The value of a key, if it is kept."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        now = time.monotonic()
        if now >= kept.since + self._keep_seconds:
            return None
        kept.is_used = True
        if now >= self._renew_at:
            self._renew(now)
        return kept.value

    async def value(self, key: bytes) -> _V | None:
        """The value of a key, None if there is none; whoever waits for the same shares it."""
        group = self._running.get(key)
        if group is None or time.monotonic() >= group.since + self._keep_seconds:
            group = self._group_of(key)
        # The task is not awaited directly: a caller who gives up must not end it for the others.
        await group.is_done.wait()
        return group.asking.result().get(key)

    def _group_of(self, key: bytes) -> _Group[_V]:
        """The group whose statement is still to come, with this key in it."""
        group = self._next
        if group is None or len(group.keys) >= _KEYS_MAX:
            group = self._next = _Group()
            group.asking = asyncio.create_task(self._store.retrying(self._ask, group))
            group.asking.add_done_callback(partial(self._end, group))
        group.keys.add(key)
        return group

    async def _ask(self, group: _Group[_V]) -> Mapping[bytes, _V]:
        async with self._turn:
            if self._next is group:
                self._next = None
            group.since = time.monotonic()
            self._running.update(dict.fromkeys(group.keys, group))
            return await asyncio.get_running_loop().run_in_executor(
                self._thread, self._find, group.keys
            )

    def _end(self, group: _Group[_V], asking: "asyncio.Task[Mapping[bytes, _V]]") -> None:
        group.is_done.set()
        for key in group.keys:
            if self._running.get(key) is group:
                del self._running[key]
        if self._next is group:
            self._next = None
        if asking.cancelled() or asking.exception() is not None:
            return
        values = asking.result()
        for key in group.keys:
            if key in values:
                self._kept[key] = _Kept(values[key], group.since)
                self._kept.move_to_end(key)
            else:
                self._kept.pop(key, None)
        while len(self._kept) > _KEPT_MAX:
            self._kept.popitem(last=False)

    def _renew(self, now: float) -> None:
        """Looks up what was used and soon needs it; callers go on with what is kept."""
        before = now - _RENEWED_FROM * self._keep_seconds
        for key, kept in self._kept.items():
            if kept.is_used and kept.since <= before and key not in self._running:
                self._group_of(key)
        # All that are looked up together are renewed together, so this is rarely worth a look.
        self._renew_at = now + _RENEWED_FROM / 2 * self._keep_seconds
