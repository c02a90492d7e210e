"""The files of the dashboard with their headers, and sessions in place of access tokens."""

import base64
import gzip
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import httpx
import pytest

from cost_insights import identity
from cost_insights.identity import SESSION_SECONDS_MAX, Session, Sessions
from cost_insights.identity.tokens import token_sha256
from tests.support.databases import Databases
from tests.support.samples import EVENTS, METRICS
from tests.support.sdks import NODE_MODULES
from tests.support.service import Caller, LoopThread, Service, running

SESSION = "/dashboard/session"
LIMITS = f"{METRICS}/GetMetricsLimits"
FROM_PAGE = {"connect-protocol-version": "1", "sec-fetch-site": "same-origin"}
COOKIE = "cost_insights_session"
GZIPPED_BYTES_MAX = 250_000

VENDOR = {
    "preact.mjs": "preact/dist/preact.mjs",
    "preact.LICENSE.txt": "preact/LICENSE",
    "htm.module.js": "htm/dist/htm.module.js",
    "htm.LICENSE.txt": "htm/LICENSE",
    "uPlot.esm.js": "uplot/dist/uPlot.esm.js",
    "uPlot.min.css": "uplot/dist/uPlot.min.css",
    "uplot.LICENSE.txt": "uplot/LICENSE",
}
"""The files of libraries, and where the packages of npm have them."""


def files(folder: Traversable, path: str = "") -> Iterator[str]:
    """The path of each file below a folder."""
    for child in folder.iterdir():
        if child.is_dir():
            yield from files(child, f"{path}{child.name}/")
        else:
            yield f"{path}{child.name}"


FOLDER = resources.files("cost_insights.doors.http").joinpath("dashboard")
FILES = sorted(set(files(FOLDER)) - {"index.html"})


def sent(path: str) -> str:
    """The path at which a file is sent."""
    return "/" if path == "index.html" else f"/dashboard/{path}"


@pytest.mark.parametrize("path", ["index.html", *FILES])
def test_every_file(stranger: httpx.Client, path: str) -> None:
    """A file is sent with its headers to anybody, compressed and not, and is not sent twice."""
    content = FOLDER.joinpath(path).read_bytes()
    answer = stranger.get(sent(path), headers={"accept-encoding": "br, gzip"})
    assert (answer.status_code, answer.content) == (200, content)
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "accept-encoding"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"] == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    script = path.endswith(("js", "mjs"))
    assert answer.headers["content-type"].startswith("text/javascript") == script
    plain = stranger.get(sent(path), headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == content
    assert plain.headers["etag"] != answer.headers["etag"]
    again = stranger.get(sent(path), headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    head = stranger.head(sent(path))
    assert (head.status_code, head.content) == (200, b"")


def test_other_paths_and_methods(stranger: httpx.Client) -> None:
    """Nothing else is below the path, and files take no other method."""
    for path in ("x.js", "../pages.py", "%2e%2e/pages.py", "vendor", "", "index.html", "a\\..\\b"):
        assert stranger.get(f"/dashboard/{path}").status_code == 404, path
    assert stranger.post("/").status_code == 405
    assert stranger.options("/").status_code == 204
    assert stranger.put(SESSION, headers=FROM_PAGE).status_code == 405
    assert "POST" in stranger.options(SESSION).headers["allow"]


def test_the_page_loads_what_is_there() -> None:
    """The page names only files of the folder, and has no script, style or handler of its own."""
    text = FOLDER.joinpath("index.html").read_text()
    linked = re.findall(r'(?:src|href)="([^"]+)"', text)
    assert {name.removeprefix("dashboard/") for name in linked} <= set(FILES)
    assert not re.search(r"<style|<script(?![^>]*\ssrc=)|\s(style|on\w+)=|//", text)


def test_imports_lead_to_files() -> None:
    """Each module imports files of the folder, and nothing by another name."""
    for path in FILES:
        if path.endswith("js") and not path.startswith("vendor/"):
            text = FOLDER.joinpath(path).read_text()
            for name in re.findall(
                r'^(?:import|export)\b[^;]*?\bfrom "([^"]+)"', text, re.MULTILINE
            ):
                assert name.startswith("."), name
                found = (Path("/") / Path(path).parent / name).resolve()
                assert str(found)[1:] in FILES, name


def test_the_libraries_are_those_of_npm() -> None:
    """Every file of a library is as its package has it whose version the lock file pins."""
    folder = FOLDER.joinpath("vendor")
    assert set(files(folder)) == set(VENDOR)
    for name, origin in VENDOR.items():
        assert folder.joinpath(name).read_bytes() == (NODE_MODULES / origin).read_bytes(), name


def test_the_size_of_all_files() -> None:
    """Everything together is small when it is sent."""
    sizes = {path: len(gzip.compress(FOLDER.joinpath(path).read_bytes())) for path in FILES}
    assert sum(sizes.values()) <= GZIPPED_BYTES_MAX, sizes


class Browser:
    """A browser that shows the page of a service: it keeps cookies and says whence calls come."""

    def __init__(self, url: str) -> None:
        self._client = httpx.Client(base_url=url, headers=FROM_PAGE, timeout=60)

    def sign_in(self, token: object, **headers: str) -> httpx.Response:
        """Exchanges a token for a session."""
        return self._client.post(SESSION, json={"token": token}, headers=headers)

    def sign_out(self) -> httpx.Response:
        """Ends the session."""
        return self._client.delete(SESSION)

    def session(self) -> dict[str, Any]:
        """Who the browser acts as."""
        described: dict[str, Any] = self._client.get(SESSION).json()
        return described

    def set_cookie(self, value: str) -> None:
        """Replaces the cookie by a value."""
        self._client.cookies.clear()
        self._client.cookies.set(COOKIE, value)

    @property
    def cookie(self) -> str:
        """The value of the cookie."""
        return str(self._client.cookies[COOKIE])

    def call(
        self, path: str = LIMITS, content: bytes = b"{}", /, *, without: str = "", **headers: str
    ) -> httpx.Response:
        """Calls an RPC as JSON, `without` one of the headers."""
        headers = {"content-type": "application/json", **headers}
        request = self._client.build_request("POST", path, content=content, headers=headers)
        if without:
            del request.headers[without]
        return self._client.send(request)

    def get(self, path: str) -> httpx.Response:
        """Gets something else."""
        return self._client.get(path)

    def close(self) -> None:
        """Closes the connection."""
        self._client.close()


@pytest.fixture
def browser(web: Service) -> Iterator[Browser]:
    """A browser without a session."""
    browser = Browser(web.url)
    yield browser
    browser.close()


@pytest.fixture
def member(web: Service) -> Caller:
    """A caller of a new organization, who may read metrics and nothing else."""
    return web.caller(scopes=frozenset({"metrics:read"}))


@pytest.fixture
def signed_in(browser: Browser, member: Caller) -> Browser:
    """A browser with a session of that caller."""
    assert browser.sign_in(member.token).status_code == 204
    return browser


def attributes(answer: httpx.Response) -> Mapping[str, str]:
    """The attributes of the only cookie of an answer, by small letters."""
    (line,) = answer.headers.get_list("set-cookie")
    parts = (part.strip().partition("=") for part in line.split(";")[1:])
    return {name.lower(): value for name, _, value in parts}


def test_signing_in_and_out(browser: Browser, member: Caller) -> None:
    """A token gives a session with its organization and scopes, until it is signed out."""
    assert browser.session()["organization"] is None
    assert browser.call().status_code == 401
    answer = browser.sign_in(member.token)
    assert (answer.status_code, answer.content) == (204, b"")
    said = attributes(answer)
    assert set(said) == {"max-age", "path", "httponly", "samesite"}
    assert (said["path"], said["samesite"].lower()) == ("/", "strict")
    assert SESSION_SECONDS_MAX - 60 <= int(said["max-age"]) <= SESSION_SECONDS_MAX
    session = browser.session()
    assert session.pop("expires") > "2026"
    assert session == {
        "organization": member.organization,
        "scopes": ["metrics:read"],
        "signed_in": True,
        "detail": "",
    }
    assert browser.call().status_code == 200
    assert browser.call("/cost_insights.v1.EventService/ListEvents").status_code == 403
    assert member.token is not None
    assert member.token not in browser.cookie
    assert browser.sign_out().status_code == 204
    assert browser.session()["signed_in"] is False
    assert browser.call().status_code == 401


def test_the_cookie_is_secure_where_the_browser_speaks_tls(
    browser: Browser, member: Caller
) -> None:
    """Behind a proxy that ends TLS the origin of the page says so."""
    answer = browser.sign_in(member.token, origin="https://costs.example")
    assert "secure" in attributes(answer)


def test_a_session_ends_with_its_token(web: Service, browser: Browser) -> None:
    """It lasts no longer than the token, and ends as soon as that is revoked."""
    expires_us = (int(time.time()) + 600) * 1_000_000
    caller = web.caller(expires_us=expires_us)
    assert int(attributes(browser.sign_in(caller.token))["max-age"]) <= 600
    assert browser.call().status_code == 200
    web.revoke(caller)
    answer = browser.call()
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    session = browser.session()
    assert (session["organization"], session["signed_in"]) == (None, False)
    assert "revoked" in session["detail"]


@pytest.mark.parametrize(
    "kind", ["unknown", "mistyped", "revoked", "expired", "number", "empty", "letters"]
)
def test_what_is_no_token(web: Service, browser: Browser, kind: str) -> None:
    """What does not work as a token gives no session."""
    owner = web.organization()
    tokens: Mapping[str, Callable[[], object]] = {
        "unknown": lambda: "x" * 40,
        "mistyped": lambda: "ci_" + "A" * 49,
        "revoked": lambda: web.token(owner, revoked=True),
        "expired": lambda: web.token(owner, expires_us=1),
        "number": lambda: 1,
        "empty": lambda: "  ",
        "letters": lambda: "né",
    }
    answer = browser.sign_in(tokens[kind]())
    assert answer.status_code == (400 if kind in {"number", "empty", "letters"} else 401)
    assert answer.json()["detail"]
    assert "set-cookie" not in answer.headers


def test_bodies_of_other_kinds(stranger: httpx.Client) -> None:
    """What is no small JSON object is refused in words."""
    refused = {
        b"": 400,
        b"{": 400,
        b"[]": 400,
        b'{"token": null}': 400,
        b'{"token": "\\ud800"}': 400,
        b"[" * 4_000: 400,
        b'{"token": "' + b"x" * 5_000 + b'"}': 413,
    }
    for body, status in refused.items():
        headers = {**FROM_PAGE, "content-type": "application/json"}
        answer = stranger.post(SESSION, content=body, headers=headers)
        assert answer.status_code == status, body
        assert answer.json()["detail"]
    answer = stranger.post(SESSION, content=b"token=x", headers=FROM_PAGE)
    assert answer.status_code == 415


def test_a_cookie_of_somebody_else(web: Service, signed_in: Browser, member: Caller) -> None:
    """A value that was changed, made with another key or is over gives no access."""
    value = signed_in.cookie
    content = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
    for place in (0, 31, 32, 63, 64, len(content) - 1):
        changed = bytearray(content)
        changed[place] ^= 1
        signed_in.set_cookie(base64.urlsafe_b64encode(changed).decode().rstrip("="))
        assert signed_in.call().status_code == 401, place
    for wrong in ("", "x", value[:-1], f"{value}=", f"{value}A", f"{value[:9]}.{value[9:]}"):
        signed_in.set_cookie(wrong)
        assert signed_in.call().status_code == 401, wrong
    assert member.token is not None
    key = token_sha256(member.token)
    page_token_key = web.store.page_token_key

    async def made(origin: Callable[[], bytes], expires_us: int) -> str:
        return await Sessions(origin).encode(Session(key, expires_us))

    later = time.time_ns() // 1_000 + 60_000_000
    loop = LoopThread()
    try:
        foreign = loop.run(made(lambda: b"another", later))
        over = loop.run(made(page_token_key, later - 120_000_000))
        good = loop.run(made(page_token_key, later))
    finally:
        loop.close()
    signed_in.set_cookie(foreign)
    assert signed_in.call().status_code == 401
    signed_in.set_cookie(over)
    answer = signed_in.call()
    assert (answer.status_code, "expired" in answer.json()["message"]) == (401, True)
    assert "expired" in signed_in.session()["detail"]
    signed_in.set_cookie(good)
    assert signed_in.call().status_code == 200


def test_pages_of_others(web: Service, signed_in: Browser) -> None:
    """A cookie counts only for requests that come from the page itself."""
    host = web.url.removeprefix("http://")
    assert signed_in.call(without="sec-fetch-site").status_code == 200
    assert signed_in.call(without="sec-fetch-site", origin=web.url).status_code == 200
    for site in ("cross-site", "same-site", "none", ""):
        assert signed_in.call(**{"sec-fetch-site": site}).status_code == 401, site
    for origin in ("http://evil.example", f"http://{host}.evil.example", "null", ""):
        answer = signed_in.call(without="sec-fetch-site", origin=origin)
        assert answer.status_code == 401, origin
    assert signed_in.call(without="connect-protocol-version").status_code == 401
    # Nor do others sign a browser in or out.
    for headers in ({"sec-fetch-site": "cross-site"}, {"connect-protocol-version": "2"}):
        assert signed_in.sign_in("x" * 40, **headers).status_code == 403
    assert signed_in.get(SESSION).json()["signed_in"]


def test_a_token_counts_before_a_cookie(web: Service, signed_in: Browser) -> None:
    """What a caller says with an authorization is not replaced by a cookie."""
    answer = signed_in.call(authorization=f"Bearer {'x' * 40}")
    assert answer.status_code == 401
    other = web.caller(scopes=frozenset({"events:write"}))
    assert signed_in.call(authorization=f"Bearer {other.token}").status_code == 403


def test_only_rpcs_in_json_take_a_cookie(signed_in: Browser) -> None:
    """The compatible API, gRPC-Web and protobuf ignore it."""
    assert signed_in.get("/v1/metrics/limits").status_code == 401
    assert signed_in.get("/v1/events/").status_code == 401
    answer = signed_in.call(**{"content-type": "application/proto"})
    assert answer.status_code == 401
    answer = signed_in.call(**{"content-type": "application/grpc-web+json"})
    assert answer.headers.get("grpc-status") == "16" or b"grpc-status: 16" in answer.content


@pytest.mark.parametrize(
    ("method", "content_type", "site", "code"),
    [
        # The call itself is refused, because it has no field.
        (f"{METRICS}/ExportMetrics", "application/connect+json", "same-origin", "invalid_argument"),
        (f"{METRICS}/ExportMetrics", "application/connect+json", "cross-site", "unauthenticated"),
        (f"{METRICS}/ExportMetrics", "application/connect+proto", "same-origin", "unauthenticated"),
        (f"{EVENTS}/StreamEvents", "application/connect+json", "same-origin", "unauthenticated"),
    ],
)
def test_answers_in_parts(
    signed_in: Browser, method: str, content_type: str, site: str, code: str
) -> None:
    """An export takes the cookie as other calls do; a stream of requests does not."""
    headers = {"content-type": content_type, "sec-fetch-site": site}
    answer = signed_in.call(method, b"\0\0\0\0\2{}", **headers)
    assert (answer.status_code, answer.content[0]) == (200, 2)
    assert json.loads(answer.content[5:])["error"]["code"] == code


def test_a_service_without_tokens_is_open(loop_thread: LoopThread, databases: Databases) -> None:
    """Nobody need sign in where there is no token, and a cookie of another service is no harm."""
    with (
        databases.fresh("sqlite") as url,
        running(loop_thread, url, http_address="127.0.0.1:0") as service,
    ):
        browser = Browser(service.url)
        for _ in range(2):
            session = browser.session()
            assert (session["organization"], session["signed_in"]) == ("default", False)
            assert "metrics:read" in session["scopes"]
            assert browser.call().status_code == 200
            browser.set_cookie("A" * 96)
        browser.close()


def test_a_session_counts_as_its_token(web: Service, browser: Browser) -> None:
    """Its calls are requests of the token, with the rates of that."""
    owner = web.organization()
    with web.store.write() as connection:
        identity.set_limits(connection, owner, {"requests_per_second": 1})
    assert browser.sign_in(web.token(owner)).status_code == 204
    statuses = {browser.call().status_code for _ in range(50)}
    assert statuses == {200, 429}
