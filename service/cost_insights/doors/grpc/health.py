"""The standard health service: SERVING as long as the database answers.

Calls are tried whatever the status is: it is for load balancers, which send calls elsewhere, and
for supervisors, which restart the process.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from cost_insights.errors import FAILURES
from cost_insights.store import Store

_ASK_SECONDS = 0.5
"""The time between two checks of the database."""

_ANSWER_SECONDS = 1.2
"""The time limit of a check; together with the time between checks less than two seconds."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """The health of the service as a whole, under the empty name, and of each part."""

    def __init__(self, store: Store, services: Sequence[str]) -> None:
        self._store = store
        self._names = ("", *services)
        self._servicer = health.aio.HealthServicer()
        self._status: int | None = None
        self._thread = ThreadPoolExecutor(1, "health")
        self._watching: asyncio.Task[None] | None = None

    def add_to(self, server: grpc.aio.Server) -> None:
        """Adds the health service to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def start(self) -> None:
        """Reports SERVING, and begins to watch the database."""
        await self._say(_SERVING)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Reports NOT_SERVING from now on."""
        await self._servicer.enter_graceful_shutdown()
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
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
                await self._say(_NOT_SERVING)
                self._store.stop_asking()
            await self._say(_SERVING if await asking else _NOT_SERVING)

    def _answers(self) -> bool:
        try:
            self._store.ask()
        except FAILURES:  # whatever it is, the database has not answered
            return False
        return True

    async def _say(self, status: int) -> None:
        if status != self._status:
            self._status = status
            for name in self._names:
                await self._servicer.set(name, status)
