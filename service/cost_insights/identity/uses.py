"""When access tokens were last used: noted by calls, and written in bulk once a minute."""

import logging
import threading

from cost_insights import clock
from cost_insights.errors import FAILURES, StoreUnavailableError
from cost_insights.identity.tokens import note_uses
from cost_insights.store import Store

_log = logging.getLogger(__name__)

_WRITE_SECONDS = 60.0
_STOP_SECONDS = 2.0


class TokenUses:
    """The tokens that were used since they were last written to the database."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._used: set[bytes] = set()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="token uses", daemon=True)

    def note(self, token_sha256: bytes) -> None:
        """Notes a call with a token that the database knows; takes next to no time."""
        self._used.add(token_sha256)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self) -> None:
        """Writes what was noted so far, if the database answers, and ends."""
        self._stopping.set()
        if self._thread.is_alive():
            # A database that does not answer must not keep the process from stopping.
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.wait(_WRITE_SECONDS):
            self._write()
        self._write()

    def _write(self) -> None:
        # Calls add to one set or the other meanwhile.
        used, self._used = self._used, set()
        if not used:
            return
        try:
            with self._store.write() as connection:
                # In one order everywhere, so that two processes never wait for each other's rows.
                note_uses(connection, sorted(used), used_us=clock.now_us())
        except StoreUnavailableError:
            pass  # logged by the store; the next calls are noted again
        except FAILURES:  # logged; the thread must go on
            _log.exception("the uses of access tokens cannot be written")
