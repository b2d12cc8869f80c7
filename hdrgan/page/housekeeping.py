"""What keeps the disk and the memory of the page bounded. Standard library only."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

EMPTY_FOLDER_S = 60.0
SPARE_DISK = 256 << 20  # what is left of a disk to whatever else runs on the machine

# The folder of temporary files


def sweep(folder: Path, keep_s: float, now: float | None = None) -> None:
    """Delete what is older than ``keep_s`` seconds, and folders left empty; uploads that were broken off as well."""
    now = time.time() if now is None else now
    for path in sorted(folder.rglob("*"), reverse=True):  # what is in a folder comes before the folder
        with suppress(OSError):  # gone meanwhile, or a folder in use
            age_s = now - path.lstat().st_ctime
            if path.is_dir() and not path.is_symlink():
                if age_s > EMPTY_FOLDER_S:
                    path.rmdir()
            elif age_s > keep_s:
                path.unlink()


def keep_awake(paths: Iterable[Path]) -> None:
    """Let files that are still waited for count as new, so that nothing sweeps them."""
    for path in paths:
        with suppress(OSError):
            os.utime(path)


def has_room(folder: Path, most_bytes: int, reserved: int = 0) -> bool:
    """Whether a folder holds less than ``most_bytes``, and its disk has something to spare.

    Args:
        folder: which one.
        most_bytes: what it may hold.
        reserved: bytes that are on their way; where there are any, they must fit as well.
    """
    used = 0
    for root, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                used += os.lstat(os.path.join(root, name)).st_size
    return used + max(0, reserved - 1) < most_bytes and shutil.disk_usage(folder).free > SPARE_DISK + reserved


def claim(folder: Path) -> int:
    """Make a folder, for this account only, and mark it as in use until this process ends, however it ends.

    Returns:
        What holds the mark: closing it with `os.close` gives the folder up. -1 on systems without such locks.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    return _lock(folder)


def remove_orphans(parent: Path, pattern: str) -> list[Path]:
    """Delete the claimed folders of servers that were killed; says which.

    Args:
        parent: where the folders are.
        pattern: whole names of such folders, as a regular expression.
    """
    removed = []
    for path in parent.iterdir() if parent.is_dir() else ():
        with suppress(OSError):
            if path.is_symlink() or not path.is_dir() or not re.fullmatch(pattern, path.name):
                continue
            if path.stat().st_uid != getattr(os, "getuid", lambda: -1)():
                continue
            held = _lock(path)
            if held >= 0:
                shutil.rmtree(path, ignore_errors=True)
                os.close(held)
                removed.append(path)
    return removed


def _lock(folder: Path) -> int:
    try:
        import fcntl
    except ImportError:  # Windows: nothing is marked, so nothing is ever taken for an orphan
        return -1
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        return -1
    return handle


# Memory

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8
_LARGE = 32 << 20  # the most that glibc takes. With 1 MB a photo took twice as long: each block was new memory


def settle_memory() -> bool:
    """Let the C library hand large blocks back as soon as they are free, and keep one pool of all others.

    Left alone, glibc makes a pool for every thread, and what is free in the middle of one stays. `trim_memory` hands
    back what is free in this one. Other C libraries are left alone: False.
    """
    library = _glibc()
    if library is None:
        return False
    # Of a second pool up to 50 MB stayed after one crowd in ten: trimming does not reach the end of it.
    return bool(library.mallopt(_M_ARENA_MAX, 1) and library.mallopt(_M_MMAP_THRESHOLD, _LARGE))


def trim_memory() -> None:
    """Hand back what is free in the pool, too."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        if library.gnu_get_libc_version:
            return library
    return None
