"""Checks before step 1, so that a run does not fail hours later."""

from __future__ import annotations

import os
import secrets
import shutil
import time
from pathlib import Path

from hdrgan.data.camera import VirtualCamera
from hdrgan.training.checkpoints import CheckpointError, newest_checkpoint, read_progress


class UsageError(ValueError):
    """Something that the user must change before the run can start; raised before step 1."""


def check_output(output: Path, resume: str | None) -> None:
    """Make sure that the output folder can be written and holds no other run.

    Raises:
        UsageError: it cannot, or it does.
    """
    try:
        output.mkdir(parents=True, exist_ok=True)
        probe = output / ".probe.tmp"
        probe.write_bytes(b"\0" * 4096)
        probe.unlink()
    except OSError as error:
        raise UsageError(f"--output {output} cannot be written: {error.strerror or error}") from error
    if resume is None and (newest := newest_checkpoint(output / "state")):
        raise UsageError(f"{output} holds a run ({newest.name}): use --resume latest, or another --output")


def check_space(output: Path, needed: int) -> None:
    """Make sure that the checkpoints, so many bytes, will fit into the output folder.

    Raises:
        UsageError: they will not.
    """
    free = shutil.disk_usage(output).free
    if free < needed:
        raise UsageError(
            f"--output {output} has {free / 1e6:,.0f} MB left, and this run's checkpoints take {needed / 1e6:,.0f} MB"
        )


def find_checkpoint(output: Path, resume: str | None) -> Path | None:
    """The checkpoint that ``--resume`` means, or None where there is none yet.

    Raises:
        UsageError: the one that it names cannot be used.
    """
    if resume is None:
        return None
    if resume == "latest":
        return newest_checkpoint(output / "state")
    folder = Path(resume)
    try:
        read_progress(folder)
    except CheckpointError as error:
        raise UsageError(f"--resume: {error}") from error
    return folder


def check_responses(file: Path | None) -> None:
    """Make sure that the virtual camera can read its response curves.

    Raises:
        UsageError: it cannot.
    """
    try:
        VirtualCamera(file)
    except FileNotFoundError as error:
        raise UsageError(f"--responses {file}: there is no such file") from error
    except Exception as error:  # a damaged archive ends in whatever its reader trips over
        why = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UsageError(f"--responses {file} cannot be read: {why}") from error


MARK = ".shared.tmp"


def leave_mark(output: Path) -> str:
    """Put a file with random content into the output folder, and return the content; see `sees_mark`."""
    content = secrets.token_hex(16)
    with (output / MARK).open("w", encoding="ascii") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return content


def sees_mark(output: Path, content: str, patience: float = 20.0) -> bool:
    """Whether this process sees what the main one left in the output folder: a network disk may take a while.

    Args:
        output: as this process knows it.
        content: what the main process wrote.
        patience: seconds to wait for it.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            if (output / MARK).read_text(encoding="ascii") == content:
                return True
        except (OSError, ValueError):
            pass
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
