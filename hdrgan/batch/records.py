"""What was made of which photo: how a batch knows what is complete, and which photo a file belongs to.

Beside the results of a folder stands ``.hdrgan/<name>.json`` for each photo: what photo it was, and of each file its
size and the settings it was made with. The files of a photo are written into a private folder within ``.hdrgan``,
then the record claims their names, then they are moved to their places, then the record says that they are complete. A
process that is killed in between leaves at worst names that are claimed: their photo is done again.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hdrgan.files.atomic import move_files, renamed

if (
    sys.platform != "win32"
):  # without locks, private folders that a killed process left cannot be distinguished from others
    import fcntl

FOLDER = ".hdrgan"
Settings = Mapping[str, Any]  # the settings that decide what is in a file, for people to read


class RefusedError(ValueError):
    """A photo whose results would replace files of something else; the message is one plain sentence."""


@dataclass(frozen=True)
class Source:
    """What the record keeps of a photo to recognise it.

    Args:
        file: its folder's name and its own.
        bytes: its size.
        modified: when it was changed last, in nanoseconds.
        sha256: of its content; "" where it has not been read.
    """

    file: str
    bytes: int
    modified: int
    sha256: str = ""

    @classmethod
    def of(cls, photo: str, *, read: bool = False) -> Source:
        """What is known of a file, by its content too where it is read.

        Raises:
            OSError: it cannot be looked at.
        """
        status = os.stat(photo)
        path = os.path.abspath(photo)
        file = "/".join((os.path.basename(os.path.dirname(path)), os.path.basename(path)))
        digest = ""
        if read and stat.S_ISREG(status.st_mode):
            with open(photo, "rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
        return cls(file, status.st_size, status.st_mtime_ns, digest)

    def is_of(self, photo: str) -> bool:
        """Whether the photo is this one: by name, size and date, or else by what is in it."""
        now = Source.of(photo)
        if (now.file, now.bytes, now.modified) == (self.file, self.bytes, self.modified):
            return True
        return now.bytes == self.bytes and Source.of(photo, read=True).sha256 == self.sha256


@dataclass
class Record:
    """What a folder holds of one photo.

    Args:
        photo: of which all this was made.
        files: for each complete file its size in bytes and the settings it was made with.
        claimed: files that are being moved to their places, or were when a process was killed.
    """

    photo: Source
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    claimed: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path, name: str) -> Record | None:
        """The record of a name; None where there is none, or it cannot be read."""
        try:
            data = json.loads((folder / FOLDER / f"{name}.json").read_bytes())
            record = cls(Source(**data["photo"]), dict(data["files"]), list(data["claimed"]))
            if all({"bytes", "settings"} <= entry.keys() for entry in record.files.values()):
                return record
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            pass
        return None

    def write(self, folder: Path, name: str, private: Path) -> None:
        """Put the record in its place in one step, by way of a private folder."""
        step = private / "record"
        step.mkdir(exist_ok=True)
        (step / f"{name}.json").write_text(json.dumps(asdict(self), indent=1, sort_keys=True) + "\n")
        move_files(step, folder / FOLDER)


def is_complete(
    photo: str, folder: Path, name: str, wanted: Mapping[str, Settings], *, overwrite: bool = False
) -> bool:
    """Whether all that is wanted of a photo is there.

    Args:
        photo: its path.
        folder: where its results are.
        name: what their names begin with.
        wanted: for each file that is to be made the settings.
        overwrite: nothing counts as complete, and anything may be replaced but the photo itself.

    Raises:
        RefusedError: to make it, something would be replaced that is not hdrgan's, was edited since, or is of another
            photo.
        OSError: the photo cannot be looked at.
    """
    existing = {file: os.lstat(folder / file).st_size for file in wanted if os.path.lexists(folder / file)}
    for file in existing:
        if os.path.exists(folder / file) and os.path.samefile(folder / file, photo):
            raise RefusedError(f"{folder / file} is the photo itself; choose another --output.")
    if overwrite:
        return False
    record = Record.read(folder, name)
    if record is None or not existing:
        if existing:
            raise RefusedError(
                f"{folder / next(iter(existing))} is there already and was not written by a batch of hdrgan; "
                f"choose another --output, or replace it with --overwrite."
            )
        return False
    for file in existing:
        if file not in record.files and file not in record.claimed:
            raise RefusedError(
                f"{folder / file} is there already and was not written by hdrgan; "
                f"choose another --output, or replace it with --overwrite."
            )
    if not record.photo.is_of(photo):
        raise RefusedError(
            f"{folder / next(iter(existing))} was made of another photo, or before this one was changed; "
            f"choose another --output, or replace it with --overwrite."
        )
    ours = {file: record.files[file] for file in existing if file not in record.claimed}
    if sum(entry["settings"] == _plain(wanted[file]) for file, entry in ours.items()) == len(wanted):
        return True
    for file, entry in ours.items():
        if entry["bytes"] != existing[file]:
            raise RefusedError(
                f"{folder / file} has been changed since it was written; "
                f"choose another --output, or replace it with --overwrite."
            )
    return False


def commit(photo: str, folder: Path, name: str, wanted: Mapping[str, Settings], private: Path) -> list[Path]:
    """Move the files of a photo from a private folder to their places, all of them, and record them as complete.

    Raises:
        OSError: with the place of a file as its name. Older files are then still there.
    """
    source = Source.of(photo, read=True)
    record = Record.read(folder, name)
    kept = record.files if record is not None and record.photo.sha256 == source.sha256 else {}
    kept = {file: entry for file, entry in kept.items() if file not in wanted and (folder / file).exists()}
    left = [file for file in record.claimed if file not in wanted and (folder / file).exists()] if record else []
    new = {
        file: {"bytes": (private / file).stat().st_size, "settings": _plain(values)} for file, values in wanted.items()
    }
    before = folder / FOLDER / f"{name}.json"
    older = before.read_bytes() if before.exists() else None
    try:
        Record(source, kept, sorted([*wanted, *left])).write(folder, name, private)
        try:
            move_files(private, folder)
        except OSError:
            if older is None:
                before.unlink(missing_ok=True)
            raise
        Record(source, kept | new, left).write(folder, name, private)
    except OSError as error:
        raise renamed(error, private, folder) from error
    return [folder / file for file in wanted]


@contextmanager
def private_folder(folder: Path) -> Iterator[Path]:
    """Make an empty folder on the file system of ``folder``, locked while it is used and deleted afterwards."""
    inside = folder / FOLDER
    while True:
        inside.mkdir(parents=True, exist_ok=True)
        private = inside / f"{secrets.token_hex(8)}.part"
        try:
            private.mkdir()
        except FileNotFoundError:  # another thread was done, and took the empty folder away
            continue
        lock = _lock(private, wait=True)
        # Another process may have deleted it before it was locked.
        if private.exists():
            break
        _unlock(lock)
    _in_use.add(private)
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)
        _in_use.discard(private)
        _unlock(lock)
        with suppress(OSError):
            inside.rmdir()  # only where there is no record in it


_in_use: set[Path] = set()


def drop_private_folders() -> None:
    """Delete the private folders of this process without waiting for its threads."""
    for private in list(_in_use):
        # After the renaming, a thread that still works cannot write into it.
        dropped = private.with_name(f"{secrets.token_hex(8)}.part")
        with suppress(OSError):
            private.rename(dropped)
            shutil.rmtree(dropped, ignore_errors=True)


def remove_orphans(folder: Path) -> None:
    """Delete private folders that killed processes left in ``folder``; those of living ones are locked."""
    try:
        left = [Path(entry.path) for entry in os.scandir(folder / FOLDER) if entry.name.endswith(".part")]
    except OSError:
        return
    for private in left:
        try:
            lock = _lock(private, wait=False)
        except OSError:
            continue
        if lock is not None:
            shutil.rmtree(private, ignore_errors=True)
            _unlock(lock)


def _lock(folder: Path, *, wait: bool) -> int | None:
    """Lock a folder; None where this system has no locks, OSError where another process has it and `wait` is off."""
    if sys.platform == "win32":
        return None
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        os.close(descriptor)
        if wait and error.errno in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
            return None  # a network drive without locks
        raise
    return descriptor


def _unlock(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)


def _plain(values: Settings) -> Any:
    """Settings as JSON gives them back."""
    return json.loads(json.dumps(values))
