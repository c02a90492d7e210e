"""The standard health service: SERVING as long as the database answers.

Calls are tried whatever health says: it is for those who send calls elsewhere
meanwhile, or who start the process anew.
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
"""For how long the database is left alone after each question."""

_ANSWER_SECONDS = 1.2
"""How long it may take to answer; with the time before, less than two seconds."""

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Health:
    """Tells whether the service serves: as a whole, under the empty name, and each part."""

    def __init__(self, store: Store, services: Sequence[str]) -> None:
        self._store = store
        self._names = ("", *services)
        self._servicer = health.aio.HealthServicer()
        self._status: int | None = None
        self._thread = ThreadPoolExecutor(1, "health")
        self._watching: asyncio.Task[None] | None = None

    def add_to(self, server: grpc.aio.Server) -> None:
        """Has a server answer questions about health."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def start(self) -> None:
        """Says that the service serves, and begins to watch the database."""
        await self._say(_SERVING)
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Says for good that the service does not serve."""
        await self._servicer.enter_graceful_shutdown()
        if self._watching is not None:
            self._watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watching
        self._store.stop_asking()
        self._thread.shutdown(wait=False)

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_ASK_SECONDS)
            # A thread of its own: the others may all be busy.
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
