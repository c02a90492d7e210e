"""Client certificates that act as access tokens, by every door."""

import asyncio
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import grpc
import httpx
import pytest
import sqlalchemy as sa

from cost_insights import identity
from cost_insights.addresses import AddressError
from cost_insights.client import Client, NewEvent
from cost_insights.errors import InvalidRequestError, UnauthenticatedError
from cost_insights.identity import Authenticator, Credentials, certificate_sha256
from cost_insights.server import check_address
from cost_insights.settings import Settings
from cost_insights.store import Store
from cost_insights.store.schema import access_token
from cost_insights.v1 import event_service_pb2, event_service_pb2_grpc
from tests.support.certificates import Pki
from tests.support.databases import Databases
from tests.support.programs import output_of
from tests.support.service import EVERY_SCOPE, Service, StartServer, new_event, refusal_of

Files = tuple[Path, Path]
"""A certificate and its key."""

LIST = "/cost_insights.v1.EventService/ListEvents"


@pytest.fixture
def callers(new_pki: Callable[[str], Pki]) -> Pki:
    """The authority of callers."""
    return new_pki("callers")


@pytest.fixture
def service(
    start_server: StartServer, database_url: str, pki: Pki, callers: Pki
) -> Iterator[Service]:
    """A service that asks callers for certificates."""
    with start_server(
        database_url,
        http_address="127.0.0.1:0",
        token_cache_ms=0,
        tls_cert=pki.service.cert,
        tls_key=pki.service.key,
        tls_client_ca=callers.ca,
    ) as service:
        yield service


def register(
    service: Service,
    cert: Path,
    *,
    scopes: frozenset[str] = EVERY_SCOPE,
    expires_us: int | None = None,
) -> identity.AccessToken:
    """Makes a certificate a token of a new organization, which has one event named after it."""
    owner = service.organization()
    with service.store.write() as connection:
        return identity.register_certificate(
            connection, owner, scopes, identity.read_certificate(cert), expires_us=expires_us
        )


def credentials(pki: Pki, files: Files) -> grpc.ChannelCredentials:
    """The credentials of a caller with a certificate."""
    cert, key = files
    return grpc.ssl_channel_credentials(pki.ca.read_bytes(), key.read_bytes(), cert.read_bytes())


def by_grpc(service: Service, pki: Pki, files: Files, token: str | None) -> str:
    """The names of events, or the reason of a refusal and its message."""
    metadata = () if token is None else (("authorization", f"Bearer {token}"),)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(service.address, credentials(pki, files), options=options) as channel:
        stub = event_service_pb2_grpc.EventServiceStub(channel)
        try:
            answer = stub.ListEvents(
                event_service_pb2.ListEventsRequest(), metadata=metadata, timeout=60
            )
        except grpc.RpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                return "no handshake"
            return refusal_of(error).message
    return ",".join(one.name for one in answer.events)


def by_http(
    service: Service, pki: Pki, files: Files, token: str | None, *, call: tuple[str, str]
) -> str:
    """The same over HTTP, by a method and a path."""
    method, path = call
    context = ssl.create_default_context(cafile=pki.ca)
    context.load_cert_chain(*files)
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    with httpx.Client(verify=context, headers=headers, timeout=60) as client:
        try:
            answer = client.request(
                method,
                f"https://{service.server.http_address}{path}",
                json={} if method == "POST" else None,
            )
        except httpx.TransportError:
            return "no handshake"
    content = answer.json()
    if not answer.is_success:
        return str(content.get("detail", content.get("message")))
    return ",".join(one["name"] for one in content.get("items", content.get("events", [])))


def by_compatible(service: Service, pki: Pki, files: Files, token: str | None = None) -> str:
    """The same by the compatible API."""
    return by_http(service, pki, files, token, call=("GET", "/v1/events/"))


def by_connect(service: Service, pki: Pki, files: Files, token: str | None = None) -> str:
    """The same by the Connect protocol."""
    return by_http(service, pki, files, token, call=("POST", LIST))


DOORS = (by_grpc, by_compatible, by_connect)


def store_events(service: Service, pki: Pki, files: Files, *names: str) -> None:
    """Sends events with a certificate alone, by the client library."""
    with Client(service.address, credentials=credentials(pki, files)) as client:
        events: list[NewEvent] = [{"name": name, "external_customer_id": "c"} for name in names]
        assert client.ingest(events).inserted == len(names)


MISSING = "the call carries no access token{}; send `authorization: Bearer TOKEN`".format
UNREGISTERED = MISSING(", and its client certificate is not registered as one")


def test_registered_certificates(service: Service, pki: Pki, callers: Pki) -> None:
    """Each acts as its organization with its scopes, in streams too; a token that the call carries
    counts instead."""
    first, second = callers.issue("first"), callers.issue("second")
    for door in DOORS:
        # Without any token, everybody with a certificate of the authority is let in.
        assert door(service, pki, first, None) == ""
    register(service, first[0])
    register(service, second[0])
    store_events(service, pki, first, "of first")
    store_events(service, pki, second, "of second")
    other = service.organization()
    token = service.token(other)
    reader = callers.issue("reader")
    register(service, reader[0], scopes=frozenset({"metrics:read"}))
    for door in DOORS:
        assert door(service, pki, first, None) == "of first"
        assert door(service, pki, second, None) == "of second"
        assert door(service, pki, first, token) == ""
        assert door(service, pki, first, "ci_wrong") == "unknown access token"
        assert "needs the scope" in door(service, pki, reader, None)
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.secure_channel(service.address, credentials(pki, first), options=options) as channel:
        request = event_service_pb2.StreamEventsRequest(stream_id="s", sequence=1)
        request.batch.events.append(new_event(name="streamed"))
        [answer] = event_service_pb2_grpc.EventServiceStub(channel).StreamEvents(
            iter([request]), timeout=60
        )
    assert answer.batch.inserted == 1
    # With grpcurl and curl.
    cert, key = first
    files = ("-cacert", str(pki.ca), "-cert", str(cert), "-key", str(key))
    listed = output_of("grpcurl", *files, service.address, LIST.removeprefix("/"))
    assert '"name": "of first"' in listed
    url = f"https://{service.server.http_address}/v1/events/"
    ran = subprocess.run(
        ["curl", "--silent", "--fail", "--cacert", pki.ca, "--cert", cert, "--key", key, url],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"name":"of first"' in ran.stdout


def test_certificates_that_are_refused(
    service: Service, pki: Pki, callers: Pki, new_pki: Callable[[str], Pki]
) -> None:
    """Only the very certificate that is registered counts, while neither it nor its token has
    ended: none of the same name, whichever authority issued it."""
    registered = callers.issue("registered", identity="billing.example")
    ended = callers.issue("ended", identity="ended.example")
    revoked = callers.issue("revoked", identity="revoked.example")
    expired = callers.issue("expired", identity="expired.example", days=-1)
    token = register(service, registered[0])
    of_ended = register(service, ended[0])
    of_revoked = register(service, revoked[0])
    with service.store.write() as connection:
        identity.revoke_token(connection, of_revoked.id)
        connection.execute(
            sa.update(access_token)
            .where(access_token.c.id == of_ended.id)
            .values(expires_us=1_795_435_694_000_000)
        )
    swapped = callers.issue("swapped", identity="billing.example")
    foreign = new_pki("foreign").issue("foreign", identity="billing.example")
    for door in DOORS:
        assert door(service, pki, registered, None) == ""
        assert door(service, pki, swapped, None) == UNREGISTERED
        assert door(service, pki, foreign, None) == "no handshake"
        assert door(service, pki, expired, None) == "no handshake"
        assert door(service, pki, ended, None) == (
            "the access token expired at 2026-11-23T12:08:14Z"
        )
        assert door(service, pki, revoked, None).startswith("the access token was revoked at ")
    with service.store.write() as connection:
        identity.revoke_token(connection, token.id)
    for door in DOORS:
        assert door(service, pki, registered, None).startswith("the access token was revoked at ")


def test_a_registration_ends_with_the_certificate(store: Store, callers: Pki) -> None:
    """It expires no later, is refused for one that has expired, and is made once; a new certificate
    takes its place by a rotation."""
    cert, _ = callers.issue("caller", days=30)
    found = identity.read_certificate(cert)
    with store.write() as connection:
        owner = identity.create_organization(connection, "acme")
        token = identity.register_certificate(
            connection, owner, {"events:write"}, found, expires_us=None
        )
        assert token.expires_us == found.expires_us
        assert (token.certificate, token.hint) == (found.subject, found.fingerprint[-4:])
        with pytest.raises(InvalidRequestError, match=f"already, as token {token.id}"):
            identity.register_certificate(
                connection, owner, {"events:read"}, found, expires_us=None
            )
        expired = identity.read_certificate(callers.issue("expired", days=-1)[0])
        with pytest.raises(InvalidRequestError, match="has expired"):
            identity.register_certificate(
                connection, owner, {"events:read"}, expired, expires_us=None
            )
        with pytest.raises(InvalidRequestError, match="the new one must be given"):
            identity.rotate_token(connection, token.id, overlap_us=0, expires_us=None)
        renewed = identity.read_certificate(callers.issue("caller", days=60)[0])
        old, new, secret = identity.rotate_token(
            connection, token.id, overlap_us=0, expires_us=None, certificate=renewed
        )
        assert secret is None
        assert (new.scopes, new.expires_us) == (token.scopes, renewed.expires_us)
        assert old.expires_us is not None
        assert old.expires_us < found.expires_us


def test_no_secret_is_a_certificate(store: Store) -> None:
    """Who knows a certificate, which is no secret, cannot show it as a token."""
    der = b"a certificate"
    with store.write() as connection:
        owner = identity.create_organization(connection, "acme")
        identity.register_certificate(
            connection,
            owner,
            {"events:read"},
            identity.Certificate(certificate_sha256(der), "ab", "CN=a", 2**60),
            expires_us=None,
        )
    secret = f"cost-insights client certificate\0{der.decode()}"

    async def show() -> None:
        with closing(Authenticator(store, open_organization="default", cache_ms=0)) as found:
            authorize = partial(found.authorize, method=LIST, scopes=frozenset({"events:read"}))
            caller = await authorize(Credentials(certificate=certificate_sha256(der)))
            assert caller.organization.name == "acme"
            with pytest.raises(UnauthenticatedError, match="unknown access token"):
                await authorize(Credentials(f"Bearer {secret}"))

    asyncio.run(show())


def test_other_machines(databases: Databases, callers: Pki) -> None:
    """A registered certificate is a token: with one the service may be reached by other machines,
    and without any it may not, whatever TLS asks of callers."""
    with databases.fresh("sqlite") as url, closing(Store(url)) as store:
        store.upgrade()
        settings = Settings(
            database_url=url, grpc_address="0.0.0.0:0", http_address="", tls_client_ca=callers.ca
        )
        with pytest.raises(AddressError, match="while the database holds no access token"):
            check_address(settings, store)
        with store.write() as connection:
            owner = identity.create_organization(connection, "acme")
            found = identity.read_certificate(callers.issue("caller")[0])
            identity.register_certificate(
                connection, owner, {"events:read"}, found, expires_us=None
            )
        check_address(settings, store)
