"""Answers of LLM vendors as their HTTP APIs send them, their costs on paper, and a server."""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

from cost_insights.client import LlmPrice, LlmUsage

FOLDER = Path(__file__).parents[1] / "client" / "answers"


class Expected(NamedTuple):
    """The usage that an answer reports, and its cost in cents."""

    usage: LlmUsage
    cents: str


EXPECTED: Mapping[str, Expected] = {
    # 86 × 2.50 + 1,920 × 1.25 + 300 × 10.00 millionths of a dollar
    "openai_chat": Expected(
        LlmUsage("openai", "gpt-4o-2024-08-06", 2006, 300, 2306, 1920), "0.5615"
    ),
    # 1,928 × 2 + 1,024 × 0.5 + 1,536 × 2 + 512 × 2 + 87 × 8
    "openai_responses": Expected(
        LlmUsage("openai", "gpt-4.1-2025-04-14", 5000, 87, 5087, 1024, 2048, 512), "0.916"
    ),
    # 8 × 0.02
    "openai_embeddings": Expected(
        LlmUsage("openai", "text-embedding-3-small", 8, 0, 8, None), "0.000016"
    ),
    # 21 × 3 + 188,086 × 0.30 + 2,000 × 3.75 + 1,000 × 6 + 393 × 15
    "anthropic_message": Expected(
        LlmUsage(
            "anthropic", "claude-sonnet-4-5-20250929", 191_107, 393, 191_500, 188_086, 3000, 1000
        ),
        "7.58838",
    ),
    # (404 + 50) × 0.30 + 4,096 × 0.075 + (120 + 301) × 2.50
    "google_generate": Expected(
        LlmUsage("google", "gemini-2.5-flash", 4550, 421, 4971, 4096), "0.14959"
    ),
}

PRICES = {
    "gpt-4o": LlmPrice("2.50", "10.00", cached_input="1.25"),
    "gpt-4.1": LlmPrice(2, 8, cached_input=Decimal("0.5")),
    "text-embedding-3-small": LlmPrice("0.02", 0),
    "claude-sonnet-4-5": LlmPrice(
        3, 15, cached_input="0.30", cache_write="3.75", cache_write_long=6
    ),
    "gemini-2.5-flash": LlmPrice("0.30", "2.50", cached_input="0.075"),
}


def json_of(name: str) -> Any:
    """The body of an answer."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def stream_of(name: str) -> list[Any]:
    """The events of a streamed answer."""
    lines = (FOLDER / f"{name}.sse").read_text().splitlines()
    data = [line.removeprefix("data: ") for line in lines if line.startswith("data: ")]
    return [json.loads(each) for each in data if each != "[DONE]"]


PATHS = {
    "/openai/chat/completions": "openai_chat",
    "/openai/responses": "openai_responses",
    "/openai/embeddings": "openai_embeddings",
    "/anthropic/v1/messages": "anthropic_message",
    "/google/v1/models/gemini-2.5-flash:generateContent": "google_generate",
    "/google/v1/models/gemini-2.5-flash:streamGenerateContent": "google_generate",
}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        """Answers as the vendor of the path does."""
        body = self.rfile.read(int(self.headers["content-length"]))
        path = self.path.partition("?")[0]
        streams = "stream" in path or json.loads(body).get("stream") is True
        kind, ending = ("text/event-stream", "sse") if streams else ("application/json", "json")
        content = (FOLDER / f"{PATHS[path]}.{ending}").read_bytes()
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Says nothing."""


@contextlib.contextmanager
def vendors() -> Iterator[str]:
    """The URL of a server that answers as the vendors do, each below a path of its own."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
