"""Checkpoints: what they store, and folders that appear whole or not at all.

A folder is written beside its name, forced to disk, then renamed.

A run that is killed, or a disk that fills up, leaves a hidden temporary folder and the last complete checkpoint.
"""

from __future__ import annotations

import contextlib
import json
import logging
import math
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from hdrgan.files.atomic import atomic_path
from hdrgan.models.weights_file import sha256_of

log = logging.getLogger(__name__)

STEP_FILE = "trainer.json"
"""Written last: where the run stood, and size and SHA-256 of every other file of the checkpoint."""

NETWORK_NAME = "generator"
"""Folder of a checkpoint that holds the network as it then was, for people to use."""

KEPT = 2
"""Complete checkpoints that are kept by default: the newest, and one more in case a disk loses it."""

_STEP = re.compile(r"step_(\d+)$")


class CheckpointError(RuntimeError):
    """A checkpoint that could not be written, or cannot be resumed from; the message names its path."""


def _sync(path: Path) -> None:
    """Force a file, or the names in a folder, to disk, as far as the system can."""
    folder = path.is_dir()
    if folder and not hasattr(os, "O_DIRECTORY"):
        return  # Windows opens no folders, and its file system keeps a journal of names
    # Windows flushes only what may be written.
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def temporary_folder(final: Path) -> Path:
    """Where a folder is written before it is committed."""
    return final.with_name(f".{final.name}.tmp")


def start_folder(final: Path) -> Path:
    """Make an empty temporary folder for ``final``, in the place of any that was left behind."""
    temporary = temporary_folder(final)
    with writing(final):
        if temporary.exists():
            shutil.rmtree(temporary)
        temporary.mkdir(parents=True)
    return temporary


def commit_folder(final: Path) -> None:
    """Force the temporary folder of ``final`` to disk and give it its name, in the place of an older one."""
    temporary = temporary_folder(final)
    outgoing = final.with_name(f".{final.name}.old.tmp")
    with writing(final):
        for path in temporary.rglob("*"):
            _sync(path)
        _sync(temporary)
        if final.exists():
            shutil.rmtree(outgoing, ignore_errors=True)
            final.rename(outgoing)
        temporary.rename(final)
        _sync(final.parent)
    shutil.rmtree(outgoing, ignore_errors=True)


@contextlib.contextmanager
def writing(final: Path) -> Iterator[None]:
    """Turn whatever goes wrong while a folder is written into one error that names it.

    Raises:
        CheckpointError: the disk is full, or the folder cannot be written.
    """
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{final} could not be written: {error}") from error
    except RuntimeError as error:
        # torch.save has no exception of its own for a failed write.
        if "PytorchStreamWriter" not in str(error) and "write" not in str(error):
            raise
        raise CheckpointError(f"{final} could not be written: {str(error).splitlines()[0]}") from error


def write_text(file: Path, text: str) -> None:
    """Write a small file whole or not at all."""
    with writing(file), atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
        _sync(temporary)


def checkpoint_folder(states: Path, step: int) -> Path:
    """``states/step_000500`` of step 500."""
    return states / f"step_{step:06d}"


def seal(folder: Path, progress: dict[str, Any]) -> None:
    """Write `STEP_FILE` into a temporary folder that has everything else."""
    with writing(folder):
        files = {
            path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": sha256_of(path)}
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        (folder / STEP_FILE).write_text(json.dumps({**progress, "files": files}, indent=2), encoding="utf-8")


def read_progress(folder: Path) -> dict[str, Any]:
    """What `seal` wrote, after every other file was compared with its size and SHA-256.

    Raises:
        CheckpointError: the folder is no checkpoint, not a complete one, or one of its files was changed.
    """
    try:
        progress: dict[str, Any] = json.loads((folder / STEP_FILE).read_text(encoding="utf-8"))
        files = {str(name): (int(entry["size"]), str(entry["sha256"])) for name, entry in progress["files"].items()}
        counts = [progress["step"], progress["samples"], progress.get("skipped", 0)]
        seconds, settings = progress.get("seconds", 0.0), progress.get("settings", {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{folder} is not a complete checkpoint: {STEP_FILE}: {error!r}") from error
    counted = all(type(count) is int and count >= 0 for count in counts)
    timed = isinstance(seconds, int | float) and math.isfinite(seconds)
    if not (counted and timed and isinstance(settings, dict)):
        raise CheckpointError(f"{folder} is not a complete checkpoint: {STEP_FILE} does not say where the run stood")
    for name, (size, digest) in files.items():
        file = folder / name
        if not file.is_file() or file.stat().st_size != size:
            raise CheckpointError(f"{folder} is not a complete checkpoint: {name} is missing or cut off")
        if sha256_of(file) != digest:
            raise CheckpointError(f"{folder} is damaged: {name} is not what was written, its SHA-256 differs")
    return progress


def list_checkpoints(states: Path) -> list[tuple[int, Path]]:
    """Step and folder of everything named like a checkpoint, ascending."""
    if not states.is_dir():
        return []
    named = [(_STEP.match(path.name), path) for path in states.iterdir() if path.is_dir()]
    return sorted((int(match[1]), path) for match, path in named if match)


def newest_checkpoint(states: Path) -> Path | None:
    """The newest sound checkpoint; incomplete and damaged ones are passed over with a warning."""
    for _, folder in reversed(list_checkpoints(states)):
        try:
            read_progress(folder)
        except CheckpointError as error:
            log.warning("passed over: %s", error)
        else:
            return folder
    return None


def remove_older(states: Path, step: int, kept: int = KEPT) -> None:
    """Delete what ``kept`` newer checkpoints up to ``step`` make superfluous, and any from an abandoned future."""
    steps = [number for number, _ in list_checkpoints(states) if number <= step]
    keep = set(steps[-kept:])
    for leftover in states.glob(".step_*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    for number, folder in list_checkpoints(states):
        if number not in keep:
            # Under a name that nobody loads, so that a kill in mid-deletion leaves no broken checkpoint.
            doomed = folder.rename(folder.with_name(f".{folder.name}.old.tmp"))
            shutil.rmtree(doomed, ignore_errors=True)
