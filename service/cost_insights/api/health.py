"""Whether the service can answer: as long as the database does, and nobody has told it to stop.

Calls are tried whatever the health is: it is for load balancers, which send calls elsewhere, and
for supervisors, which restart the process.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from cost_insights.errors import FAILURES
from cost_insights.store import Store

_ASK_SECONDS = 0.5
"""The time between two checks of the database."""

_ANSWER_SECONDS = 1.2
"""The time limit of a check; together with the time between checks less than two seconds."""

Listen = Callable[[bool], Awaitable[None]]
"""Takes whether the service can answer from now on."""


class Health:
    """Watches the database and tells the doors when the health of the service changes."""

    def __init__(self, store: Store) -> None:
        self.serving = False
        self._store = store
        self._listeners: list[Listen] = []
        self._thread = ThreadPoolExecutor(1, "health")
        self._watching: asyncio.Task[None] | None = None

    def add_listener(self, listen: Listen) -> None:
        """Calls `listen` at every change from now on."""
        self._listeners.append(listen)

    async def start(self) -> None:
        """Reports that the service can answer, and begins to watch the database."""
        await self._say(serving=True)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Reports that the service cannot answer, from now on."""
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        await self._say(serving=False)
        self._store.stop_asking()
        # Its connection must be back in the pool before the pool is closed.
        await asyncio.to_thread(self._thread.shutdown)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            # The check has a thread of its own, because all others may be busy.
            asking = loop.run_in_executor(self._thread, self._answers)
            await asyncio.wait((asking,), timeout=_ANSWER_SECONDS)
            if not asking.done():
                await self._say(serving=False)
                self._store.stop_asking()
            await self._say(serving=await asking)

    def _answers(self) -> bool:
        try:
            self._store.ask()
        except FAILURES:  # whatever it is, the database has not answered
            return False
        return True

    async def _say(self, *, serving: bool) -> None:
        if serving != self.serving:
            self.serving = serving
            for listen in self._listeners:
                await listen(serving)
