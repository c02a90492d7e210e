"""Errors of reading and sending files in the words of a command, with the options that help."""

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from cost_insights.cli.client import command_error
from cost_insights.cli.console import (
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_UNREACHABLE,
    EXIT_USAGE,
    CommandError,
)
from cost_insights.client.service import Service
from cost_insights.files import errors


class Words(NamedTuple):
    """The text around the message of an error, and the exit code of the command."""

    before: str
    after: str
    exit_code: int


WORDS: Final[Mapping[type[errors.FilesError], Words]] = {
    errors.SourceOpenError: Words("FILE: ", "", EXIT_USAGE),
    errors.SourceError: Words("", "", EXIT_REFUSED),
    errors.SourceChangedError: Words(
        "--resume: ",
        ", so it is unknown which events are stored; --restart begins anew",
        EXIT_USAGE,
    ),
    errors.StateError: Words("", "", EXIT_USAGE),
    errors.StateVersionError: Words(
        "",
        "; --restart begins anew, and every event without an external_id then counts again",
        EXIT_USAGE,
    ),
    errors.StateMalformedError: Words("", "; --restart begins anew in its place", EXIT_USAGE),
    errors.CheckpointError: Words("", "; --state names another file", EXIT_REFUSED),
    errors.FaultsOpenError: Words("--faults: ", "", EXIT_USAGE),
    errors.FaultsWriteError: Words("", "", EXIT_REFUSED),
    errors.InterruptedRunError: Words("", "", EXIT_INTERRUPTED),
}


@contextlib.contextmanager
def command_errors(service: Service) -> Iterator[None]:
    """Ends the command where reading a file, or sending it to a service, fails."""
    try:
        yield
    except errors.FilesError as error:
        raise _command_error(error, service) from None


def _command_error(error: errors.FilesError, service: Service) -> CommandError:
    if isinstance(error, errors.StoppedError):
        return _stopped(error, service)
    if isinstance(error, errors.CallFailedError):
        failed = command_error(error.failure, service)
        return CommandError(
            str(failed), exit_code=EXIT_UNREACHABLE if error.gave_up else failed.exit_code
        )
    words = WORDS[type(error)]
    return CommandError(f"{words.before}{error}{words.after}", exit_code=words.exit_code)


def _stopped(error: errors.StoppedError, service: Service) -> CommandError:
    cause = _command_error(error.cause, service)
    parts = [f"{error.name}: stopped: {cause}"]
    if isinstance(error.cause, errors.CallFailedError) and error.cause.failure.is_too_large:
        parts.append("--batch-events makes the batches smaller")
    parts += error.account
    if error.resumable:
        parts.append("--resume goes on from there, and nothing counts twice")
    return CommandError("; ".join(parts), exit_code=cause.exit_code)
