"""TLS on both doors: who gets in, and which certificate they are shown."""

import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import grpc
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from cost_insights.client import Client
from cost_insights.doors.tls import Certificates, TlsError, TlsFiles
from tests.support.certificates import Pki
from tests.support.command_line import SECONDS_MAX, program
from tests.support.databases import Databases
from tests.support.programs import ProgramError, output_of
from tests.support.service import Service

Start = Callable[..., AbstractContextManager[Service]]


@pytest.fixture
def start(start_server: Start, databases: Databases, pki: Pki) -> Iterator[Start]:
    """Starts a service with TLS."""
    with databases.fresh("sqlite") as url:

        def run(**settings: object) -> AbstractContextManager[Service]:
            return start_server(
                url,
                http_address="127.0.0.1:0",
                tls_cert=pki.service.cert,
                tls_key=pki.service.key,
                **settings,
            )

        yield run


def is_served_over_grpc(
    service: Service, ca: Path, cert: Path | None = None, key: Path | None = None
) -> bool:
    """Whether a caller with these files is served over gRPC."""
    pair = (None, None) if cert is None or key is None else (key.read_bytes(), cert.read_bytes())
    credentials = grpc.ssl_channel_credentials(ca.read_bytes(), *pair)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(service.address, credentials, options=options) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(), timeout=10
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return False
            raise
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def is_served_over_http(
    service: Service, ca: Path, cert: Path | None = None, key: Path | None = None
) -> bool:
    """Whether a caller with these files is served over HTTP."""
    context = ssl.create_default_context(cafile=ca)
    if cert is not None:
        context.load_cert_chain(cert, key)
    try:
        with httpx.Client(verify=context) as client:
            answer = client.get(f"https://{service.server.http_address}/readyz")
    except httpx.TransportError:
        return False
    return answer.status_code == 200


BOTH = [is_served_over_grpc, is_served_over_http]


def shown(address: str, ca: Path) -> str:
    """The serial number of the certificate that a server shows."""
    context = ssl.create_default_context(cafile=ca)
    context.set_alpn_protocols(["h2", "http/1.1"])
    host, port = address.split(":")
    with (
        socket.create_connection((host, int(port)), timeout=10) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as encrypted,
    ):
        certificate = encrypted.getpeercert()
        assert certificate is not None
        return str(certificate["serialNumber"])


def test_callers_of_every_kind(start: Start, pki: Pki) -> None:
    """The Python client, the command line, grpcurl and curl are served, and what they send is
    stored."""
    with start() as service:
        with Client(
            service.address, credentials=grpc.ssl_channel_credentials(pki.ca.read_bytes())
        ) as client:
            assert client.ingest([{"name": "a", "external_customer_id": "c"}]).inserted == 1
        listed = output_of(
            "grpcurl",
            "-cacert",
            str(pki.ca),
            service.address,
            "cost_insights.v1.EventService/ListEvents",
        )
        assert '"name": "a"' in listed
        url = f"https://{service.server.http_address}"
        ran = subprocess.run(
            ["curl", "--silent", "--fail", "--cacert", pki.ca, f"{url}/v1/events/"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"name":"a"' in ran.stdout
        env = {name: one for name, one in os.environ.items() if "COST_INSIGHTS" not in name}
        flags = ("--address", service.address, "--ca", str(pki.ca))
        for command in (("healthcheck", *flags), ("metrics", *flags)):
            done = subprocess.run(
                program(*command),
                env=env,
                capture_output=True,
                text=True,
                timeout=SECONDS_MAX,
                check=False,
            )
            assert done.returncode == 0, done.stderr


def test_nobody_is_served_without_tls(
    start: Start, pki: Pki, new_pki: Callable[[str], Pki]
) -> None:
    """Neither plain text nor an old version of TLS is answered, and callers find out a service
    whose authority is another one."""
    with start() as service:
        with pytest.raises(ProgramError):
            output_of("grpcurl", "-plaintext", service.address, "list")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://{service.server.http_address}/readyz")
        for served in BOTH:
            assert served(service, pki.ca)
            assert not served(service, new_pki(f"other {served.__name__}").ca)
        for address in (service.address, service.server.http_address):
            old = ssl.create_default_context(cafile=pki.ca)
            old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
            old.set_ciphers("ALL:@SECLEVEL=0")
            old.set_alpn_protocols(["h2", "http/1.1"])
            with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
                old.maximum_version = ssl.TLSVersion.TLSv1_1
            host, port = address.split(":")
            with (
                socket.create_connection((host, int(port)), timeout=10) as connection,
                pytest.raises((ssl.SSLError, ConnectionError)),
            ):
                old.wrap_socket(connection, server_hostname="localhost")


def test_certificates_are_read_again(
    start: Start, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    """A new certificate is shown to the next caller, and one that cannot be used to nobody."""
    with start() as service:
        addresses = (service.address, service.server.http_address)
        first = {shown(address, pki.ca) for address in addresses}
        assert len(first) == 1
        pki.issue("service")
        second = {shown(address, pki.ca) for address in addresses}
        assert len(second) == 1
        assert first != second
        # The certificate is replaced before its key.
        other, _ = pki.issue("other")
        shutil.copy(other, pki.service.cert)
        assert {shown(address, pki.ca) for address in addresses} == second
        (logged,) = (one.getMessage() for one in caplog.records if one.levelname == "ERROR")
        assert logged == (
            "TLS goes on with the certificates that it has: "
            f"{pki.service.cert} and {pki.service.key} are not a certificate in PEM and its key "
            "without a password: KEY_VALUES_MISMATCH"
        )
        shutil.copy(pki.folder / "other.key", pki.service.key)
        third = {shown(address, pki.ca) for address in addresses}
        assert len(third) == 1
        assert third != second


def test_certificates_of_callers(start: Start, pki: Pki, new_pki: Callable[[str], Pki]) -> None:
    """With an authority for callers only those are served whose certificate it made, and only
    while that is valid."""
    callers = new_pki("callers")
    with start(tls_client_ca=callers.ca) as service:
        right = callers.issue("right", identity="caller.example")
        expired = callers.issue("expired", identity="caller.example", days=-1)
        foreign = new_pki("foreign").issue("foreign", identity="caller.example")
        for served in BOTH:
            assert served(service, pki.ca, *right)
            assert not served(service, pki.ca)
            assert not served(service, pki.ca, *expired)
            assert not served(service, pki.ca, *foreign)
        # The authority changes, too.
        next_callers = new_pki("next callers")
        shutil.copy(next_callers.ca, callers.ca)
        next_right = next_callers.issue("right", identity="caller.example")
        for served in BOTH:
            assert served(service, pki.ca, *next_right)
            assert not served(service, pki.ca, *right)


def test_an_expired_certificate_of_the_service(start: Start, pki: Pki) -> None:
    """Callers find out, and the command line says so."""
    pki.issue("service", days=-1)
    with start() as service:
        for served in BOTH:
            assert not served(service, pki.ca)


def test_files_that_cannot_be_used(pki: Pki, tmp_path: Path) -> None:
    """The error names the file and what is wrong with it."""
    right = pki.service
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("no certificate")
    other, _ = pki.issue("other")
    for files, message in (
        (TlsFiles(tmp_path / "none", right.key), f"{tmp_path / 'none'}: No such file or directory"),
        (TlsFiles(other, right.key), "KEY_VALUES_MISMATCH"),
        (TlsFiles(garbage, right.key), f"{garbage} and {right.key} are not a certificate in PEM"),
        (TlsFiles(right.cert, right.key, garbage), f"{garbage} holds no certificate in PEM"),
    ):
        with pytest.raises(TlsError) as raised:
            Certificates(files)
        assert message in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("serve", "--tls-cert", "service.pem"),
            (
                "--tls-cert, --tls-key, --tls-client-ca: a certificate and its key are needed: "
                "give --tls-cert and --tls-key"
            ),
        ),
        (
            ("serve", "--tls-cert", "none.pem", "--tls-key", "service.key"),
            "--tls-cert, --tls-key, --tls-client-ca: none.pem: No such file or directory",
        ),
        (
            ("healthcheck", "--cert", "service.pem"),
            "--cert and --key belong together: give both or none",
        ),
        (
            ("healthcheck", "--ca", "none.pem"),
            "--ca: 'none.pem' cannot be read: No such file or directory",
        ),
        (
            ("healthcheck", "--ca", "garbage.pem"),
            "--ca: 'garbage.pem' is not in PEM, which begins with -----BEGIN",
        ),
    ],
)
def test_flags_that_cannot_be_meant(pki: Pki, arguments: tuple[str, ...], message: str) -> None:
    """The command ends at once, and says which file it means."""
    (pki.folder / "garbage.pem").write_text("no certificate")
    env = {name: one for name, one in os.environ.items() if "COST_INSIGHTS" not in name}
    done = subprocess.run(
        program(*arguments),
        cwd=pki.folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == f"cost-insights: {message}\n"
