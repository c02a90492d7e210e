"""The settings of the service, given by flags or by `COST_INSIGHTS_…` variables."""

import enum
from pathlib import Path
from typing import Any

from platformdirs import user_data_path
from pydantic import Field, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from cost_insights._native.events import Limits

_URL_BYTES_MAX = 16_384


class LogFormat(enum.StrEnum):
    """The forms of the log."""

    CONSOLE = "console"
    JSON = "json"


def _default_database_url(given: dict[str, Any]) -> str:
    if (file := given.get("database_url_file")) is not None:
        return _url_in(file)
    return f"sqlite:///{data_folder() / 'cost-insights.db'}"


def _url_in(file: Path) -> str:
    """The URL in a file, without blanks around it; raises ValueError, which never repeats the
    contents."""
    try:
        with file.open("rb") as opened:
            content = opened.read(_URL_BYTES_MAX + 1)
        url = content.decode().strip()
    except OSError as error:
        raise ValueError(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError("it holds no text in UTF-8") from None
    if not url or "\n" in url or len(content) > _URL_BYTES_MAX:
        raise ValueError("it must hold one line, the URL of a database")
    return url


def demo_database_file() -> Path:
    """The embedded database of `demo`, which each demo replaces."""
    return data_folder() / "demo.db"


def data_folder() -> Path:
    """The default folder of the embedded database."""
    return user_data_path("cost-insights")


class Settings(BaseSettings):
    """Every setting, with its default, its range and what it is for."""

    model_config = SettingsConfigDict(
        env_prefix="COST_INSIGHTS_", frozen=True, use_attribute_docstrings=True
    )

    database_url_file: Path | None = None
    """A file that holds the URL of the database, in place of `COST_INSIGHTS_DATABASE_URL`: neither
    the arguments nor the environment of the process show the password then."""

    database_url: str = Field(default_factory=_default_database_url, repr=False)
    """`sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`; `postgres://` and
    `postgresql://` mean the latter."""

    database_wait_seconds: float = Field(default=30, ge=0, le=3_600)
    """The time to wait at start for a PostgreSQL that is not running yet."""

    database_upgrade: bool = True
    """Whether `serve` brings the schema of the database up to date when it starts."""

    database_connections_max: int = Field(default=12, ge=4, le=100)
    """The number of connections that a process opens: a quarter of them serve questions that are
    answered from memory, four write and compact, and the others read, of which at most half
    export rows of FOCUS. One more connection checks whether the database answers, and one looks up
    access tokens."""

    compact: bool = True
    """Whether the service merges stored cells into larger segments in the background."""

    cache_bytes_max: int = Field(default=256 * 1024 * 1024, ge=0)
    """The size of the cache of sums in a process, in bytes."""

    ledger_bytes_max: int = Field(default=512 * 1024 * 1024, ge=0)
    """The size of the cache of revenue in a process, in bytes. It holds the most
    recently used organizations, and at least one of them, whatever its size."""

    database_retry_seconds: float = Field(default=10, ge=0, le=300)
    """The time for which a transaction is retried while the database fails temporarily, even one
    that only reads or looks up a token."""

    database_answer_seconds_max: float = Field(default=30, ge=1, le=3_600)
    """The time after which a PostgreSQL that has not answered a statement counts as lost."""

    grpc_address: str = "127.0.0.1:50051"
    """The address of the gRPC server; port 0 takes a free port."""

    http_address: str = "127.0.0.1:8080"
    """The address of the HTTP server; port 0 takes a free port, and empty turns it off."""

    admin_address: str = "127.0.0.1:9464"
    """The address of `/metrics` for Prometheus, which whoever reaches it can read, without TLS;
    port 0 takes a free port, and empty turns measurements off."""

    log_format: LogFormat = LogFormat.CONSOLE
    """The form of the log on stderr: `console` has lines for people, `json` an object a line, and a
    line for each call."""

    grpc_message_seconds: float = Field(default=60, ge=0.1, le=3_600)
    """The time that the message of a gRPC request, or the first one of a stream, may take to
    arrive."""

    http_body_seconds: float = Field(default=60, ge=0.1, le=3_600)
    """The time that the body of an HTTP request may take to arrive."""

    http_cors_origins: tuple[str, ...] = ()
    """The origins whose pages may call the HTTP server from a browser, as a JSON list such as
    `["https://example.com"]`; `["*"]` allows every origin."""

    tls_cert: Path | None = None
    """The certificate of the service in PEM, with those that lead to an authority: turns on TLS, on
    both ports. Files that change are read again."""

    tls_key: Path | None = None
    """The key of the certificate, without a password."""

    tls_client_ca: Path | None = None
    """The authorities, in PEM, whose certificates callers must show; none if they need not show
    any."""

    open_organization: str = "default"
    """The organization that callers act as while the database holds no access token."""

    bootstrap_token_file: Path | None = None
    """A file with the secret of the first access token, 32 to 256 characters: `serve` creates that
    token and its organization, the open one, if the database holds no token."""

    token_cache_ms: int = Field(default=1_000, ge=0, le=60_000)
    """The time for which a token is cached: a revoked token still works that long."""

    organization_events_per_second: int = Field(default=0, ge=0, le=1_000_000_000)
    """The number of events a second that an organization may send, unless it has a limit of its own
    (`organization limits`); 0 is no limit."""

    organization_requests_per_second: int = Field(default=0, ge=0, le=1_000_000_000)
    """The number of requests a second that an organization may send, likewise."""

    organization_customers_max: int = Field(default=0, ge=0, le=1_000_000_000)
    """The number of customers that an organization may have, unless it has a limit of its own; what
    names further ones is refused. 0 is no limit."""

    organization_series_max: int = Field(default=0, ge=0, le=1_000_000_000)
    """The number of series, which are combinations of event name, LLM vendor, LLM model and
    product, that an organization may have, unless it has a limit of its own; others are counted
    together, as the event name `other`. 0 is no limit."""

    rate_burst_seconds: float = Field(default=5, ge=0.001, le=3_600)
    """The time for which an organization or a token that was silent may save up what it may
    send."""

    request_bytes_max: int = Field(default=16 * 1024 * 1024, ge=1_024, le=256 * 1024 * 1024)
    """The largest request."""

    request_events_max: int = Field(default=10_000, ge=1, le=100_000)
    """The greatest number of events in one request."""

    event_bytes_max: int = Field(default=32_768, ge=1_024, le=1_048_576)
    """The greatest size of an event's metadata, as stored."""

    metadata_keys_max: int = Field(default=128, ge=0, le=10_000)
    """The greatest number of metadata keys of an event."""

    metadata_key_chars_max: int = Field(default=128, ge=1, le=10_000)
    """The longest metadata key."""

    metadata_text_chars_max: int = Field(default=2_000, ge=1, le=1_000_000)
    """The longest text in metadata."""

    query_seconds_max: float = Field(default=30, ge=0.1, le=3_600)
    """The time limit for an answer of `GetMetrics`, and for each part of an export."""

    question_bytes_max: int = Field(default=1024 * 1024 * 1024, ge=65_536)
    """The memory that an answer of `GetMetrics` may take, as far as it can be told before: the
    stored sums that it reads, or the customers that it ranks. Questions beyond it are refused."""

    clock_skew_ms: int = Field(default=60_000, ge=0, le=86_400_000)
    """The greatest time by which a timestamp may be ahead of the service's clock."""

    waiting_events_max: int = Field(default=200_000, ge=1, le=100_000_000)
    """The greatest number of events that may wait to be stored; beyond it requests are refused."""

    waiting_bytes_max: int = Field(default=256 * 1024 * 1024, ge=1_024)
    """The greatest number of bytes of requests that may wait to be stored; beyond it requests are
    refused."""

    connections_max: int = Field(default=4_096, ge=16, le=100_000)
    """The number of connections that each of the two servers of a process takes; fewer where the
    system lets the process open few files."""

    connection_idle_seconds: float = Field(default=60, ge=1, le=86_400)
    """The time after which a connection without calls is closed."""

    in_flight_bytes_max: int = Field(default=512 * 1024 * 1024, ge=1024 * 1024)
    """The memory for requests from before they are read until they are answered, shared fairly by
    organizations; beyond it requests wait for some seconds and then are refused. Each is counted
    three times, as it came, as it was decoded and as the database takes it, and as 64 KiB at
    least."""

    drain_seconds: float = Field(default=30, ge=0, le=3_600)
    """The time for which running calls may go on after the service is told to stop."""

    @field_validator("database_url_file")
    @classmethod
    def _holds_a_url(cls, file: Path | None) -> Path | None:
        if file is not None:
            _url_in(file)
        return file

    @field_validator("database_url")
    @classmethod
    def _is_given_once(cls, url: str, info: ValidationInfo) -> str:
        if info.data.get("database_url_file") is not None:
            raise ValueError("COST_INSIGHTS_DATABASE_URL_FILE is set too; set only one of the two")
        return url

    def limits(self) -> Limits:
        """The limits that the native decoder checks."""
        return Limits(
            events_max=self.request_events_max,
            event_bytes_max=self.event_bytes_max,
            metadata_keys_max=self.metadata_keys_max,
            metadata_key_chars_max=self.metadata_key_chars_max,
            metadata_text_chars_max=self.metadata_text_chars_max,
            clock_skew_us=self.clock_skew_ms * 1_000,
        )
