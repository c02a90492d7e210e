"""Power losses: everything that was not flushed is gone, or there by chance.

A service, or PostgreSQL under it, runs with a library that writes down every change of its files
and every flush (`journal.c`). From that the files are built again as a power loss may have left
them at any moment: a change is certain if a flush that began after it was over by then; any other
one is dropped, kept or torn by chance. Creating, renaming and deleting files is certain once the
file or its folder was flushed, and what is not is kept up to some moment, as file systems with a
journal of their own do it.
"""

import contextlib
import mmap
import os
import random
import shutil
import struct
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from tests.support.postgresql import Cluster, folder_for_cluster, libpq_url
from tests.support.processes import ServiceProcess
from tests.support.senders import Record, differences, sending, sums_differ
from tests.support.service import LoopThread, running
from tests.trust.campaign.outcomes import QUIET, Outcome, Watch

SOURCE: Final = Path(__file__).with_name("journal.c")
SENDERS: Final = 4
RECORDING_SECONDS_MAX: Final = 10
CONTROLS: Final = 3
"""The number of power losses in a system that never flushes, of which one at least must show."""

WRITE, TRUNCATE, FLUSH_BEGIN, FLUSH_END, CREATE, RENAME, UNLINK, LINK, EXTEND = range(1, 10)

_HEAD: Final = struct.Struct("<IIIIQQ")
_MAGIC: Final = 0x4C4E524A
_SECTOR_BYTES: Final = 512
_VOLATILE: Final = ("-shm", "postmaster.pid", ".s.PGSQL")
"""What no system trusts after a power loss; a process id may belong to another process now."""


@dataclass(frozen=True)
class Change:
    """A record of the journal."""

    kind: int
    path: str
    offset: int
    time_ns: int
    data: slice
    """The bytes of the journal that were written."""


class Journal:
    """What was recorded of the files below a folder."""

    def __init__(self, file: Path) -> None:
        self._file = file.open("rb")
        self._map = mmap.mmap(self._file.fileno(), 0, access=mmap.ACCESS_READ)
        self.changes = list(self._read())

    def close(self) -> None:
        """Closes the file."""
        self._map.close()
        self._file.close()

    def bytes_of(self, data: slice) -> bytes:
        """The bytes that a change wrote."""
        return self._map[data]

    def _read(self) -> Iterator[Change]:
        at = 0
        while at + _HEAD.size <= len(self._map):
            magic, kind, path_bytes, data_bytes, offset, time_ns = _HEAD.unpack_from(self._map, at)
            assert magic == _MAGIC, f"no record at {at}"
            path_at = at + _HEAD.size
            at = path_at + path_bytes + data_bytes
            path = self._map[path_at : path_at + path_bytes].decode()
            yield Change(kind, path, offset, time_ns, slice(path_at + path_bytes, at))


@dataclass
class _Content:
    """The content of a file, whatever its name."""

    base: Path | None = None
    """The file that it was when the journal began."""

    changes: list[tuple[int, Change]] = field(default_factory=list)
    certain_before: int = 0
    """The number of the change from which on nothing is certain."""


@dataclass
class _Naming:
    """A file that got a name or lost one."""

    number: int
    path: str
    content: _Content | None
    """None where the name is gone."""

    is_certain: bool = False


class _Files:
    """The files below a folder, as far as changes tell."""

    def __init__(self, root: Path, base: Path | None) -> None:
        self.names: dict[str, _Content] = {}
        self.namings: list[_Naming] = []
        self._flushes: defaultdict[str, list[tuple[int, _Content | None]]] = defaultdict(list)
        if base is not None:
            for file in base.rglob("*"):
                if file.is_file():
                    self.names[str(root / file.relative_to(base))] = _Content(file)
        self.first_names = dict(self.names)

    def _name(self, number: int, path: str, content: _Content | None) -> None:
        self.namings.append(_Naming(number, path, content))
        if content is None:
            self.names.pop(path, None)
        else:
            self.names[path] = content

    def apply(self, number: int, change: Change, target: str, *, flushes: bool) -> None:
        """Applies one change; `target` is the other name of a file that is renamed."""
        match change.kind:
            case 5:  # CREATE
                self._name(number, change.path, _Content())
            case 1 | 2 | 9:  # WRITE, TRUNCATE, EXTEND
                if change.path not in self.names:
                    self._name(number, change.path, _Content())
                self.names[change.path].changes.append((number, change))
            case 6 | 8:  # RENAME, LINK
                content = self.names.get(change.path, _Content())
                self._name(number, target, content)
                if change.kind == RENAME:
                    self._name(number, change.path, None)
            case 7:  # UNLINK
                self._name(number, change.path, None)
            case 3:  # FLUSH_BEGIN
                self._flushes[change.path].append((number, self.names.get(change.path)))
            case 4 if flushes and self._flushes[change.path]:  # FLUSH_END
                # Of two flushes at a time the earlier one is taken to be over first, which makes
                # less certain than is.
                self._flush(change.path, *self._flushes[change.path].pop(0))

    def _flush(self, path: str, began: int, content: _Content | None) -> None:
        if content is not None:
            content.certain_before = max(content.certain_before, began)
        for naming in self.namings:
            is_its_own = content is not None and naming.content is content
            is_within = content is None and os.path.dirname(naming.path) == path  # noqa: PTH120
            if naming.number < began and (is_its_own or is_within):
                naming.is_certain = True


def rebuild(
    journal: Journal,
    root: Path,
    base: Path | None,
    *,
    target: Path,
    cut: int,
    rng: random.Random,
    flushes: bool = True,
) -> None:
    """Writes the files that a power loss before the change with the number `cut` may have left.

    The journal is of the files below `root`, which were those of `base` when it began. Without
    `flushes` none of them helped, as if the program did not ask for any.
    """
    files = _Files(root, base)
    for number, change in enumerate(journal.changes[:cut]):
        other = ""
        if change.kind in {RENAME, LINK}:
            other = journal.bytes_of(change.data).decode()
        files.apply(number, change, other, flushes=flushes)
    certain = [place for place, naming in enumerate(files.namings, 1) if naming.is_certain]
    kept = rng.randint(certain[-1] if certain else 0, len(files.namings))
    names = dict(files.first_names)
    for naming in files.namings[:kept]:
        if naming.content is None:
            names.pop(naming.path, None)
        else:
            names[naming.path] = naming.content
    if base is not None:
        subprocess.run(["cp", "-a", f"{base}/.", str(target)], check=True)
    owner = (base or root).stat()
    for path in files.first_names.keys() - names.keys():
        (target / Path(path).relative_to(root)).unlink()
    # What was not flushed is gone where flushes do nothing, so that a loss must show.
    chance = rng.choice((0.0, 0.5, 0.9)) if flushes else 0.0
    for path, content in names.items():
        if any(mark in path for mark in _VOLATILE):
            (target / Path(path).relative_to(root)).unlink(missing_ok=True)
            continue
        if not content.changes and content is files.first_names.get(path):
            continue
        file = target / Path(path).relative_to(root)
        file.parent.mkdir(parents=True, exist_ok=True)
        _write(journal, file, content, chance, rng)
        os.chown(file, owner.st_uid, owner.st_gid)
        file.chmod(0o600)


def _write(
    journal: Journal, file: Path, content: _Content, chance: float, rng: random.Random
) -> None:
    file.unlink(missing_ok=True)
    if content.base is not None:
        shutil.copyfile(content.base, file)
    with file.open("r+b" if file.exists() else "w+b") as out:
        for number, change in content.changes:
            is_certain = number < content.certain_before
            if not is_certain and rng.random() >= chance:
                continue
            if change.kind == WRITE:
                data = journal.bytes_of(change.data)
                if not is_certain and rng.random() < 0.2:
                    data = data[: rng.randrange(len(data) + 1) // _SECTOR_BYTES * _SECTOR_BYTES]
                out.seek(change.offset)
                out.write(data)
            else:
                size = out.seek(0, os.SEEK_END)
                if change.kind == TRUNCATE or change.offset > size:
                    out.truncate(change.offset)


@contextlib.contextmanager
def _library() -> Iterator[Path]:
    """The library that keeps the journal."""
    with tempfile.TemporaryDirectory(prefix="cost-insights-journal-") as name:
        library = Path(name) / "journal.so"
        command = ["cc", "-shared", "-fPIC", "-O2", "-o", str(library), str(SOURCE), "-ldl"]
        subprocess.run(command, check=True)
        # PostgreSQL runs as another user.
        Path(name).chmod(0o755)
        yield library


def check(seconds: float, watch: Watch = QUIET, *, seed: int | None = None) -> Outcome:
    """Records a while of load on each database, and loses the power at many moments of it."""
    rng = random.Random(seed if seed is not None else random.SystemRandom().randrange(1 << 32))
    outcome = Outcome()
    rounds = max(1, round(seconds / 600))
    with _library() as library, contextlib.closing(LoopThread()) as loop:
        for _ in range(rounds):
            for part in (_of_sqlite, _of_postgresql):
                part(seconds / rounds / 2, library, loop, rng, watch, outcome)
    return outcome


def _environment(library: Path, journal: Path, root: Path) -> dict[str, str]:
    return {"LD_PRELOAD": str(library), "JOURNAL": str(journal), "JOURNAL_ROOT": str(root)}


def _of_sqlite(  # noqa: PLR0917 - the parts of a row have one signature
    seconds: float,
    library: Path,
    loop: LoopThread,
    rng: random.Random,
    watch: Watch,
    outcome: Outcome,
) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="cost-insights-power-") as name:
        folder = Path(name).resolve()
        root, file = folder / "data", folder / "journal"
        root.mkdir()
        service = ServiceProcess(
            f"sqlite:///{root / 'costs.db'}",
            folder,
            environment=_environment(library, file, root),
        )
        watch.says("recording a load on SQLite")
        service.start()
        try:
            service.wait_until_serving()
            records = _send(service.address, seconds)
        finally:
            service.close()

        def lost(target: Path, until_ns: int) -> list[str]:
            url = f"sqlite:///{target / 'costs.db'}"
            if not (target / "costs.db").exists():
                return ["the database is gone"]
            return _compare(loop, url, records, until_ns)

        with contextlib.closing(Journal(file)) as journal:
            loser = _Loser(journal, root, None, records, rng, outcome, watch, "SQLite")
            loser.lose(lost, began + seconds, folder)


def _of_postgresql(  # noqa: PLR0917 - as above
    seconds: float,
    library: Path,
    loop: LoopThread,
    rng: random.Random,
    watch: Watch,
    outcome: Outcome,
) -> None:
    began = time.monotonic()
    with folder_for_cluster() as name, tempfile.TemporaryDirectory() as logs:
        folder = name.resolve()
        watch.says("recording a load on PostgreSQL")
        plain = Cluster(folder)
        plain.start()
        plain.stop()
        base = folder / "base"
        subprocess.run(["cp", "-a", str(folder / "data"), str(base)], check=True)
        file, root = folder / "journal", folder / "data"
        file.touch()
        file.chmod(0o666)
        cluster = Cluster(folder, environment=_environment(library, file, root))
        cluster.start()
        service = ServiceProcess(cluster.url, Path(logs))
        service.start()
        try:
            service.wait_until_serving()
            records = _send(service.address, seconds, checkpoint_of=cluster.url)
        finally:
            service.close()
            cluster.stop()

        def lost(target: Path, until_ns: int) -> list[str]:
            owner = base.stat()
            os.chown(target, owner.st_uid, owner.st_gid)
            (target / "data").chmod(0o700)
            again = Cluster(target)
            try:
                again.start()
            except RuntimeError as error:
                return [f"PostgreSQL does not start: {str(error)[-300:]}"]
            try:
                return _compare(loop, again.url, records, until_ns)
            finally:
                # Damaged as it may be, it would not stop by itself.
                again.kill()

        with contextlib.closing(Journal(file)) as journal:
            loser = _Loser(journal, root, base, records, rng, outcome, watch, "PostgreSQL")
            loser.lose(lost, began + seconds, folder, below="data")


def _send(address: str, seconds: float, *, checkpoint_of: str | None = None) -> Sequence[Record]:
    """Sends for a while; PostgreSQL writes its pages now and then, as it does within minutes."""
    until = time.monotonic() + min(RECORDING_SECONDS_MAX, seconds / 3)
    with sending(address, SENDERS, batch_events=20) as senders:
        while time.monotonic() < until:
            time.sleep(1)
            if checkpoint_of is not None:
                url = libpq_url(checkpoint_of)
                with psycopg.connect(url, autocommit=True) as connection:
                    connection.execute("CHECKPOINT")
    return [sender.record for sender in senders]


def _compare(loop: LoopThread, url: str, records: Sequence[Record], until_ns: int) -> list[str]:
    """What is stored otherwise than the senders know, and what a service that starts on the files
    finds wrong if nothing is."""
    try:
        if found := differences(url, records, until_ns=until_ns):
            return found
        with running(loop, url) as service:
            return sums_differ(service.address, url)
    except Exception as error:  # noqa: BLE001 - that nothing works is a finding, too
        return [f"{type(error).__name__}: {str(error)[:300]}"]


@dataclass
class _Loser:
    """Loses the power at moments of one journal."""

    journal: Journal
    root: Path
    base: Path | None
    records: Sequence[Record]
    rng: random.Random
    outcome: Outcome
    watch: Watch
    what: str

    def lose(
        self, lost: Callable[[Path, int], list[str]], until: float, folder: Path, *, below: str = ""
    ) -> None:
        """Loses it as often as there is time for, and a few times without flushes."""
        self.outcome.count(f"changes of {self.what} recorded", len(self.journal.changes))
        times = [change.time_ns for change in self.journal.changes]
        acknowledged = [one.at_ns for record in self.records for one in record.acknowledged]
        if not acknowledged:
            self.outcome.failures.append(f"{self.what}: no event was acknowledged")
            return
        first = next(n for n, time_ns in enumerate(times) if time_ns > min(acknowledged))
        found_by_control = 0
        number = 0
        while number < CONTROLS + 1 or time.monotonic() < until:
            is_control = number < CONTROLS
            cut = self.rng.randrange(first, len(times))
            target = folder / f"lost-{number}"
            files = target / below
            files.mkdir(parents=True)
            rebuild(
                self.journal,
                self.root,
                self.base,
                target=files,
                cut=cut,
                rng=self.rng,
                flushes=not is_control,
            )
            found = lost(target, times[cut])
            number += 1
            if is_control:
                found_by_control += bool(found)
            else:
                self.outcome.count(f"power losses of {self.what}")
                self.outcome.failures += [f"{self.what}, change {cut}: {one}" for one in found]
            self.watch.says(f"{number - CONTROLS} power losses of {self.what}")
            shutil.rmtree(target)
        self.outcome.count("controls without flushes that show a loss", found_by_control)
        self.outcome.check(
            found_by_control > 0, f"{self.what}: the control without flushes lost nothing"
        )
