"""A connection that is cut: a proxy for TCP between a client and a service."""

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator

_PIECE_BYTES = 4_096


class CuttingProxy:
    """Passes bytes on in both directions, and cuts the first connections after some bytes.

    What it cuts is reset towards both sides, so that neither can take it for an end in order.
    """

    def __init__(self, address: str, *, cuts: int, after_bytes: int) -> None:
        host, _, port = address.rpartition(":")
        self._target = (host, int(port))
        self._cuts = cuts
        self._after_bytes = after_bytes
        self._lock = threading.Lock()
        self.cut = 0
        """The number of connections that were cut so far."""

        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._begin(self._accept)

    @property
    def address(self) -> str:
        """The address at which clients connect."""
        host, port = self._listener.getsockname()
        return f"{host}:{port}"

    def close(self) -> None:
        """Ends all connections."""
        for one in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for one in (self._listener, *self._sockets):
            one.close()

    def _begin(self, work: object, *arguments: object) -> None:
        assert callable(work)
        thread = threading.Thread(target=work, args=arguments, name="proxy")
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            service = socket.create_connection(self._target)
            self._sockets += [client, service]
            self._begin(self._pass_on, client, service, self._after_bytes)
            self._begin(self._pass_on, service, client, None)

    def _pass_on(self, source: socket.socket, target: socket.socket, bytes_max: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE_BYTES):
                passed += len(piece)
                if bytes_max is not None and passed > bytes_max and self._may_cut():
                    for one in (source, target):
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                        one.close()
                    return
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def _may_cut(self) -> bool:
        with self._lock:
            if self.cut == self._cuts:
                return False
            self.cut += 1
            return True


@contextlib.contextmanager
def cutting(address: str, *, cuts: int, after_bytes: int) -> Iterator[CuttingProxy]:
    """A proxy that cuts that many connections, each after that many bytes of the client."""
    proxy = CuttingProxy(address, cuts=cuts, after_bytes=after_bytes)
    try:
        yield proxy
    finally:
        proxy.close()
