"""What an operator can set, by flag or by a `COST_INSIGHTS_…` variable."""

from pathlib import Path

from platformdirs import user_data_path
from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from cost_insights import _native


def _default_database_url() -> str:
    return f"sqlite:///{data_folder() / 'cost-insights.db'}"


def demo_database_file() -> Path:
    """The embedded database of `demo`, which each demo makes anew."""
    return data_folder() / "demo.db"


def data_folder() -> Path:
    """Where the embedded database lies unless told otherwise."""
    return user_data_path("cost-insights")


class Settings(BaseSettings):
    """Every setting, with its default, its range and what it is for."""

    model_config = SettingsConfigDict(
        env_prefix="COST_INSIGHTS_", frozen=True, use_attribute_docstrings=True
    )

    database_url: str = Field(default_factory=_default_database_url)
    """`sqlite:///FILE` or `postgresql+psycopg://USER:PASSWORD@HOST/DATABASE`; `postgres://` and
    `postgresql://` mean the latter."""

    database_wait_seconds: float = Field(default=30, ge=0, le=3_600)
    """For how long a PostgreSQL that is not up yet is waited for at start."""

    database_upgrade: bool = True
    """Whether `serve` brings the schema of the database up to date when it starts."""

    database_connections_max: int = Field(default=8, ge=4, le=100)
    """How many connections a process opens: a quarter of them look what there is for questions that
    are answered from memory, one writes, one compacts, the others read, and half of these at most
    export rows of FOCUS. One more asks whether the database answers."""

    compact: bool = True
    """Whether the service merges what was stored into larger segments in the background."""

    cache_bytes_max: int = Field(default=256 * 1024 * 1024, ge=0)
    """How many bytes of sums a process remembers, so that it need not read them again."""

    ledger_bytes_max: int = Field(default=512 * 1024 * 1024, ge=0)
    """How many bytes of orders and subscriptions a process keeps, of the organizations asked
    about last; those of one organization are kept whatever they take."""

    database_retry_seconds: float = Field(default=10, ge=0, le=300)
    """For how long a transaction, also one that only reads or looks up a token, is tried again
    while the database fails in passing."""

    grpc_address: str = "127.0.0.1:50051"
    """Where gRPC is served; port 0 takes a free one."""

    open_organization: str = "default"
    """As whom callers act while the database holds no access token."""

    bootstrap_token_file: Path | None = None
    """A file with the secret of the first access token, 32 to 256 characters: `serve` makes that
    token and its organization, the open one, while the database holds no token."""

    token_cache_ms: int = Field(default=1_000, ge=0, le=60_000)
    """For how long a token is not looked up again: a revoked one works that much longer."""

    request_bytes_max: int = Field(default=16 * 1024 * 1024, ge=1_024, le=256 * 1024 * 1024)
    """The largest request."""

    request_events_max: int = Field(default=10_000, ge=1, le=100_000)
    """The most events in one request."""

    event_bytes_max: int = Field(default=32_768, ge=1_024, le=1_048_576)
    """The largest metadata of an event, as stored."""

    metadata_keys_max: int = Field(default=128, ge=0, le=10_000)
    """The most metadata keys of an event."""

    metadata_key_chars_max: int = Field(default=128, ge=1, le=10_000)
    """The longest metadata key."""

    metadata_text_chars_max: int = Field(default=2_000, ge=1, le=1_000_000)
    """The longest text in metadata."""

    query_seconds_max: float = Field(default=30, ge=0.1, le=3_600)
    """For how long an answer of `GetMetrics`, or a part of an export, may be worked on before it
    is given up."""

    clock_skew_ms: int = Field(default=60_000, ge=0, le=86_400_000)
    """How far ahead of the service's clock a timestamp may lie."""

    waiting_events_max: int = Field(default=200_000, ge=1, le=100_000_000)
    """How many events may wait to be stored before new ones are refused."""

    waiting_bytes_max: int = Field(default=256 * 1024 * 1024, ge=1_024)
    """How many bytes of requests may wait to be stored before new ones are refused."""

    drain_seconds: float = Field(default=30, ge=0, le=3_600)
    """How long calls that run may still take once the service is told to stop."""

    def limits(self) -> _native.Limits:
        """What the native decoder checks."""
        return _native.Limits(
            events_max=self.request_events_max,
            event_bytes_max=self.event_bytes_max,
            metadata_keys_max=self.metadata_keys_max,
            metadata_key_chars_max=self.metadata_key_chars_max,
            metadata_text_chars_max=self.metadata_text_chars_max,
            clock_skew_us=self.clock_skew_ms * 1_000,
        )
