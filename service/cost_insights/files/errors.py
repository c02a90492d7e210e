"""Errors of reading and sending files.

FilesError
├── SourceOpenError          the input cannot be opened
├── SourceError              the input cannot be read to its end
│   └── SourceChangedError   the input does not begin with what an earlier run read
├── StateError               the progress that an earlier run left cannot be read
│   ├── StateVersionError    it was left by an earlier version
│   └── StateMalformedError  it is something else
├── CheckpointError          the progress cannot be written
├── FaultsOpenError          the file of faults cannot be opened
├── FaultsWriteError         the file of faults cannot be written
├── CallFailedError          the service does not store what it is sent, or does not answer
├── InterruptedRunError      the run was cancelled
└── StoppedError             the run ended before the end of the input, for one of these causes

Their messages name no option of a command: a program that sends files may have others.
"""

from cost_insights.client.failures import Failure


class FilesError(Exception):
    """Reading or sending a file failed."""


class SourceOpenError(FilesError):
    """The input cannot be opened."""


class SourceError(FilesError):
    """The input cannot be read to its end."""


class SourceChangedError(SourceError):
    """The input does not begin with what an earlier run read."""


class StateError(FilesError):
    """The progress that an earlier run left cannot be read."""


class StateVersionError(StateError):
    """The progress was left by an earlier version, and only that version can go on with it."""


class StateMalformedError(StateError):
    """The file of the progress holds something else."""


class CheckpointError(FilesError):
    """The progress cannot be written."""


class FaultsOpenError(FilesError):
    """The file of faults cannot be opened."""


class FaultsWriteError(FilesError):
    """The file of faults cannot be written."""


class CallFailedError(FilesError):
    """The service does not store what it is sent, or does not answer."""

    def __init__(self, failure: Failure, *, gave_up: bool = False) -> None:
        """`gave_up`: whether the failure may pass, but was retried for as long as allowed."""
        super().__init__(failure.message)
        self.failure = failure
        self.gave_up = gave_up


class InterruptedRunError(FilesError):
    """The run was cancelled."""

    def __init__(self) -> None:
        super().__init__("interrupted")


class StoppedError(FilesError):
    """A run ended before the end of its input."""

    def __init__(
        self, name: str, cause: FilesError, account: tuple[str, ...], *, resumable: bool
    ) -> None:
        """`name` is that of the input, `account` says what became of its records, and `resumable`
        whether another run can go on from there."""
        super().__init__("; ".join([f"{name}: stopped: {cause}", *account]))
        self.name = name
        self.cause = cause
        self.account = account
        self.resumable = resumable
