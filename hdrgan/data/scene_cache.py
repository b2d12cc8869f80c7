"""Decoded scenes as memory-mapped arrays on disk: decoded once, shared by loader workers, processes and restarts."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Protocol

import numpy as np

from hdrgan.data.layout import Fault, FaultyError
from hdrgan.files.atomic import atomic_path

log = logging.getLogger(__name__)

_RESERVING = threading.Lock()  # of the module: a cache is sent to other processes, which a lock cannot be


def scene_key(files: Iterable[Path], *parameters: object) -> str:
    """Name what was decoded: changes when a file is replaced or a parameter differs."""
    parts = [repr(parameters)]
    for file in files:
        status = file.stat()
        parts.append(f"{file.resolve()}|{status.st_size}|{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


class Entry(Protocol):
    """A bracket, pair or scene of a data set: it is decoded, kept, and found good or bad as a whole."""

    @property
    def where(self) -> str:
        """Its name in messages."""

    @property
    def title(self) -> str:
        """Its name on sheets."""

    @property
    def keys(self) -> dict[str, str]:
        """The `scene_key` of each array that it is decoded to, by the array's name."""

    def read(self) -> dict[str, np.ndarray]:
        """Decode it to arrays (..., H, W, 3) of one size; FaultyError says all that is wrong with it."""


class SceneCache:
    """Arrays by key in one folder, up to a number of bytes.

    An array is written under a temporary name and renamed, so that a reader never meets half of one and a killed run
    leaves only what is whole.

    Args:
        folder: where the arrays are stored; made when first needed. None keeps nothing.
        budget: most bytes to write.
    """

    def __init__(self, folder: Path | None, budget: int = 0):
        self.folder = folder
        self.left = budget
        if folder is not None and folder.is_dir():
            self.left -= sum(file.stat().st_size for file in folder.glob("*.npy"))

    def arrays_of(self, entry: Entry) -> dict[str, np.ndarray]:
        """What an entry is decoded to: mapped read-only into memory where it was kept, or else decoded again."""
        if self.folder is not None:
            with suppress(FileNotFoundError):
                return {name: np.load(self.folder / f"{key}.npy", mmap_mode="r") for name, key in entry.keys.items()}
        return entry.read()

    def store(self, key: str, array: np.ndarray) -> None:
        """Keep an array if there is room; a full disk ends the caching, not the run."""
        if self.folder is None:
            return
        with _RESERVING:  # a survey stores from several threads
            if array.nbytes > self.left:
                return
            self.left -= array.nbytes
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with atomic_path(self.folder / f"{key}.npy") as partial:
                np.save(partial, array)
        except OSError as error:
            log.warning("decoded scenes are not kept any more: %s", error)
            self.left = 0

    def examine(self, entry: Entry, minimum: int) -> tuple[Fault, ...]:
        """Decode an entry that did not pass this check before, keep its arrays, and list what is wrong with it.

        ``minimum`` is the smallest usable side in pixels.
        """
        keys = entry.keys
        passed = None if self.folder is None else self.folder / f"{next(iter(keys.values()))}.ok"
        if passed is not None and passed.exists():
            return ()
        try:
            arrays = entry.read()
        except FaultyError as error:
            return error.faults
        height, width = next(iter(arrays.values())).shape[-3:-1]
        if min(height, width) < minimum:
            return (Fault(entry.where, f"{width} x {height} is smaller than the crop of {minimum} pixels"),)
        for name, array in arrays.items():
            self.store(keys[name], array)
        if passed is not None:
            try:
                passed.parent.mkdir(parents=True, exist_ok=True)
                passed.touch()
            except OSError as error:
                log.warning("the check of the data set will be repeated by the next start: %s", error)
        return ()
