"""HTTP/2 on a raw socket, for clients that keep to no rule: no limit of the server is obeyed."""

import contextlib
import socket
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator

import hpack
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_FRAME_BYTES = 16_384
_DATA_HEAD = b"\0\0"  # the type and no flags, between the length and the stream


class RawConnection:
    """A connection to a gRPC server."""

    def __init__(self, address: str, *, answers_bytes_max: int = 2**31 - 1) -> None:
        """The windows let that many bytes of answers arrive."""
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=60)
        self._encoder = hpack.Encoder()
        self._decoder = hpack.Decoder()
        self._next_stream = 1
        self._changed = threading.Condition()
        self._window = 65_535
        self._initial_window = 65_535
        self._windows: dict[int, int] = {}
        self.settings: dict[int, int] = {}
        """The settings that the server announced."""
        self.trailers: defaultdict[int, dict[str, str]] = defaultdict(dict)
        """The headers and trailers of each stream."""
        self.resets: dict[int, int] = {}
        """The error code of each stream that the server reset."""
        self.answers: defaultdict[int, int] = defaultdict(int)
        """The bytes of answers of each stream."""
        self.goaway: GoAwayFrame | None = None
        self.closed = False
        with contextlib.suppress(OSError):
            self._socket.sendall(
                _PREFACE
                + SettingsFrame(
                    settings={SettingsFrame.INITIAL_WINDOW_SIZE: answers_bytes_max}
                ).serialize()
            )
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> "RawConnection":
        return self

    def __exit__(self, *exception: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def open(self, path: str, **metadata: str) -> int:
        """Begins a call and sends nothing of its message; returns the number of the stream."""
        stream = self._next_stream
        self._next_stream += 2
        self._windows[stream] = self._initial_window
        self._send(self._head(stream, path, metadata))
        return stream

    def reset(self, stream: int) -> None:
        """Resets a stream."""
        self._send(RstStreamFrame(stream, error_code=8))

    def open_and_reset(self, path: str, count: int, **metadata: str) -> None:
        """Begins calls and resets each at once, all in one write."""
        parts = []
        for _ in range(count):
            parts.append(self._head(self._next_stream, path, metadata).serialize())
            parts.append(RstStreamFrame(self._next_stream, error_code=8).serialize())
            self._next_stream += 2
        self._send_bytes(b"".join(parts))

    def ping(self) -> None:
        """Sends a ping."""
        self._send(PingFrame(0, opaque_data=bytes(8)))

    def send(self, stream: int, data: bytes, *, seconds_max: float = 10) -> int:
        """Sends data as far as the windows of the server allow within a time; returns how much."""
        sent = 0
        while sent < len(data):
            with self._changed:
                if not self._changed.wait_for(
                    lambda: (
                        self.closed
                        or stream in self.resets
                        or min(self._window, self._windows[stream]) > 0
                    ),
                    timeout=seconds_max,
                ):
                    return sent
                if self.closed or stream in self.resets:
                    return sent
                end = min(sent + self._window, sent + self._windows[stream], len(data))
                self._window -= end - sent
                self._windows[stream] -= end - sent
            # All of it in one write, as fast as a client can be.
            self._send_bytes(
                b"".join(
                    min(end - start, _FRAME_BYTES).to_bytes(3, "big")
                    + _DATA_HEAD
                    + stream.to_bytes(4, "big")
                    + data[start : min(start + _FRAME_BYTES, end)]
                    for start in range(sent, end, _FRAME_BYTES)
                )
            )
            sent = end
        return sent

    def wait_until(self, holds: Callable[[], bool], *, seconds_max: float = 30) -> bool:
        """Waits until a condition holds; returns whether it does."""
        with self._changed:
            return self._changed.wait_for(holds, timeout=seconds_max)

    def _head(self, stream: int, path: str, metadata: dict[str, str]) -> HeadersFrame:
        headers = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", path),
            (":authority", "localhost"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
            *((name.replace("_", "-"), value) for name, value in metadata.items()),
        ]
        return HeadersFrame(stream, data=self._encoder.encode(headers), flags=["END_HEADERS"])

    def _send(self, frame: Frame) -> None:
        self._send_bytes(frame.serialize())

    def _send_bytes(self, content: bytes) -> None:
        # Nobody reads what a server that has closed the connection is sent.
        with contextlib.suppress(OSError):
            self._socket.sendall(content)

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            for frame in self._frames():
                with self._changed:
                    self._take(frame)
                    self._changed.notify_all()
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def _frames(self) -> Iterator[Frame]:
        file = self._socket.makefile("rb")
        while len(head := file.read(9)) == 9:
            frame, length = Frame.parse_frame_header(memoryview(head))
            frame.parse_body(memoryview(file.read(length)))
            yield frame

    def _take(self, frame: Frame) -> None:
        match frame:
            case SettingsFrame() if "ACK" not in frame.flags:
                self.settings |= frame.settings
                initial = frame.settings.get(SettingsFrame.INITIAL_WINDOW_SIZE)
                if initial is not None:
                    for stream in self._windows:
                        self._windows[stream] += initial - self._initial_window
                    self._initial_window = initial
                self._send(SettingsFrame(flags=["ACK"]))
            case PingFrame() if "ACK" not in frame.flags:
                self._send(PingFrame(0, opaque_data=frame.opaque_data, flags=["ACK"]))
            case WindowUpdateFrame(stream_id=0):
                self._window += frame.window_increment
            case WindowUpdateFrame():
                if frame.stream_id in self._windows:
                    self._windows[frame.stream_id] += frame.window_increment
            case HeadersFrame():
                headers = self._decoder.decode(frame.data)
                self.trailers[frame.stream_id].update(
                    (str(name), str(value)) for name, value in headers
                )
            case DataFrame():
                self.answers[frame.stream_id] += len(frame.data)
            case RstStreamFrame():
                self.resets[frame.stream_id] = frame.error_code
            case GoAwayFrame():
                self.goaway = frame


def framed(message: bytes, *, compressed: bool = False) -> bytes:
    """A message as gRPC frames it."""
    return bytes([compressed]) + len(message).to_bytes(4, "big") + message
