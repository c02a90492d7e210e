"""Errors a caller can act on.

CostInsightsError
├── InvalidRequestError      the caller must change the request
│   └── InvalidEventsError   the faults of events, each with its path
├── NotFoundError            nothing of that name in the caller's organization
├── UnauthenticatedError     the access token is missing, unknown, revoked or expired
├── PermissionDeniedError    the access token lacks the scope
├── LimitExceededError       the request is larger than allowed
├── OverloadedError          the caller may try again later
├── RateLimitedError         the caller must wait, as it sends more than it may
├── QueryTooSlowError        the caller must ask for less
├── StoreUnavailableError    the caller may try again
│   ├── StoreBusyError       all connections to the database are in use
│   ├── StoreFullError       the caller may try again, but not at once
│   ├── StoreLostError       the caller may try again, but not at once
│   └── StoreReadOnlyError   the caller may try again, but not at once
└── ShuttingDownError        the caller may try again

Anything else that reaches a door is a fault of the service: it is logged under
an incident number and answered as INTERNAL with that number, nothing more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cost_insights._native import PanicException

if TYPE_CHECKING:
    from cost_insights._native.events import EventBatch

FAILURES: tuple[type[BaseException], ...] = (Exception, PanicException)
"""The exceptions that work may fail with; a panic of native is not an `Exception`."""

DOMAIN = "cost-insights"
"""The domain of every `google.rpc.ErrorInfo`."""


@dataclass(frozen=True)
class FieldFault:
    """A fault of one field of a request."""

    path: str
    reason: str
    message: str
    value: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)


class CostInsightsError(Exception):
    """An error with a reason from `ErrorReason` and every variable part as a fact."""

    reason: str
    facts: Mapping[str, str]
    retry_after_ms: int | None = None

    def __init__(
        self,
        message: str,
        *,
        reason: str,
        facts: Mapping[str, str] | None = None,
        organization: str | None = None,
    ) -> None:
        """`organization` is the owner of the token, for the log, if nothing else is known about the
        caller."""
        super().__init__(message)
        self.organization = organization
        self.message = message
        self.reason = reason
        self.facts = dict(facts or {})


class InvalidRequestError(CostInsightsError):
    """The caller must change the request; `faults` says where and how.

    `faults_total` is the number of all faults if `faults` holds only some of them, and `refused`
    the number of events with faults.
    """

    def __init__(
        self,
        faults: Sequence[FieldFault],
        *,
        faults_total: int | None = None,
        refused: int | None = None,
    ) -> None:
        first = faults[0]
        total = faults_total if faults_total is not None else len(faults)
        message = f"{first.path}: {first.message}" if first.path else first.message
        if total > 1:
            events = f" in {refused} events" if refused is not None and refused > 1 else ""
            message += f" (the first of {total} faults{events})"
        facts = {"path": first.path, "value": first.value, **first.facts}
        if total > 1:
            facts["faults"] = str(total)
            if refused is not None:
                facts["refused"] = str(refused)
        super().__init__(message, reason=first.reason, facts=facts)
        self.faults = tuple(faults)


def malformed_request(message_name: str) -> InvalidRequestError:
    """The error for bytes that are not a valid message of the call's type."""
    return InvalidRequestError(
        [
            FieldFault(
                "",
                "MALFORMED_REQUEST",
                f"the request is not a valid {message_name}",
                facts={"message": message_name},
            )
        ]
    )


class InvalidEventsError(InvalidRequestError):
    """Events are malformed, and nothing of the request was stored."""

    def __init__(self, batch: "EventBatch") -> None:
        super().__init__(
            [FieldFault(f.path, f.reason, f.message, f.value, f.facts) for f in batch.faults],
            faults_total=batch.faults_total,
            refused=batch.faulty,
        )


class NotFoundError(CostInsightsError):
    """Nothing of that name in the caller's organization."""


class UnauthenticatedError(CostInsightsError):
    """The access token is missing, unknown, revoked or expired."""


class PermissionDeniedError(CostInsightsError):
    """The access token has none of the scopes that the call needs."""


class LimitExceededError(CostInsightsError):
    """The request is larger than allowed."""


class RequestTimeoutError(CostInsightsError):
    """The request did not arrive in time; nothing of it was stored."""

    retry_after_ms = 1_000

    def __init__(self, seconds_max: float) -> None:
        super().__init__(
            f"the request did not arrive within {seconds_max:g} seconds",
            reason="REQUEST_TIMEOUT",
            facts={"seconds_max": f"{seconds_max:g}"},
        )


class OverloadedError(CostInsightsError):
    """Too much is in work or waiting; nothing of the request was stored."""

    retry_after_ms = 1_000


class RateLimitedError(CostInsightsError):
    """The organization or the access token sends more than it may; nothing of the request was
    stored, and nothing was counted."""

    def __init__(
        self,
        *,
        limit: str,
        per_second: int,
        owner_kind: str,
        owner: str,
        organization: str,
        wait_ms: int,
    ) -> None:
        """`limit` is `events_per_second` or `requests_per_second`; `owner` is the name of the
        organization or the id of the access token, as `owner_kind` says."""
        wait_ms = max(1, wait_ms)
        what = limit.partition("_")[0]
        shown = f"organization {owner!r}" if owner_kind == "organization" else f"token {owner}"
        super().__init__(
            f"the {shown} may send {per_second} {what} a second and has sent more; try again in "
            f"{wait_ms / 1_000:g} seconds",
            reason="RATE_LIMITED",
            facts={
                "limit": limit,
                "limit_value": str(per_second),
                "owner_kind": owner_kind,
                "owner": owner,
                "wait_ms": str(wait_ms),
            },
            organization=organization,
        )
        self.retry_after_ms = self.wait_ms = wait_ms


class QueryTooSlowError(CostInsightsError):
    """The answer takes longer than the service allows."""

    def __init__(self, seconds_max: float) -> None:
        super().__init__(
            f"the answer takes longer than {seconds_max:g} seconds; "
            "ask for a shorter span or for fewer customers",
            reason="QUERY_TOO_SLOW",
            facts={"seconds_max": f"{seconds_max:g}"},
        )


class StoreUnavailableError(CostInsightsError):
    """The database does not answer; a retry is safe if every event has an external id."""

    retry_after_ms = 1_000

    def __init__(
        self,
        message: str = "the database does not answer; try again",
        *,
        reason: str = "STORE_UNAVAILABLE",
    ) -> None:
        super().__init__(message, reason=reason)


class StoreBusyError(StoreUnavailableError):
    """All connections of the process to the database were in use for long; it works."""

    def __init__(self) -> None:
        super().__init__(
            "all connections of the process to the database are in use; try again later",
            reason="OVERLOADED",
        )


class StoreFullError(StoreUnavailableError):
    """The disk of the database is full; nothing of the request was stored."""

    retry_after_ms = 10_000

    def __init__(self) -> None:
        super().__init__(
            "the disk of the database is full, so nothing was stored; try again later",
            reason="STORE_FULL",
        )


class StoreReadOnlyError(StoreUnavailableError):
    """The database can be read but not written; nothing of the request was stored."""

    retry_after_ms = 10_000

    def __init__(self) -> None:
        super().__init__(
            "the database is read-only at present, so nothing was stored; try again later",
            reason="STORE_READ_ONLY",
        )


class StoreLostError(StoreUnavailableError):
    """The file of the database is not the one that was opened; nothing of the request was
    stored."""

    retry_after_ms = 10_000

    def __init__(self) -> None:
        super().__init__(
            "the file of the database was deleted or replaced while the service was running, so "
            "nothing was stored; try again later",
            reason="STORE_LOST",
        )


class ShuttingDownError(CostInsightsError):
    """The service is stopping; nothing of the request was stored."""

    retry_after_ms = 1_000

    def __init__(self) -> None:
        super().__init__("the service is stopping; try again", reason="SHUTTING_DOWN")


REASONS = frozenset(
    {
        "AMOUNT_MALFORMED",
        "AMOUNT_OUT_OF_RANGE",
        "AMOUNT_TOO_PRECISE",
        "ANSWER_TOO_LARGE",
        "CURRENCY_UNSUPPORTED",
        "CUSTOMER_NOT_FOUND",
        "DATE_INVALID",
        "EVENT_NOT_FOUND",
        "FIELDS_CONFLICT",
        "FIELD_REQUIRED",
        "INTERNAL",
        "MALFORMED_REQUEST",
        "NAME_RESERVED",
        "NUMBER_OUT_OF_RANGE",
        "OVERLOADED",
        "PAGE_TOKEN_INVALID",
        "QUERY_TOO_SLOW",
        "QUESTION_TOO_LARGE",
        "RATE_LIMITED",
        "REQUEST_TIMEOUT",
        "REQUEST_TOO_LARGE",
        "RESOURCE_NOT_FOUND",
        "SCOPE_MISSING",
        "SHUTTING_DOWN",
        "SPAN_REVERSED",
        "SPAN_TOO_LONG",
        "STORE_FULL",
        "STORE_LOST",
        "STORE_READ_ONLY",
        "STORE_UNAVAILABLE",
        "SUBSCRIPTION_NOT_FOUND",
        "TEXT_MALFORMED",
        "TEXT_TOO_LONG",
        "TIMESTAMP_IN_FUTURE",
        "TIMESTAMP_OUT_OF_RANGE",
        "TIMESTAMP_ZERO",
        "TIMEZONE_UNKNOWN",
        "TOKEN_EXPIRED",
        "TOKEN_MISSING",
        "TOKEN_REVOKED",
        "TOKEN_UNKNOWN",
        "TOO_MANY_VALUES",
        "TYPE_UNSUPPORTED",
        "VALUE_UNKNOWN",
    }
)
"""The reasons given by Python; with those of the native module they are all of `ErrorReason`."""
