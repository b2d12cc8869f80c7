"""Checks before step 1, so that a run does not fail hours later."""

from __future__ import annotations

import shutil
from pathlib import Path

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


def check_space(output: Path, needed: int, free: int | None = None) -> None:
    """Make sure that the checkpoints will fit.

    Args:
        output: where they go.
        needed: bytes.
        free: bytes that are left there; None asks.

    Raises:
        UsageError: they will not.
    """
    free = shutil.disk_usage(output).free if free is None else free
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
