"""Do the photos of a plan: several at a time, each by itself, so that the failure of one does not touch the others."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from hdrgan.batch.budget import Budget, megapixels_of
from hdrgan.batch.plan import Planned
from hdrgan.batch.reading import read_photo
from hdrgan.batch.records import RefusedError, commit, drop_private_folders, is_complete, private_folder, remove_orphans
from hdrgan.batch.settings import OutputSettings, Process
from hdrgan.batch.shards import Shard
from hdrgan.files.photo import Photo, PhotoError
from hdrgan.light.cancellation import Cancellation, CancelledError, check_cancelled
from hdrgan.light.parallel import cores, stream

log = logging.getLogger(__name__)
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG}  # after these the next photo fails as well
_NO_ROOM = 1 << 16  # bytes under which a disk counts as full
_GRACE = 2.0  # seconds for which photos that are being done may go on after a stop


class FullError(OSError):
    """The folder of the results cannot be written any more."""


@dataclass(frozen=True)
class Outcome:
    """What became of a photo.

    Args:
        index: its place in the plan.
        photo: its path.
        status: "done", "skipped" where it was complete already, or "failed".
        files: its results, where they are there now.
        reason: why it failed.
        megapixels: its size, where it was done.
        seconds: what it took.
        light: what the photo records of its light, as one line; empty for an ordinary photo.
    """

    index: int
    photo: str
    status: str
    files: tuple[Path, ...] = ()
    reason: str = ""
    megapixels: float = 0.0
    seconds: float = 0.0
    light: str = ""


@dataclass
class Batch:
    """A plan and how it is done.

    Args:
        photos: the plan, that of all processes.
        output: folder of the results.
        settings: what is made of every photo.
        process: from a photo to its result.
        shard: which part of the plan is for this process.
        jobs: photos at a time.
        megapixels: how many may be in memory at a time.
        overwrite: do again what is complete, and replace whatever is in the way.
        cancellation: set to stop: photos that are not done by then are left.
        load: from a path to a photo.
    """

    photos: Sequence[Planned]
    output: Path
    settings: OutputSettings
    process: Process
    shard: Shard = field(default_factory=Shard)
    jobs: int = 1
    megapixels: float = 60.0
    overwrite: bool = False
    cancellation: Cancellation = field(default_factory=Cancellation)
    load: Callable[[str], Photo] = read_photo

    def __post_init__(self) -> None:
        self._budget = Budget(self.megapixels)
        self._inputs = {os.path.abspath(one.photo) for one in self.photos} if self.overwrite else set[str]()
        self._busy = 0
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """How many photos are for this process."""
        return len(range(self.shard.rank, len(self.photos), self.shard.world))

    def run(self) -> Iterator[Outcome | None]:
        """Do them; outcomes as they are ready, and None from time to time in between.

        Raises:
            FullError: the disk is full, or cannot be written at all.
            CancelledError: it was stopped; no photo is left half done.
        """
        for folder in {self.output / photo.folder for photo in self.photos}:
            remove_orphans(folder)
        mine = range(self.shard.rank, len(self.photos), self.shard.world)
        outcomes = stream(self._do, mine, workers=self.jobs)
        try:
            for outcome in outcomes:
                yield outcome
                self.cancellation.check()
        except BaseException:
            self.cancellation.cancel("another photo ended the batch")
            outcomes.close()
            self._wait()
            raise

    def _wait(self) -> None:
        """Give photos that are being done a moment to end, and delete what they have not finished."""
        end = time.monotonic() + _GRACE
        while self._busy and time.monotonic() < end:
            time.sleep(0.02)
        drop_private_folders()

    def _do(self, index: int) -> Outcome:
        start = time.perf_counter()
        with self._lock:
            self._busy += 1
        try:
            with self.cancellation.in_force():
                outcome = self._try(index, self.photos[index])
            return replace(outcome, seconds=round(time.perf_counter() - start, 3))
        finally:
            with self._lock:
                self._busy -= 1

    def _try(self, index: int, planned: Planned) -> Outcome:
        try:
            return self._one(index, planned)
        except CancelledError:
            raise
        except Exception as error:  # the other photos are done all the same
            check_cancelled()  # a decoder takes the end of its work for a damaged file
            if isinstance(error, OSError) and error.errno in _FULL:
                raise FullError(error.errno, error.strerror or "", error.filename) from error
            if not isinstance(error, (PhotoError, RefusedError)) and self._full():
                raise FullError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.output)) from error
            log.debug("%s", planned.photo, exc_info=True)
            return Outcome(index, planned.photo, "failed", reason=_reason(error))

    def _full(self) -> bool:
        """Whether the disk has no room, for libraries that fail without saying why."""
        try:
            return shutil.disk_usage(self.output).free < _NO_ROOM
        except OSError:
            return False

    def _one(self, index: int, planned: Planned) -> Outcome:
        check_cancelled()
        if planned.refusal:
            raise RefusedError(planned.refusal)
        folder = self.output / planned.folder
        wanted = self.settings.files(planned.name)
        files = tuple(folder / file for file in wanted)
        if not os.path.exists(planned.photo):
            raise PhotoError("There is no file of this name; check the path.")
        if is_complete(planned.photo, folder, planned.name, wanted, overwrite=self.overwrite):
            return Outcome(index, planned.photo, "skipped", files)
        for file in files:
            if os.path.abspath(file) in self._inputs:
                raise RefusedError(f"{file} is itself a photo of this batch; choose another --output.")
        with self._budget.hold(megapixels_of(planned.photo)):
            check_cancelled()
            photo = self.load(planned.photo)
            size = photo.width * photo.height / 1e6
            result = self.process(photo)
            with private_folder(folder) as private:
                self.settings.save(result, private, planned.name)
                check_cancelled()
                commit(planned.photo, folder, planned.name, wanted, private)
        return Outcome(index, planned.photo, "done", files, megapixels=size, light=photo.light_note)


def _reason(error: Exception) -> str:
    """Why a photo failed, as one sentence."""
    if isinstance(error, (PhotoError, RefusedError)):
        return str(error)
    if isinstance(error, MemoryError):
        return "There is not enough memory for this photo; give a smaller one, or fewer --jobs."
    if isinstance(error, OSError):
        return f"{error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return f"hdrgan failed with {type(error).__name__}: {error}"


def default_jobs(photos: int) -> int:
    """Photos at a time by default: one for each core."""
    return max(1, min(cores(), photos))
