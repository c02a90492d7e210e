"""Authorities, and the certificates that they issue."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import trustme

from cost_insights.doors.tls import TlsFiles


@dataclass(frozen=True)
class Pki:
    """An authority in a folder, with the files of a service and of a caller."""

    folder: Path
    authority: trustme.CA

    @property
    def ca(self) -> Path:
        """The certificate of the authority."""
        return self.folder / "ca.pem"

    @property
    def service(self) -> TlsFiles:
        """The files of the service."""
        return TlsFiles(self.folder / "service.pem", self.folder / "service.key")

    def issue(self, name: str, *, identity: str = "localhost", days: int = 30) -> tuple[Path, Path]:
        """Writes a certificate and its key; with fewer than no days it has expired."""
        issued = self.authority.issue_cert(
            identity,
            "127.0.0.1",
            common_name=identity,
            not_before=dt.datetime.now(dt.UTC) - dt.timedelta(days=60),
            not_after=dt.datetime.now(dt.UTC) + dt.timedelta(days=days),
        )
        cert, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        # As tools do that replace files: never half of one.
        for file, content in (
            (key, issued.private_key_pem.bytes()),
            (cert, b"".join(one.bytes() for one in issued.cert_chain_pems)),
        ):
            new = file.with_suffix(".new")
            new.write_bytes(content)
            new.replace(file)
        return cert, key


def new_authority(folder: Path) -> Pki:
    """An authority in a new folder, which has issued a certificate for the service."""
    folder.mkdir()
    pki = Pki(folder, trustme.CA())
    pki.authority.cert_pem.write_to_path(str(pki.ca))
    pki.issue("service")
    return pki
