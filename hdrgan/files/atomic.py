"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Lend a temporary name beside ``path``; what is written there takes the place of ``path`` in one step.

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
