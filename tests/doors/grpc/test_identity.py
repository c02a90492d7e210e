"""Who may call what: tokens, scopes, and the open organization."""

import time
from datetime import UTC, datetime, timedelta

import grpc
import pytest
import sqlalchemy as sa

from cost_insights import identity
from cost_insights.addresses import AddressError
from cost_insights.api.operations import OPERATIONS
from cost_insights.identity import SCOPES
from cost_insights.store import Store
from cost_insights.store.schema import access_token
from tests.support.samples import EVENTS, METRICS, REVENUE, SAMPLES
from tests.support.service import (
    EVERY_SCOPE,
    METHODS,
    Caller,
    Service,
    StartServer,
    new_event,
    now_us,
    raw_call,
    refusal_of,
    refused,
)


def test_every_method_is_an_operation() -> None:
    """The table of operations holds every RPC of the contract, with scopes that exist."""
    assert OPERATIONS.keys() == METHODS.keys()
    assert all(one.scopes and one.scopes <= SCOPES for one in OPERATIONS.values())
    assert SCOPES == EVERY_SCOPE


def test_the_contract_says_which_scope_a_method_needs() -> None:
    """The scopes are the documented ones."""
    either = {"events:read", "events:write"}
    assert {method: set(one.scopes) for method, one in OPERATIONS.items()} == {
        f"{EVENTS}/IngestEvents": {"events:write", "revenue:write"},
        f"{EVENTS}/StreamEvents": {"events:write"},
        f"{EVENTS}/ListEvents": either,
        f"{EVENTS}/GetEvent": either,
        f"{EVENTS}/ListEventNames": either,
        f"{METRICS}/GetMetrics": {"metrics:read"},
        f"{METRICS}/ExportMetrics": {"metrics:read"},
        f"{METRICS}/GetMetricsLimits": {"metrics:read"},
        f"{REVENUE}/RecordOrders": {"revenue:write"},
        f"{REVENUE}/RecordRefunds": {"revenue:write"},
        f"{REVENUE}/RecordSubscriptions": {"revenue:write"},
        f"{REVENUE}/RecordCheckouts": {"revenue:write"},
        f"{REVENUE}/RecordSeats": {"revenue:write"},
        f"{REVENUE}/ListOrders": {"revenue:read"},
        f"{REVENUE}/ListRefunds": {"revenue:read"},
        f"{REVENUE}/ListSubscriptions": {"revenue:read"},
        f"{REVENUE}/ListCheckouts": {"revenue:read"},
        f"{REVENUE}/ListSeats": {"revenue:read"},
    }


@pytest.mark.parametrize("method", METHODS)
def test_without_token(service: Service, method: str) -> None:
    """A call without a token is refused once there is any token."""
    with refused("TOKEN_MISSING") as call:
        service.stranger().call(method, SAMPLES[method])
    assert call.refusal.code is grpc.StatusCode.UNAUTHENTICATED
    assert call.refusal.message == (
        "the call carries no access token; send `authorization: Bearer TOKEN`"
    )
    assert call.refusal.facts == {}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("secret", ["ci_wrong", "x", "ci_" + "A" * 43])
def test_wrong_token(service: Service, method: str, secret: str) -> None:
    """A token that was never given out is refused."""
    with refused("TOKEN_UNKNOWN") as call:
        service.stranger(secret).call(method, SAMPLES[method])
    assert call.refusal.code is grpc.StatusCode.UNAUTHENTICATED
    assert call.refusal.message == "unknown access token"
    assert call.refusal.facts == {}


@pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer ", "Basic dXNlcjpwYXNz", "ci_abc"])
def test_other_authorization(service: Service, authorization: str) -> None:
    """An authorization that is not of the form `Bearer TOKEN` is refused as such."""
    with refused("TOKEN_MISSING") as call:
        raw_call(service.channel(), f"{METRICS}/GetMetricsLimits")(
            b"", metadata=(("authorization", authorization),), timeout=10
        )
    assert call.refusal.message == "the authorization is not of the form `Bearer TOKEN`"


@pytest.mark.parametrize("method", METHODS)
def test_revoked_token(service: Service, method: str) -> None:
    """A revoked token is refused, and the status says since when."""
    with refused("TOKEN_REVOKED") as call:
        service.caller(revoked=True).call(method, SAMPLES[method])
    assert call.refusal.code is grpc.StatusCode.UNAUTHENTICATED
    revoked = call.refusal.facts["revoked"]
    age = datetime.now(UTC) - datetime.fromisoformat(revoked)
    assert timedelta(0) <= age < timedelta(minutes=1)
    assert call.refusal.message == f"the access token was revoked at {revoked}"


@pytest.mark.parametrize("method", METHODS)
def test_expired_token(service: Service, method: str) -> None:
    """An expired token is refused, and the status says since when."""
    with refused("TOKEN_EXPIRED") as call:
        service.caller(expires_us=1_795_435_694_000_000).call(method, SAMPLES[method])
    assert call.refusal.code is grpc.StatusCode.UNAUTHENTICATED
    assert call.refusal.facts == {"expired": "2026-11-23T12:08:14Z"}
    assert call.refusal.message == "the access token expired at 2026-11-23T12:08:14Z"


@pytest.mark.parametrize("method", METHODS)
def test_missing_scope(service: Service, method: str) -> None:
    """A token with all scopes but those that the method takes is refused."""
    others = EVERY_SCOPE - OPERATIONS[method].scopes
    needs, has = ", ".join(sorted(OPERATIONS[method].scopes)), ", ".join(sorted(others))
    with refused("SCOPE_MISSING") as call:
        service.caller(scopes=others).call(method, SAMPLES[method])
    assert call.refusal.code is grpc.StatusCode.PERMISSION_DENIED
    assert call.refusal.facts == {"method": method, "needs": needs, "has": has}
    assert call.refusal.message == (
        f"{method} needs the scope {needs.replace(', ', ' or ')}; the access token has {has}"
    )


@pytest.mark.parametrize("method", METHODS)
def test_one_scope_is_enough(service: Service, method: str) -> None:
    """A token with one of the needed scopes, and one that expires later, is let in."""
    for scope in OPERATIONS[method].scopes:
        caller = service.caller(scopes=frozenset({scope}), expires_us=now_us() + 3_600_000_000)
        try:
            caller.call(method, SAMPLES[method])
        except grpc.RpcError as error:
            # The sample holds no system events, for which the other scope is.
            is_for_others = (method, scope) == (f"{EVENTS}/IngestEvents", "revenue:write")
            reason = "SCOPE_MISSING" if is_for_others else "EVENT_NOT_FOUND"
            assert refusal_of(error).reason == reason  # noqa: PT017 (or no error)


def test_the_scheme_is_read_in_any_letter_case(service: Service) -> None:
    """HTTP compares authentication schemes without case, and so does the service."""
    token = service.token(service.organization())
    for scheme in ("Bearer", "bearer", "BEARER"):
        raw_call(service.channel(), f"{METRICS}/GetMetricsLimits")(
            b"", metadata=(("authorization", f"{scheme} {token}"),), timeout=10
        )


def test_a_token_expires_while_it_is_remembered(
    start_server: StartServer, database_url: str
) -> None:
    """A token that the service remembers is refused from the moment it expires."""
    with start_server(database_url, token_cache_ms=60_000) as service:
        caller = service.caller(expires_us=now_us() + 1_500_000)
        caller.get_limits()
        time.sleep(1.6)
        with refused("TOKEN_EXPIRED"):
            caller.get_limits()


def test_a_revoked_token_is_remembered_for_a_moment_only(
    start_server: StartServer, database_url: str
) -> None:
    """A token that is revoked while it is remembered is refused soon after."""
    with start_server(database_url, token_cache_ms=200) as service:
        caller = service.caller()
        caller.get_limits()
        with service.store.write() as connection:
            (token,) = identity.list_tokens(connection, caller.organization)
            identity.revoke_token(connection, token.id)
        time.sleep(0.3)
        with refused("TOKEN_REVOKED"):
            caller.get_limits()


def test_only_a_hash_is_stored(service: Service) -> None:
    """The database holds nothing that a token could be made of."""
    caller = service.caller()
    assert caller.token is not None
    with service.store.read() as connection:
        rows = [repr(row) for row in connection.execute(sa.select(access_token))]
    assert rows
    assert not any(caller.token[3:-4] in row for row in rows)


def test_open_while_there_is_no_token(server: Service) -> None:
    """Without any token in the database a caller needs none and acts as `default`."""
    anybody = server.stranger()
    assert anybody.ingest(new_event(cost="1")).inserted == 1
    assert len(anybody.list_events()) == 1
    with server.store.read() as connection:
        (organization,) = identity.list_organizations(connection)
    assert organization.name == "default"
    # It is the same organization that a token can be made for.
    member = server.caller("default")
    assert len(member.list_events()) == 1


def test_a_token_that_is_shown_is_checked_even_then(server: Service) -> None:
    """While callers need no token, a wrong one is refused all the same."""
    with refused("TOKEN_UNKNOWN"):
        server.stranger("ci_wrong").get_limits()


def test_the_first_token_closes_the_door(start_server: StartServer, database_url: str) -> None:
    """From the first token on, for ever, nobody is let in without one."""
    with start_server(database_url, token_cache_ms=0) as service:
        service.stranger().get_limits()
        caller = service.caller(revoked=True)
        with refused("TOKEN_MISSING"):
            service.stranger().get_limits()
        with refused("TOKEN_REVOKED"):
            caller.get_limits()
    with start_server(database_url) as service, refused("TOKEN_MISSING"):
        service.stranger().get_limits()


def test_the_open_organization_is_a_setting(start_server: StartServer, database_url: str) -> None:
    """Callers without a token act as the organization that the operator has named."""
    with start_server(database_url, open_organization="acme") as service:
        service.stranger().ingest(new_event())
        assert len(service.caller("acme").list_events()) == 1


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "example.org:0"])
def test_only_loopback_while_there_is_no_token(
    start_server: StartServer, database_url: str, address: str
) -> None:
    """The service does not listen where others reach it while anybody could do anything."""
    with (
        pytest.raises(AddressError) as caught,
        start_server(database_url, grpc_address=address),
    ):
        pass
    assert str(caught.value) == (
        f"will not listen on {address} while the database holds no access token, because anybody "
        "who reaches it could read and write everything; listen on 127.0.0.1, or create a token "
        "first: cost-insights token create"
    )


def test_everywhere_once_there_is_a_token(start_server: StartServer, database_url: str) -> None:
    """With a token in the database the service listens where it is told to."""
    store = Store(database_url)
    store.upgrade()
    with store.write() as connection:
        organization = identity.create_organization(connection, "acme")
        _, secret = identity.create_token(
            connection, organization, ["metrics:read"], expires_us=None
        )
    store.close()
    with start_server(database_url, grpc_address="0.0.0.0:0") as service:
        port = service.address.rpartition(":")[2]
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            Caller(channel, secret).get_limits()
