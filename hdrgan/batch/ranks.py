"""How the processes of one batch exchange their progress: a small file of each, beside the results that they share."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from hdrgan.batch.records import FOLDER
from hdrgan.batch.shards import Shard
from hdrgan.files.atomic import write_atomic

_PUBLISH = 1.0  # seconds between two reports
_LOST = 60.0  # seconds without a report after which a process is no longer waited for
_BEFORE = 120.0  # seconds before our own start in which another process may have started


@dataclass
class Tally:
    """How far a process is.

    Args:
        total: photos that it is to do.
        done, skipped, failed: photos that were done, were complete already, could not be done.
        megapixels: of the photos that were done.
        finished: whether it goes on.
    """

    total: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    megapixels: float = 0.0
    finished: bool = False

    @property
    def handled(self) -> int:
        """Photos that it has finished: done, skipped or failed."""
        return self.done + self.skipped + self.failed

    def count(self, status: str, megapixels: float) -> None:
        """Add a photo."""
        setattr(self, status, getattr(self, status) + 1)
        self.megapixels += megapixels

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.total + other.total,
            self.done + other.done,
            self.skipped + other.skipped,
            self.failed + other.failed,
            self.megapixels + other.megapixels,
            self.finished and other.finished,
        )


class Ranks:
    """The reports of all processes that one engine started.

    A process that ends with an error makes torchrun and accelerate end all others, so that each waits until all are
    done before it says how it went.

    Args:
        output: folder of the results, which all processes see.
        shard: this process.
    """

    def __init__(self, output: Path, shard: Shard):
        self._folder = output / FOLDER / "ranks"
        self._shard = shard
        self._started = time.time()
        self._published = 0.0
        self._looked = 0.0
        self._last: dict[int, Tally | None] = {}
        self._seen: dict[int, Tally] = {}

    def publish(self, tally: Tally, *, now: bool = False) -> None:
        """Report how far this process is, at most once a second unless it is to be ``now``."""
        if not self._shard.launched or (not now and time.monotonic() - self._published < _PUBLISH):
            return
        self._published = time.monotonic()
        with suppress(OSError):  # a report is worth no photo
            self._folder.mkdir(parents=True, exist_ok=True)
            write_atomic(self._file(self._shard.rank), json.dumps(asdict(tally)).encode())

    def others(self) -> dict[int, Tally | None]:
        """The last report of each other process; None of those that have been silent for too long."""
        if not self._shard.launched:
            return {}
        reports: dict[int, Tally | None] = {}
        for rank in range(self._shard.world):
            if rank != self._shard.rank:
                reports[rank] = self._report(rank)
        return reports

    def _report(self, rank: int) -> Tally | None:
        now = time.time()
        try:
            path = self._file(rank)
            written = path.stat().st_mtime
            if written >= self._started - _BEFORE:
                self._seen[rank] = tally = Tally(**json.loads(path.read_bytes()))
                return tally if tally.finished or now - written < _LOST else None
        except (OSError, ValueError, TypeError):
            if rank in self._seen:  # the first process has cleared the reports away, because all were done
                self._seen[rank].finished = True
                return self._seen[rank]
        return Tally() if now - self._started < _LOST else None

    def total(self, tally: Tally) -> Tally:
        """How far all processes are, as far as was known a moment ago."""
        if time.monotonic() - self._looked >= _PUBLISH:
            self._looked = time.monotonic()
            self._last = self.others()
        return sum((other for other in self._last.values() if other is not None), tally)

    def wait(self, tally: Tally, stopped: Callable[[], bool]) -> tuple[Tally, list[int]]:
        """Wait until every process is done; their reports added up, and the numbers of those that stopped reporting."""
        self.others()  # the first process clears the reports away when all are finished: see them before that
        tally.finished = True
        self.publish(tally, now=True)
        while not stopped():
            others = self.others()
            if all(other is None or other.finished for other in others.values()):
                break
            time.sleep(0.2)
            with suppress(OSError):  # still there; no new file, for the first process may just have cleared all away
                os.utime(self._file(self._shard.rank))
        silent = [rank for rank, other in self.others().items() if other is None]
        total = sum((self._seen[rank] for rank in self._seen), tally)
        if self._shard.rank == 0:
            self.clear()
        return total, silent

    def clear(self) -> None:
        """Delete the reports."""
        for rank in range(self._shard.world):
            self._file(rank).unlink(missing_ok=True)
        with suppress(OSError):
            self._folder.rmdir()
            os.rmdir(self._folder.parent)

    def _file(self, rank: int) -> Path:
        return self._folder / f"{rank}.json"
