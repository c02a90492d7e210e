"""Times as messages and as text."""

import datetime

from google.protobuf import timestamp_pb2

_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def timestamp_of(time_us: int) -> timestamp_pb2.Timestamp:
    """A time in microseconds since 1970."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=microseconds * 1_000)


def rfc3339(time_us: int) -> str:
    """A time in microseconds since 1970 as text, such as `2026-11-23T10:08:14.989123Z`."""
    moment = _EPOCH + datetime.timedelta(microseconds=time_us)
    return moment.isoformat().replace("+00:00", "Z")
