"""Times as messages."""

from google.protobuf import timestamp_pb2


def timestamp_of(time_us: int) -> timestamp_pb2.Timestamp:
    """A time in microseconds since 1970."""
    seconds, microseconds = divmod(time_us, 1_000_000)
    return timestamp_pb2.Timestamp(seconds=seconds, nanos=microseconds * 1_000)
