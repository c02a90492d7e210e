"""The standard variables of OpenTelemetry, as far as they say whether anything is sent."""

import os
from typing import Final

SIGNALS: Final = ("TRACES", "METRICS", "LOGS")

_PROTOCOL: Final = "grpc"


def sends(signal: str) -> bool:
    """Whether the variables ask for a signal: `TRACES`, `METRICS` or `LOGS`."""
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporters = os.environ.get(f"OTEL_{signal}_EXPORTER")
    if exporters is not None:
        return "otlp" in [one.strip() for one in exporters.split(",")]
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT")
    return any(os.environ.get(one) for one in endpoints)


def sends_anything() -> bool:
    """Whether the variables ask for any signal."""
    return any(sends(signal) for signal in SIGNALS)


def other_protocol() -> str | None:
    """The protocol that the variables ask for, if it is not the one that is supported."""
    names = [f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL" for signal in SIGNALS]
    for name in ("OTEL_EXPORTER_OTLP_PROTOCOL", *names):
        if (value := os.environ.get(name, _PROTOCOL)) != _PROTOCOL:
            return value
    return None
