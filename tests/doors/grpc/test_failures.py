"""A fault of the service itself ends a call at once, and tells the caller only a number."""

import grpc
import pytest

from cost_insights._native import PanicException
from cost_insights.metrics import reader as query
from tests.support.service import Caller, lately, refused


@pytest.mark.parametrize("error", [RuntimeError("a bug"), PanicException("a bug in native")])
def test_a_bug_is_internal(
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    error: BaseException,
) -> None:
    """The caller learns an incident number, and the log says what happened under it."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(query, "periods_of", fail)
    with refused("INTERNAL") as call:
        caller.get_metrics(**lately())
    incident = call.refusal.facts["incident"]
    assert call.refusal.code is grpc.StatusCode.INTERNAL
    assert call.refusal.message == (
        f"the service failed; its log says why under incident {incident}"
    )
    (record,) = [record for record in caplog.records if incident in record.getMessage()]
    assert record.exc_info is not None
    assert record.exc_info[1] is error
