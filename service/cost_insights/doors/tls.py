"""TLS on both doors: certificates are read again when their files change.

A connection is encrypted by the certificate that was valid when it began. New files that cannot be
used, such as a certificate whose key has not been written yet, leave the ones before in force.
"""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

_log = logging.getLogger(__name__)


class TlsError(Exception):
    """Files that cannot be used for TLS."""


@dataclass(frozen=True)
class TlsFiles:
    """The files of TLS, in PEM."""

    cert: Path
    """The certificate of the service, followed by those that lead to an authority."""

    key: Path
    client_ca: Path | None = None
    """The authorities whose certificates callers must show; None if callers need none."""

    def named(self) -> list[Path]:
        """All of them."""
        return [file for file in (self.cert, self.key, self.client_ca) if file is not None]


@dataclass(frozen=True)
class _Loaded:
    """The contents of the files when they were read."""

    context: ssl.SSLContext
    grpc: grpc.ServerCertificateConfiguration


_State = tuple[tuple[int, int, int] | None, ...]


class Certificates:
    """The certificates of both doors, as the files hold them now."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises TlsError if the files cannot be used."""
        self._files = files
        self._state = self._found()
        self._loaded = _load(files)

    @property
    def of_callers(self) -> bool:
        """Whether callers show certificates."""
        return self._files.client_ca is not None

    def ssl_context(self) -> ssl.SSLContext:
        """A context whose every handshake takes the certificates of that moment."""
        context = self._loaded.context
        context.sni_callback = self._choose
        return context

    def grpc_credentials(self) -> grpc.ServerCredentials:
        """Credentials whose every handshake takes the certificates of that moment."""
        return grpc.dynamic_ssl_server_credentials(
            self._loaded.grpc,
            lambda: self._current().grpc,
            require_client_authentication=self.of_callers,
        )

    def _choose(
        self, connection: ssl.SSLSocket | ssl.SSLObject, name: str | None, context: ssl.SSLContext
    ) -> None:
        del name, context
        connection.context = self._current().context

    def _current(self) -> _Loaded:
        state = self._found()
        if state != self._state:
            # Files that cannot be used are not read again before they change.
            self._state = state
            try:
                self._loaded = _load(self._files)
            except TlsError as error:
                _log.error("TLS goes on with the certificates that it has: %s", error)
            else:
                _log.info("TLS has read its certificates again")
        return self._loaded

    def _found(self) -> _State:
        return tuple(_state(file) for file in self._files.named())


def _state(file: Path) -> tuple[int, int, int] | None:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _load(files: TlsFiles) -> _Loaded:
    context = _context(files)
    client_ca = None if files.client_ca is None else _read(files.client_ca)
    pair = (_read(files.key), _read(files.cert))
    return _Loaded(context, grpc.ssl_server_certificate_configuration([pair], client_ca))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TlsError(f"{file}: {error.strerror}") from None


def _context(files: TlsFiles) -> ssl.SSLContext:
    # Named in the errors: OpenSSL does not say which file it means.
    for file in files.named():
        _read(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # Without a password: nobody is there to type one.
        context.load_cert_chain(files.cert, files.key, password="")
    except ssl.SSLError as error:
        raise TlsError(
            f"{files.cert} and {files.key} are not a certificate in PEM and its key without a "
            f"password: {error.reason}"
        ) from None
    if files.client_ca is not None:
        try:
            context.load_verify_locations(files.client_ca)
        except ssl.SSLError as error:
            raise TlsError(
                f"{files.client_ca} holds no certificate in PEM: {error.reason}"
            ) from None
        context.verify_mode = ssl.CERT_REQUIRED
    return context
