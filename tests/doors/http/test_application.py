"""What every request passes: routes, methods, tokens, bodies and health."""

import gzip
import json
import socket

import httpx
import pytest

from tests.support.service import Service, StartServer

SPAN = {"start_date": "2026-11-01", "end_date": "2026-11-02", "interval": "day"}
METRICS = "/cost_insights.v1.MetricsService/GetMetrics"


def test_health(stranger: httpx.Client) -> None:
    """Anybody learns that the process is alive and that the database answers."""
    assert stranger.get("/healthz").json() == {"status": "alive"}
    assert stranger.get("/readyz").json() == {"status": "ready"}


def test_not_ready_while_stopping(start_http: StartServer, database_url: str) -> None:
    """A service that stops is not ready, and answers nothing in the end."""
    with start_http(database_url) as service, httpx.Client(base_url=service.url) as client:
        assert client.get("/readyz").status_code == 200
        service.begin_stop().result(timeout=30)
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{service.url}/readyz")


def test_http_can_be_turned_off(start_http: StartServer, database_url: str) -> None:
    """Without an address there is no HTTP server, and gRPC works."""
    with start_http(database_url, http_address="") as service:
        assert service.server.http_address == ""
        assert service.stranger().get_limits().min_date


def test_no_such_path(stranger: httpx.Client) -> None:
    """A path that nothing answers is 404 in the shape of the compatible API."""
    answer = stranger.get("/v2/events")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_wrong_method(stranger: httpx.Client) -> None:
    """A method that a path does not take is 405, and says which are taken."""
    answer = stranger.delete("/v1/metrics/limits")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert answer.json() == {
        "error": "MethodNotAllowed",
        "detail": "the path does not take this method; allowed are GET, HEAD",
    }


def test_options(stranger: httpx.Client) -> None:
    """OPTIONS says which methods a path takes."""
    answer = stranger.options("/v1/metrics/limits")
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == "GET, HEAD"


def test_head(client: httpx.Client) -> None:
    """HEAD answers the headers of GET without a body."""
    answer = client.head("/v1/metrics/limits")
    assert (answer.status_code, answer.content) == (200, b"")
    expected = client.get("/v1/metrics/limits").headers
    for name in ("content-type", "content-length"):
        assert answer.headers[name] == expected[name]


@pytest.mark.parametrize("path", ["/v1/metrics", "//v1/metrics/", "//v1/metrics"])
def test_slashes(client: httpx.Client, path: str) -> None:
    """A path may lack its last slash, or have two at its start, as some base URLs cause."""
    url = httpx.URL(f"{str(client.base_url).rstrip('/')}{path}", params=SPAN)
    assert client.get(url).status_code == 200


def test_no_token(stranger: httpx.Client) -> None:
    """A call without a token is 401 with what to send."""
    answer = stranger.get("/v1/metrics/limits")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="cost-insights"'
    assert answer.json() == {
        "error": "Unauthorized",
        "detail": "the call carries no access token; send `authorization: Bearer TOKEN`",
    }


def test_unknown_token(stranger: httpx.Client) -> None:
    """A token that is not in the database is 401 in the words of OAuth."""
    headers = {"authorization": "Bearer nonsense"}
    answer = stranger.get("/v1/metrics/limits", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == (
        'Bearer realm="cost-insights", error="invalid_token"'
    )
    assert answer.json()["error"] == "invalid_token"
    assert answer.json()["error_description"] == "unknown access token"


def test_missing_scope(web: Service, stranger: httpx.Client) -> None:
    """A token without the scope is 403, which names the scope."""
    token = web.token(web.organization(), frozenset({"events:read"}))
    answer = stranger.get("/v1/metrics/limits", headers={"authorization": f"Bearer {token}"})
    assert answer.status_code == 403
    assert answer.json()["error"] == "insufficient_scope"
    assert answer.json()["detail"] == (
        "GET /v1/metrics/limits needs the scope metrics:read; the access token has events:read"
    )


def test_a_body_of_a_stranger_is_not_read(stranger: httpx.Client) -> None:
    """Whoever shows no token is refused before the body arrives."""
    host, port = stranger.base_url.host, stranger.base_url.port
    assert port is not None
    head = (
        f"POST {METRICS} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        "content-length: 1000000\r\n\r\n"
    )
    with socket.create_connection((host, port), timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.recv(1_000).startswith(b"HTTP/1.1 401 Unauthorized\r\n")


def test_large_answers_are_compressed(client: httpx.Client) -> None:
    """An answer from a kilobyte on is compressed for those who accept it, and for no other."""
    plain = client.get("/v1/metrics/", params=SPAN, headers={"accept-encoding": "identity"})
    packed = client.get("/v1/metrics/", params=SPAN, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()


def test_pages_of_other_origins(start_http: StartServer, database_url: str) -> None:
    """A browser lets pages of an origin call once the setting names it, and not before."""
    headers = {"origin": "https://example.com", "access-control-request-method": "POST"}
    with start_http(database_url) as service:
        answer = httpx.options(f"{service.url}{METRICS}", headers=headers)
        assert "access-control-allow-origin" not in answer.headers
    with start_http(database_url, http_cors_origins=["https://example.com"]) as service:
        answer = httpx.options(f"{service.url}{METRICS}", headers=headers)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://example.com"
        other = headers | {"origin": "https://example.org"}
        answer = httpx.options(f"{service.url}{METRICS}", headers=other)
        assert "access-control-allow-origin" not in answer.headers
        answer = httpx.get(f"{service.url}/v1/metrics/limits", headers=headers)
        assert answer.headers["access-control-allow-origin"] == "https://example.com"


def test_metrics_of_nothing(client: httpx.Client) -> None:
    """Without a choice every metric is answered, in each period and in total, as a number."""
    answer = client.get("/v1/metrics/", params=SPAN).json()
    assert [one["timestamp"] for one in answer["periods"]] == [
        "2026-11-01T00:00:00Z",
        "2026-11-02T00:00:00Z",
    ]
    slugs = set(answer["metrics"])
    assert set(answer["totals"]) == slugs
    assert all(set(one) == slugs | {"timestamp"} for one in answer["periods"])
    assert all(isinstance(number, int) for number in answer["totals"].values())
    assert answer["metrics"]["costs"] == {
        "slug": "costs",
        "display_name": "Costs",
        "type": "currency_sub_cent",
    }


def test_faults_of_a_query(client: httpx.Client) -> None:
    """Every fault of a query is named, with its place."""
    answer = client.get("/v1/metrics/", params={"interval": "fortnight", "organization_id": "x"})
    assert answer.status_code == 422
    assert answer.json()["error"] == "RequestValidationError"
    assert [(one["loc"], one["type"]) for one in answer.json()["detail"]] == [
        (["query", "organization_id"], "value_unknown"),
        (["query", "start_date"], "field_required"),
        (["query", "end_date"], "field_required"),
        (["query", "interval"], "value_unknown"),
    ]
    answer = client.get("/v1/metrics/", params=SPAN | {"metrics": ["cost"], "timezone": "Mars"})
    assert [one["loc"] for one in answer.json()["detail"]] == [
        ["query", "timezone"],
        ["query", "metrics", 0],
    ]


def test_connect_json(client: httpx.Client) -> None:
    """Every RPC can be called as JSON, in either spelling of its fields."""
    for body in (
        {"startDate": "2026-11-01", "endDate": "2026-11-01", "metrics": ["costs"]},
        {"start_date": "2026-11-01", "end_date": "2026-11-01", "metrics": ["costs"]},
    ):
        answer = client.post(METRICS, json=body)
        assert answer.status_code == 200
        assert answer.json()["totals"] == {"costs": "0"}


def test_connect_errors(client: httpx.Client, stranger: httpx.Client) -> None:
    """Errors have the code, the message and the details of gRPC."""
    answer = client.post(METRICS, json={"startDate": "x", "endDate": "2026-11-01"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_argument"
    assert answer.json()["message"].startswith("start_date: 'x' is not a date")
    assert [one["type"] for one in answer.json()["details"]] == [
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
    ]
    answer = stranger.post(METRICS, json={})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        (b'{"start_date": NaN}', "NaN is not JSON"),
        (b"[]", "only an object is allowed"),
        (b"[" * 100_000, "it is nested too deeply"),
        (b'"\xff"', "'utf-8' codec can't decode byte 0xff in position 1"),
        (b'{"start_date": 5}', "Failed to parse start_date field: expected string or bytes-like"),
    ],
)
def test_connect_bodies_that_are_no_message(client: httpx.Client, body: bytes, words: str) -> None:
    """A body that is not the JSON form of the message is the caller's fault, and says why."""
    answer = client.post(METRICS, content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid_argument"
    assert words in answer.json()["message"]


@pytest.mark.parametrize("content_type", ["application/grpc", "text/plain", "", "application/x"])
def test_connect_refuses_other_types(client: httpx.Client, content_type: str) -> None:
    """Another content-type is 415, which says what to send."""
    answer = client.post(METRICS, content=b"", headers={"content-type": content_type})
    assert answer.status_code == 415
    assert "send application/json" in answer.json()["detail"]


def test_grpc_web(client: httpx.Client) -> None:
    """A call by gRPC-Web is answered with a message and then its trailers."""
    answer = client.post(
        "/cost_insights.v1.MetricsService/GetMetricsLimits",
        content=bytes(5),
        headers={"content-type": "application/grpc-web+proto"},
    )
    assert answer.status_code == 200
    assert b"2023-01-01" in answer.content
    assert answer.content.endswith(b"grpc-status: 0\r\n")


def test_connect_compressed_bodies(client: httpx.Client) -> None:
    """A request may be compressed; what comes out of it is limited too."""
    body = json.dumps({"startDate": "2026-11-01", "endDate": "2026-11-01"}).encode()
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert client.post(METRICS, content=gzip.compress(body), headers=headers).status_code == 200
    bomb = gzip.compress(bytes(17 * 1024 * 1024))
    answer = client.post(METRICS, content=bomb, headers=headers)
    assert answer.json()["code"] == "resource_exhausted"
    assert "more than 16777216 bytes" in answer.json()["message"]
    answer = client.post(METRICS, content=gzip.compress(body)[:-4], headers=headers)
    assert answer.json()["code"] == "invalid_argument"
    assert answer.json()["message"] == "the body is not valid gzip: it ends too early"
