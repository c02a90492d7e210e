"""Commands on access tokens, which clients show to act as an organization."""

import datetime as dt
import json
import re
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Final

import rich.markup
import typer

from cost_insights import clock
from cost_insights.cli.console import EXIT_CODES, CommandError, note, out, printable, say, usage
from cost_insights.cli.limits import OF_TOKENS, changed_limits
from cost_insights.cli.opening import DatabaseOption, existing
from cost_insights.cli.organizations import day_shown, list_table, time_shown
from cost_insights.cli.variables import settings_of
from cost_insights.errors import InvalidRequestError, NotFoundError
from cost_insights.identity import (
    RATE_MAX,
    SCOPES,
    AccessToken,
    Certificate,
    CertificateError,
    RateLimits,
    create_token,
    find_organization,
    find_token,
    limit_token,
    list_tokens,
    read_certificate,
    register_certificate,
    revoke_token,
    rotate_token,
)

DAYS_MAX: Final = 36_500
_SUBJECT_CHARS_MAX: Final = 36
OVERLAP_DAYS_MAX: Final = 365

app: Final = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    help="Creates, lists, limits, rotates and revokes access tokens.",
)


_LimitOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|none",
        help=f"What callers may send with the token, 1 to {RATE_MAX}, or no limit beside that of "
        "the organization. Default: none.",
    ),
]


_ChangedLimitOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|none",
        help=f"1 to {RATE_MAX}, or no limit beside that of the organization. Default: no change.",
    ),
]


@app.command(epilog=EXIT_CODES)
def create(
    *,
    organization: Annotated[
        str, typer.Option(metavar="NAME", help="The organization that callers act as.")
    ],
    scopes: Annotated[
        str,
        typer.Option(
            metavar="SCOPE,…",
            help=f"The scopes of the token, any of {', '.join(sorted(SCOPES))}.",
        ),
    ],
    expires: Annotated[
        str,
        typer.Option(
            metavar="DAYSd|DATE|never",
            help=f"When the token expires: after 1d to {DAYS_MAX}d, at the beginning (UTC) of a "
            "future date such as 2030-01-01, or never.",
        ),
    ] = "365d",
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="A client certificate in PEM that acts as the token, which needs no secret then. "
            "Default: none.",
        ),
    ] = None,
    events_per_second: _LimitOption = None,
    requests_per_second: _LimitOption = None,
    database_url: DatabaseOption = None,
) -> None:
    """Creates an access token and prints its secret, which is not shown again.

    The secret alone goes to stdout, so that it can be captured; the rest goes to
    stderr. Once a database holds a token, every call needs one.

    With `--certificate` there is no secret: a service that asks callers for certificates
    (`serve --tls-client-ca`) takes this one for the token where a call carries no other. The token
    expires with the certificate at the latest.

    Example: COST_INSIGHTS_TOKEN=$(cost-insights token create --organization acme
    --scopes events:write,metrics:read --expires 30d)

    Example: cost-insights token create --organization acme --scopes events:write
    --events-per-second 500

    Example: cost-insights token create --organization acme --scopes events:write
    --certificate billing.pem
    """
    limits = RateLimits(
        **changed_limits(
            OF_TOKENS,
            {"events_per_second": events_per_second, "requests_per_second": requests_per_second},
        )
    )
    asked = [scope.strip() for scope in scopes.split(",")]
    unknown = [scope for scope in asked if scope not in SCOPES]
    if unknown:
        raise usage(
            f"--scopes: there is no scope {unknown[0]!r}; allowed are {', '.join(sorted(SCOPES))}"
        )
    expires_us = expiry_us(expires, now_us=clock.now_us())
    shown = _certificate(certificate)
    settings = settings_of(database_url=database_url)
    with existing(settings, wait=True) as store, store.write() as connection:
        owner = find_organization(connection, organization)
        if owner is None:
            raise CommandError(
                f"--organization: there is no organization {organization!r}; "
                "`cost-insights organization create` makes one"
            )
        secret: str | None = None
        try:
            if shown is None:
                token, secret = create_token(
                    connection, owner, asked, expires_us=expires_us, limits=limits
                )
            else:
                token = register_certificate(
                    connection, owner, asked, shown, expires_us=expires_us, limits=limits
                )
        except InvalidRequestError as error:
            raise CommandError(error.message) from None
    _tell(token, secret)


def _certificate(file: Path | None) -> Certificate | None:
    if file is None:
        return None
    try:
        return read_certificate(file)
    except CertificateError as error:
        raise usage(f"--certificate: {error}") from None


def _tell(token: AccessToken, secret: str | None) -> None:
    """Prints a new token and its secret, if it has one."""
    ends = "never expires"
    if token.expires_us is not None:
        ends = f"expires {time_shown(token.expires_us)}"
    told = (
        f"token {token.id} for {token.organization_name}, allows "
        f"{', '.join(sorted(token.scopes))}, {ends}; "
    )
    if secret is None:
        note(f"{told}it is the client certificate of {token.certificate}")
        return
    note(f"{told}its secret is shown only now:")
    say(secret)


@app.command(epilog=EXIT_CODES)
def rotate(
    *,
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id that `token list` shows, a UUID.")
    ],
    overlap: Annotated[
        str,
        typer.Option(
            metavar="Nm|Nh|Nd",
            help="For how long the old token goes on to work: minutes, hours or days, 0m to "
            f"{OVERLAP_DAYS_MAX}d.",
        ),
    ] = "24h",
    expires: Annotated[
        str | None,
        typer.Option(
            metavar="DAYSd|DATE|never",
            help="When the new token expires, as of `token create`. Default: after as long a time "
            "as the old one was made for.",
        ),
    ] = None,
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The client certificate in PEM that acts as the new token, required if the old "
            "one is a certificate. Default: the new token has a secret.",
        ),
    ] = None,
    database_url: DatabaseOption = None,
) -> None:
    """Replaces an access token by a new one, which allows the same for the same organization.

    The secret of the new token, if it has one, goes to stdout. Both tokens work until the overlap
    is over, so that callers can change over one by one; `token list` shows when the old one was
    last used.

    Example: cost-insights token rotate 1dbfc517-0bbf-4301-9ba8-555ca42b9737 --overlap 7d
    """
    identity = _identity(token_id)
    overlap_us = _overlap_us(overlap)
    now_us = clock.now_us()
    expires_us = None if expires is None else expiry_us(expires, now_us=now_us)
    shown = _certificate(certificate)
    with existing(settings_of(database_url=database_url)) as store, store.write() as connection:
        try:
            if expires is None:
                old = find_token(connection, identity)
                if old.expires_us is not None and shown is None:
                    expires_us = now_us + old.lifetime_us
            old, new, secret = rotate_token(
                connection,
                identity,
                overlap_us=overlap_us,
                expires_us=expires_us,
                certificate=shown,
            )
        except (InvalidRequestError, NotFoundError) as error:
            raise CommandError(error.message) from None
    note(f"token {old.id} expires {time_shown(old.expires_us or 0)}")
    _tell(new, secret)


def _overlap_us(text: str) -> int:
    minutes_of = {"m": 1, "h": 60, "d": 1_440}
    if match := re.fullmatch(r"([0-9]{1,6})([mhd])", text, re.ASCII):
        minutes = int(match[1]) * minutes_of[match[2]]
        if minutes <= OVERLAP_DAYS_MAX * 1_440:
            return minutes * 60_000_000
    raise usage(
        f"--overlap: {text!r} is not allowed; write minutes, hours or days, such as 30m, 24h or "
        f"7d, up to {OVERLAP_DAYS_MAX}d"
    )


def _identity(token_id: str) -> uuid.UUID:
    try:
        return uuid.UUID(token_id)
    except ValueError:
        raise usage(
            f"ID: {token_id!r} is not a UUID such as 1dbfc517-0bbf-4301-9ba8-555ca42b9737"
        ) from None


def expiry_us(text: str, *, now_us: int) -> int | None:
    """The time at which a token that is created now expires; None is never."""
    if text == "never":
        return None
    if (match := re.fullmatch(r"([0-9]{1,5})d", text)) and 1 <= int(match[1]) <= DAYS_MAX:
        return now_us + int(match[1]) * 86_400_000_000
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        try:
            days = (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days
        except ValueError:
            days = 0
        if days * 86_400_000_000 > now_us:
            return days * 86_400_000_000
    raise usage(
        f"--expires: {text!r} is not allowed; write 1d to {DAYS_MAX}d, a future date such as "
        "2030-01-01, or never"
    )


@app.command("list", epilog=EXIT_CODES)
def list_(
    *,
    organization: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Only tokens of this organization. Default: all."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON list. Default: a table.")
    ] = False,
    database_url: DatabaseOption = None,
) -> None:
    """Lists the access tokens, in the order in which they were created.

    Secrets are not kept: a token is recognized by its last four characters, or by the subject of
    its certificate. When a token was last
    used is written once a minute.

    Example: cost-insights token list --organization acme
    """
    with existing(settings_of(database_url=database_url)) as store, store.read() as connection:
        if organization is not None and find_organization(connection, organization) is None:
            raise CommandError(f"--organization: there is no organization {organization!r}")
        _print(list_tokens(connection, organization), as_json=as_json)


def _print(found: Sequence[AccessToken], *, as_json: bool) -> None:
    now_us = clock.now_us()
    if as_json:
        say(json.dumps([_as_json(token, now_us) for token in found], ensure_ascii=False))
        return
    table = list_table("id\nsecret\nlast used", "organization", "scopes\nlimits", "created\nstate")
    for token in found:
        table.add_row(
            f"{token.id}\n{_credential(token)}\n{_last_used(token)}",
            rich.markup.escape(printable(token.organization_name)),
            "\n".join([*sorted(token.scopes), *_limits(token)]),
            "\n".join([day_shown(token.created_us), *_state(token, now_us, shown=day_shown)]),
        )
    out.print(table)


def _limits(token: AccessToken) -> list[str]:
    """The limits of a token, such as `50 events/s`."""
    limits = vars(token.limits).items()
    return [f"{value} {limit.partition('_')[0]}/s" for limit, value in limits if value]


def _credential(token: AccessToken) -> str:
    """The end of the secret, or the subject of the certificate, as far as there is room."""
    if token.certificate is None:
        return f"…{token.hint}"
    return rich.markup.escape(printable(token.certificate)[:_SUBJECT_CHARS_MAX])


def _last_used(token: AccessToken) -> str:
    return "never" if token.last_used_us is None else time_shown(token.last_used_us)


def _as_json(token: AccessToken, now_us: int) -> dict[str, object]:
    times = {
        "created": token.created_us,
        "expires": token.expires_us,
        "revoked": token.revoked_us,
        "last_used": token.last_used_us,
    }
    return {
        "id": str(token.id),
        "organization": token.organization_name,
        "scopes": sorted(token.scopes),
        "certificate": token.certificate,
        "secret_ends_with": None if token.certificate is not None else token.hint,
        **vars(token.limits),
        **{name: None if at is None else time_shown(at) for name, at in times.items()},
    }


def _state(token: AccessToken, now_us: int, *, shown: Callable[[int], str]) -> tuple[str, ...]:
    """The state of a token, and the time at which it began or will end."""
    if token.revoked_us is not None:
        return "revoked", shown(token.revoked_us)
    if token.expires_us is None:
        return "never", "expires"
    return "expired" if token.expires_us <= now_us else "expires", shown(token.expires_us)


@app.command(epilog=EXIT_CODES)
def limits(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id that `token list` shows, a UUID.")
    ],
    events_per_second: _ChangedLimitOption = None,
    requests_per_second: _ChangedLimitOption = None,
    database_url: DatabaseOption = None,
) -> None:
    """Changes limits of an access token, and shows them.

    They hold beside those of the organization, which are for all its tokens together. Services
    follow a change within COST_INSIGHTS_TOKEN_CACHE_MS, by default a second.

    Example: cost-insights token limits 1dbfc517-0bbf-4301-9ba8-555ca42b9737 --events-per-second 50
    """
    identity = _identity(token_id)
    changes = changed_limits(
        OF_TOKENS,
        {"events_per_second": events_per_second, "requests_per_second": requests_per_second},
    )
    with existing(settings_of(database_url=database_url)) as store:
        try:
            with store.write() if changes else store.read() as connection:
                token = limit_token(connection, identity, changes)
        except NotFoundError as error:
            raise CommandError(error.message) from None
    shown = ", ".join(_limits(token)) or "no limits of its own"
    say(f"token {token.id} of {token.organization_name}: {shown}")


@app.command(epilog=EXIT_CODES)
def revoke(
    token_id: Annotated[
        str, typer.Argument(metavar="ID", help="The id that `token list` shows, a UUID.")
    ],
    database_url: DatabaseOption = None,
) -> None:
    """Revokes an access token for ever.

    Services stop to take it within COST_INSIGHTS_TOKEN_CACHE_MS, by default a second.

    Example: cost-insights token revoke 1dbfc517-0bbf-4301-9ba8-555ca42b9737
    """
    identity = _identity(token_id)
    with existing(settings_of(database_url=database_url)) as store:
        try:
            with store.write() as connection:
                token = revoke_token(connection, identity)
        except NotFoundError as error:
            raise CommandError(error.message) from None
    state = " ".join(_state(token, clock.now_us(), shown=time_shown))
    say(f"token {token.id} of {token.organization_name}: {state}")
