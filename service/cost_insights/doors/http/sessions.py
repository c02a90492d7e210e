"""Signing in to the dashboard: a session in a cookie, in place of an access token.

Browsers send cookies by themselves, also for pages of others. A session therefore counts only for
requests that come from the dashboard's own page, and only where `connect.py` asks for it: neither
the compatible API nor gRPC knows it.
"""

import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.requests import ClientDisconnect, Request, cookie_parser
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from cost_insights import clock
from cost_insights.addresses import names_this_machine
from cost_insights.doors.http.answers import HttpError, error_answer, json_answer
from cost_insights.doors.http.bodies import check_json
from cost_insights.doors.http.protocol import certificate_of
from cost_insights.errors import FAILURES, UnauthenticatedError
from cost_insights.identity import SCOPES, Authenticator, Credentials

COOKIE: Final = "cost_insights_session"

PATH: Final = "/dashboard/session"

_BODY_BYTES_MAX: Final = 4_096
"""The greatest size of a request to sign in."""

_HEADERS: Final = {"cache-control": "no-store"}


def session_of(headers: Mapping[str, str]) -> str | None:
    """The session that a request from the page carries in its cookie; None if it has none, or
    comes from elsewhere."""
    cookie = headers.get("cookie")
    if cookie is None or not _is_from_page(headers):
        return None
    return cookie_parser(cookie).get(COOKIE)


def _is_from_page(headers: Mapping[str, str]) -> bool:
    """Whether a request comes from the page, as far as a browser is honest.

    A page of another origin can send the header of its own only after a preflight, which grants
    it nothing here. The browser itself says where a request comes from; only where it says so in
    no other way its `origin` is compared with the host, which a proxy may have changed.
    """
    if headers.get("connect-protocol-version") != "1":
        return False
    if (site := headers.get("sec-fetch-site")) is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def session_routes(authenticator: Authenticator) -> Sequence[BaseRoute]:
    """The route by which the page signs in and out, and asks who it is."""
    handle = _SessionHandler(authenticator).handle
    return [Route(PATH, handle, methods=["GET", "POST", "DELETE"])]


class _SessionHandler:
    """Answers requests about the session of a browser."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._methods: Mapping[str, Callable[[Request], Awaitable[Response]]] = {
            "GET": self._describe,
            "HEAD": self._describe,
            "POST": self._sign_in,
            "DELETE": self._sign_out,
        }

    async def handle(self, request: Request) -> Response:
        """Answers a request of any method that the route takes."""
        try:
            if not _is_from_page(request.headers):
                raise HttpError(
                    403,
                    "only the dashboard's own page may ask for this; it sends "
                    "`connect-protocol-version: 1`",
                )
            return await self._methods[request.method](request)
        except FAILURES as error:  # no error leaves without an answer
            return error_answer(error, method=f"{request.method} {PATH}", organization=None)

    async def _sign_in(self, request: Request) -> Response:
        secret = await _secret(request)
        value, session = await self._authenticator.sign_in(secret)
        answer = Response(status_code=204, headers=_HEADERS)
        answer.set_cookie(
            COOKIE,
            value,
            max_age=max(0, (session.expires_us - clock.now_us()) // 1_000_000),
            path="/",
            secure=_is_secure(request),
            httponly=True,
            samesite="strict",
        )
        return answer

    async def _describe(self, request: Request) -> Response:
        value = session_of(request.headers)
        session = None if value is None else await self._authenticator.session(value)
        described: dict[str, Any] = {
            "organization": None,
            "scopes": [],
            "signed_in": False,
            "expires": None,
            "detail": "",
        }
        try:
            caller = await self._authenticator.authorize(
                Credentials(
                    session=value,
                    certificate=certificate_of(request.scope),
                    names_this_machine=names_this_machine(request.headers.get("host")),
                ),
                method=f"GET {PATH}",
                scopes=SCOPES,
            )
        except UnauthenticatedError as error:
            described["detail"] = error.message
        else:
            described["organization"] = caller.organization.name
            described["scopes"] = sorted(caller.scopes)
            if session is not None:
                described["signed_in"] = True
                described["expires"] = _rfc3339(session.expires_us)
        return json_answer(json.dumps(described, ensure_ascii=False), headers=_HEADERS)

    async def _sign_out(self, request: Request) -> Response:
        answer = Response(status_code=204, headers=_HEADERS)
        answer.delete_cookie(
            COOKIE, path="/", secure=_is_secure(request), httponly=True, samesite="strict"
        )
        return answer


async def _secret(request: Request) -> str:
    """The access token in a request to sign in; raises HttpError."""
    check_json(request.headers.get("content-type", ""))
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > _BODY_BYTES_MAX:
                # The rest of the body would be read only to be thrown away.
                raise HttpError(
                    413,
                    f"the body is larger than {_BODY_BYTES_MAX} bytes",
                    headers={"connection": "close"},
                )
    except ClientDisconnect:
        raise HttpError(400, "the connection ended before the body did") from None
    try:
        token = json.loads(body)["token"]
    except (ValueError, LookupError, TypeError, RecursionError):
        token = None
    if not isinstance(token, str) or not token.strip() or not token.isascii():
        raise HttpError(400, 'the body must be JSON such as {"token": "ci_…"}')
    return token.strip()


def _is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, be it with the service or with a proxy in front of it."""
    return request.url.scheme == "https" or request.headers.get("origin", "").startswith("https://")


def _rfc3339(timestamp_us: int) -> str:
    moment = datetime.fromtimestamp(timestamp_us // 1_000_000, UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
