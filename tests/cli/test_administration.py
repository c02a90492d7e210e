"""Organizations and access tokens are made and unmade on the command line."""

import datetime as dt
import json
import re
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.support.certificates import new_authority
from tests.support.command_line import SECONDS_MAX, Command, Serve
from tests.support.service import Caller, new_event, refused


def rows(out: str) -> list[list[str]]:
    """The cells of the rows below the head of a table."""
    lines = out.splitlines()
    head = next(at for at, line in enumerate(lines) if "──" in line)
    return [line.split() for line in lines[head + 1 :] if line.strip()]


@pytest.mark.slow
def test_organizations_are_created_and_listed(quick: Command, database_url: str) -> None:
    """An organization is made once; its id is printed, its name is in the list."""
    flags = ("--database-url", database_url)
    made = quick("organization", "create", "acme GmbH", *flags)
    assert (made.returncode, made.stderr) == (0, "")
    assert uuid.UUID(made.stdout.strip())
    again = quick("organization", "create", "acme GmbH", *flags)
    assert (again.returncode, again.stdout) == (1, "")
    assert again.stderr == "cost-insights: name: the organization 'acme GmbH' exists already\n"
    for _ in range(2):
        found = quick("organization", "create", "--if-missing", "acme GmbH", *flags)
        assert (found.returncode, found.stdout, found.stderr) == (0, made.stdout, "")
    listed = quick("organization", "list", *flags)
    assert listed.returncode == 0
    [[identity, *name, created]] = rows(listed.stdout)
    assert (identity, name) == (made.stdout.strip(), ["acme", "GmbH"])
    [one] = json.loads(quick("organization", "list", "--json", *flags).stdout)
    assert one.pop("created").startswith(f"{created}T")
    assert one == {"id": identity, "name": "acme GmbH"}


def test_tokens_are_created_listed_and_revoked(quick: Command, database_url: str) -> None:
    """The secret alone is on stdout and works; the list never shows it; a revoked one is shown."""
    flags = ("--database-url", database_url)
    quick("organization", "create", "acme", *flags)
    made = quick(
        *("token", "create", "--organization", "acme", "--scopes", "events:write,metrics:read"),
        *("--expires", "30d", *flags),
    )
    assert made.returncode == 0
    assert re.fullmatch(r"ci_[0-9A-Za-z]{49}\n", made.stdout)
    secret = made.stdout.strip()
    assert secret not in made.stderr
    [token_id] = re.findall(r"token ([0-9a-f-]{36}) for acme", made.stderr)
    quick(
        *("token", "create", "--organization", "acme", "--expires", "never", *flags),
        *("--scopes", "events:read,events:write,metrics:read,revenue:read,revenue:write"),
    )
    listed = quick("token", "list", *flags)
    assert max(len(line) for line in listed.stdout.splitlines()) <= 80
    assert "organization" in listed.stdout
    [row] = [row for row in rows(listed.stdout) if row[0] == token_id]
    assert row[1:3] == ["acme", "events:write"]
    assert secret not in listed.stdout
    [one, other] = json.loads(quick("token", "list", "--json", *flags).stdout)
    assert (one["id"], one["organization"], one["scopes"]) == (
        token_id,
        "acme",
        ["events:write", "metrics:read"],
    )
    assert f"…{one['secret_ends_with']}" in listed.stdout
    assert secret.endswith(one["secret_ends_with"])
    assert one["expires"] > one["created"]
    assert (other["expires"], one["revoked"], one["last_used"]) == (None, None, None)
    revoked = quick("token", "revoke", token_id, *flags)
    assert revoked.returncode == 0
    assert revoked.stdout.startswith(f"token {token_id} of acme: revoked ")
    unknown = quick("token", "revoke", str(uuid.uuid4()), *flags)
    assert unknown.returncode == 1
    assert unknown.stderr.startswith("cost-insights: there is no access token ")


def test_tokens_are_rotated(quick: Command, database_url: str) -> None:
    """A new token allows the same, for as long as the old one was made for, and the old one works
    until the overlap is over, or until it would have expired anyway."""
    flags = ("--database-url", database_url)

    def tokens() -> dict[str, Any]:
        listed = json.loads(quick("token", "list", "--json", *flags).stdout)
        return {one["id"]: one for one in listed}

    quick("organization", "create", "acme", *flags)
    quick(
        *("token", "create", "--organization", "acme", "--scopes", "events:write,metrics:read"),
        *("--expires", "30d", *flags),
    )
    [old_id] = tokens()
    before = tokens()[old_id]
    done = quick("token", "rotate", old_id, "--overlap", "12h", *flags)
    assert done.returncode == 0
    assert re.fullmatch(r"ci_[0-9A-Za-z]{49}\n", done.stdout)
    [new_id] = tokens().keys() - {old_id}
    old, new = tokens()[old_id], tokens()[new_id]
    assert new["scopes"] == old["scopes"] == before["scopes"]
    assert new["organization"] == "acme"
    assert done.stdout.strip().endswith(new["secret_ends_with"])
    assert f"token {old_id} expires {old['expires']}\n" in done.stderr
    start = dt.datetime.fromisoformat(new["created"])
    for token, lifetime in ((new, dt.timedelta(days=30)), (old, dt.timedelta(hours=12))):
        # The command takes a moment.
        off = dt.datetime.fromisoformat(token["expires"]) - start - lifetime
        assert abs(off) < dt.timedelta(minutes=1)
    # A longer overlap does not prolong it.
    quick("token", "rotate", old_id, "--overlap", "7d", "--expires", "never", *flags)
    assert tokens()[old_id]["expires"] == old["expires"]
    assert [one["expires"] for one in tokens().values()].count(None) == 1
    assert quick("token", "rotate", new_id, "--overlap", "0m", *flags).returncode == 0
    ended = quick("token", "rotate", new_id, *flags)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"the access token {new_id} has expired; create another one" in ended.stderr


def test_limits_are_set_and_shown(quick: Command, database_url: str) -> None:
    """Limits of organizations and tokens are changed one by one, kept by a rotation, and shown."""
    flags = ("--database-url", database_url)

    def of_acme(*given: str) -> Any:
        return json.loads(quick("organization", "limits", "acme", "--json", *given, *flags).stdout)

    quick("organization", "create", "acme", *flags)
    assert set(of_acme().values()) == {"default"}
    assert of_acme("--events-per-second", "2000")["events_per_second"] == 2_000
    changed = of_acme("--requests-per-second", "unlimited")
    assert (changed["events_per_second"], changed["requests_per_second"]) == (2_000, "unlimited")
    assert of_acme("--events-per-second", "default")["events_per_second"] == "default"
    assert of_acme("--series-max", "1000")["series_max"] == 1_000
    assert of_acme("--customers-max", "9")["customers_max"] == 9
    shown = quick("organization", "limits", "acme", *flags)
    assert ["requests", "per", "second", "unlimited"] in rows(shown.stdout)
    made = quick(
        *("token", "create", "--organization", "acme", "--scopes", "events:write"),
        *("--events-per-second", "50", *flags),
    )
    [token_id] = re.findall(r"token ([0-9a-f-]{36}) for acme", made.stderr)
    limited = quick("token", "limits", token_id, "--requests-per-second", "5", *flags)
    assert limited.stdout == f"token {token_id} of acme: 50 events/s, 5 requests/s\n"
    assert "50 events/s" in quick("token", "list", *flags).stdout
    quick("token", "rotate", token_id, *flags)
    listed = json.loads(quick("token", "list", "--json", *flags).stdout)
    assert [(one["events_per_second"], one["requests_per_second"]) for one in listed] == [
        (50, 5)
    ] * 2
    freed = quick(
        *("token", "limits", token_id, "--events-per-second", "none"),
        *("--requests-per-second", "none", *flags),
    )
    assert freed.stdout == f"token {token_id} of acme: no limits of its own\n"
    unknown = quick("organization", "limits", "nobody", *flags)
    assert unknown.stderr == "cost-insights: NAME: there is no organization 'nobody'\n"
    for given in ("0", "-1", "1.5", "1e9", "2000000000", "none"):
        other = quick("organization", "limits", "acme", "--events-per-second", given, *flags)
        assert (other.returncode, other.stdout) == (2, "")
        assert other.stderr == (
            f"cost-insights: --events-per-second: {given!r} is not allowed; write 1 to 1000000000, "
            "or unlimited or default\n"
        )


def test_certificates_are_registered(quick: Command, database_url: str, tmp_path: Path) -> None:
    """A certificate becomes a token without a secret, is listed by its subject, and is replaced by
    another one; what is no certificate is refused."""
    flags = ("--database-url", database_url)
    pki = new_authority(tmp_path / "callers")
    cert, _ = pki.issue("billing", identity="billing.example", days=90)
    quick("organization", "create", "acme", *flags)
    create = ("token", "create", "--organization", "acme", "--scopes", "events:write")
    made = quick(*create, "--certificate", str(cert), *flags)
    assert (made.returncode, made.stdout) == (0, "")
    assert "it is the client certificate of CN=billing.example" in made.stderr
    [one] = json.loads(quick("token", "list", "--json", *flags).stdout)
    assert one["certificate"].startswith("CN=billing.example")
    assert one["secret_ends_with"] is None
    assert dt.datetime.fromisoformat(one["expires"]) - dt.datetime.now(dt.UTC) < dt.timedelta(91)
    assert "CN=billing.example" in quick("token", "list", *flags).stdout
    again = quick(*create, "--certificate", str(cert), *flags)
    assert again.returncode == 1
    assert f"is registered already, as token {one['id']}" in again.stderr
    rotate = ("token", "rotate", one["id"])
    needed = quick(*rotate, *flags)
    assert needed.returncode == 1
    assert "the new one must be given" in needed.stderr
    renewed, key = pki.issue("renewed", identity="billing.example")
    assert quick(*rotate, "--certificate", str(renewed), *flags).returncode == 0
    assert len(json.loads(quick("token", "list", "--json", *flags).stdout)) == 2
    for file, why in ((tmp_path / "none.pem", "cannot be read"), (key, "holds no certificate")):
        other = quick(*create, "--certificate", str(file), *flags)
        assert (other.returncode, other.stdout) == (2, "")
        assert other.stderr.startswith(f"cost-insights: --certificate: {str(file)!r} {why}")


@pytest.mark.parametrize("overlap", ["", "5", "-1h", "1w", "366d", "1.5h", "٣h", "9999999m"])
def test_other_overlaps(quick: Command, overlap: str) -> None:
    """An overlap is minutes, hours or days."""
    done = quick("token", "rotate", "1dbfc517-0bbf-4301-9ba8-555ca42b9737", "--overlap", overlap)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"cost-insights: --overlap: {overlap!r} is not allowed; write ")


def test_a_token_needs_its_organization(quick: Command, tmp_path: object) -> None:
    """An organization that does not exist is not made by the way."""
    flags = ("--database-url", f"sqlite:///{tmp_path}/costs.db")
    quick("db", "upgrade", *flags)
    for arguments in (["create", "--scopes", "events:read"], ["list"]):
        done = quick("token", *arguments, "--organization", "nobody", *flags)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(
            "cost-insights: --organization: there is no organization 'nobody'"
        )


@pytest.mark.slow
def test_a_token_opens_a_running_service_and_closes_it_to_others(
    quick: Command, serve: Serve, database_url: str
) -> None:
    """From the first token on nobody is let in without one; the token acts as its organization."""
    flags = ("--database-url", database_url)
    with serve(*flags, "--grpc-address", "127.0.0.1:0") as serving:
        assert " · callers need no token and act as organization default · " in serving.greeting
        with grpc.insecure_channel(serving.address) as channel:
            Caller(channel).ingest(new_event(cost="1"))
            quick("organization", "create", "acme", *flags)
            secret = quick(
                *("token", "create", "--organization", "acme", "--expires", "never"),
                *("--scopes", "events:write,events:read", *flags),
            ).stdout.strip()
            acme = Caller(channel, secret)
            assert acme.list_events() == []
            # That no token is needed is remembered for a second.
            give_up = time.monotonic() + SECONDS_MAX
            while let_in(channel) and time.monotonic() < give_up:
                time.sleep(0.05)
            with refused("TOKEN_MISSING"):
                Caller(channel).list_page()
        assert serving.stop() == 0
    with serve(*flags, "--grpc-address", "127.0.0.1:0") as serving:
        assert " · callers show access tokens · " in serving.greeting


def let_in(channel: grpc.Channel) -> bool:
    """Whether the service answers somebody without a token."""
    try:
        Caller(channel).list_page()
    except grpc.RpcError:
        return False
    return True


@pytest.mark.parametrize("name", ["", " acme", "a\nb", "x" * 129])
def test_a_name_that_is_no_name_is_refused(quick: Command, tmp_path: object, name: str) -> None:
    """A malformed name is refused in one line."""
    url = f"sqlite:///{tmp_path}/costs.db"
    for flags in ((), ("--if-missing",)):
        done = quick("organization", "create", name, *flags, "--database-url", url)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.count("\n") == 1
        assert "is not a name for an organization" in done.stderr
