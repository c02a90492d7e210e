"""Statuses of failed calls, read from their trailers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc
from google.rpc import error_details_pb2, status_pb2

from cost_insights.errors import DOMAIN

_STATUS_TRAILER = "grpc-status-details-bin"


class Details(NamedTuple):
    """The details of a status."""

    reason: str
    """The reason of the service; empty if it was not the service that answered."""

    facts: Mapping[str, str]
    """The variable parts of the message."""

    violations: tuple[tuple[str, str], ...]
    """(path, description) of each fault that the status names."""

    retry_seconds: float
    """The time that the service asks to wait; 0 if it does not say."""


def status_of(error: grpc.RpcError) -> status_pb2.Status:
    """The status of a failed call, empty where it has none."""
    # Pairs of a key and a value, whatever the declared type.
    trailers: Any = error.trailing_metadata() or ()
    for name, value in trailers:
        if name == _STATUS_TRAILER:
            return status_pb2.Status.FromString(value)
    return status_pb2.Status()


def details_of(status: status_pb2.Status) -> Details:
    """The details of a status."""
    details = Details("", {}, (), 0.0)
    for detail in status.details:
        info = error_details_pb2.ErrorInfo()
        request = error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        if detail.Unpack(info) and info.domain == DOMAIN:
            details = details._replace(reason=info.reason, facts=dict(info.metadata))
        elif detail.Unpack(request):
            violations = tuple((one.field, one.description) for one in request.field_violations)
            details = details._replace(violations=violations)
        elif detail.Unpack(retry):
            seconds = retry.retry_delay.ToTimedelta().total_seconds()
            details = details._replace(retry_seconds=seconds)
    return details
