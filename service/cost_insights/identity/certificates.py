"""Client certificates that act as access tokens.

A certificate is known by a hash of all of it, and never by the names in it: what an authority says
of its holder gives nobody any right here. TLS has verified it, and that the caller holds its key.
"""

import hashlib
import ssl
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

_BYTES_MAX: Final = 1024 * 1024

_DOMAIN: Final = b"cost-insights client certificate\0"
"""Begins what is hashed, so that no secret of a token has the hash of a certificate."""

_CACHED_MAX: Final = 4_096


class CertificateError(Exception):
    """A file without a certificate that could be used."""


@dataclass(frozen=True)
class Certificate:
    """A certificate that callers show."""

    sha256: bytes
    """The hash under which the database knows it."""

    fingerprint: str
    """The SHA-256 of the certificate in hexadecimal digits, as other programs show it."""

    subject: str
    """The subject of the certificate: the name of its holder, such as `CN=billing,O=acme`."""

    expires_us: int


def certificate_sha256(der: bytes) -> bytes:
    """The hash under which the database knows a certificate, which is given in DER."""
    return hashlib.sha256(_DOMAIN + der).digest()


@lru_cache(_CACHED_MAX)
def certificate_sha256_of_pem(pem: bytes) -> bytes:
    """The hash of a certificate in PEM, cached because each call of a connection shows it."""
    return certificate_sha256(ssl.PEM_cert_to_DER_cert(pem.decode("ascii").strip()))


def read_certificate(file: Path) -> Certificate:
    """The first certificate in a file in PEM; raises CertificateError if there is none."""
    # Only the command line reads certificates, and it takes a while to load.
    from cryptography import x509  # noqa: PLC0415
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415

    try:
        with file.open("rb") as opened:
            content = opened.read(_BYTES_MAX)
    except OSError as error:
        raise CertificateError(f"{str(file)!r} cannot be read: {error.strerror}") from None
    try:
        found = x509.load_pem_x509_certificate(content)
        subject = found.subject.rfc4514_string()
        expires_us = int(found.not_valid_after_utc.timestamp()) * 1_000_000
    except ValueError:
        raise CertificateError(
            f"{str(file)!r} holds no certificate in PEM, which begins with "
            "-----BEGIN CERTIFICATE-----"
        ) from None
    return Certificate(
        certificate_sha256(found.public_bytes(serialization.Encoding.DER)),
        found.fingerprint(hashes.SHA256()).hex(),
        subject,
        expires_us,
    )
