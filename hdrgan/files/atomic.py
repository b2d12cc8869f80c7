"""Files that appear whole or not at all, one by one or all of a photo together."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give a temporary name beside ``path``; what is written there replaces ``path`` in one step.

    Args:
        path: where the file is to be. Its folder must exist.

    Yields:
        The path to write to, in the same folder and with the same suffix.

    Raises:
        OSError: with ``path`` as its filename, when the folder cannot be written, the disk is full, or ``path`` is
            something other than a file; an older file at ``path`` is then still whole.
    """
    target = Path(path)
    if target.exists() and not target.is_file():
        # A rename would replace a device or fail on a folder with a message about the temporary name.
        raise OSError(errno.EINVAL, "not a file that can be replaced", str(target))
    # A long name must not grow past the 255 bytes that file systems allow.
    temporary = target.with_name(f".{secrets.token_hex(8)}.part{target.suffix[:16]}")
    try:
        yield temporary
        os.replace(temporary, target)
    except OSError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error), str(target)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_atomic(path: str | os.PathLike[str], *parts: bytes | memoryview) -> None:
    """Write ``parts`` one after another as the whole of ``path``, as `atomic_path` does."""
    with atomic_path(path) as temporary, open(temporary, "xb") as file:
        for part in parts:
            file.write(part)


@contextmanager
def atomic_files(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """Make a private folder within ``folder``; the files in it at the end are moved to ``folder`` together.

    Args:
        folder: where the files are to be. It must exist.

    Yields:
        An empty folder. Whatever ends the block with an error leaves older files in ``folder`` as they are.

    Raises:
        OSError: with the place a file was to take as its filename, when the folder cannot be written, the disk is full,
            or something other than a file stands there.
    """
    target = Path(folder)
    private = target / f".{secrets.token_hex(8)}.part"
    try:
        private.mkdir()
        yield private
        move_files(private, target)
    except OSError as error:
        raise renamed(error, private, target) from error
    finally:
        shutil.rmtree(private, ignore_errors=True)


def move_files(private: Path, folder: Path) -> list[Path]:
    """Move the files of one folder into another of the same file system, replacing those of equal names.

    Returns:
        Their new paths, sorted by name.

    Raises:
        OSError: nothing is moved when something other than a file stands where one is to go; when a move fails, all
            older files are put back, and files that replaced none are taken away again.
    """
    names = sorted(entry.name for entry in os.scandir(private) if entry.is_file())
    places = [folder / name for name in names]
    for place in places:
        if place.exists() and not place.is_file():
            raise OSError(errno.EINVAL, "not a file that can be replaced", str(place))
    moved: list[tuple[Path, Path | None]] = []  # and where the older file is until all are moved
    try:
        for place in places:
            older = private / f".{secrets.token_hex(8)}.old" if os.path.lexists(place) else None
            moved.append((place, older))
            if older is not None and place is not places[-1]:  # after the last move nothing can go wrong
                try:
                    os.link(place, older, follow_symlinks=False)
                except (OSError, NotImplementedError):  # a file system without second names
                    os.replace(place, older)
            os.replace(private / place.name, place)
    except BaseException:
        for place, kept in reversed(moved):
            with suppress(OSError):
                if kept is None:
                    place.unlink(missing_ok=True)
                elif os.path.lexists(kept):
                    os.replace(kept, place)
        raise
    finally:
        for _, kept in moved:
            if kept is not None:
                with suppress(OSError):
                    kept.unlink()
    return places


def renamed(error: OSError, private: Path, folder: Path) -> OSError:
    """The error with the name of a file's place in ``folder`` instead of the private name that it was written under."""
    name = error.filename
    if not isinstance(name, str) or not Path(name).is_relative_to(private):
        return error
    return OSError(error.errno or errno.EIO, error.strerror or str(error), str(folder / Path(name).name))
