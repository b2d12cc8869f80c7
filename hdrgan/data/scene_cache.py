"""Decoded scenes as memory-mapped arrays on disk: decoded once, shared by loader workers, processes and restarts."""

from __future__ import annotations

import hashlib
import logging
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np

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

    def load(self, key: str) -> np.ndarray | None:
        """The array, mapped read-only into memory, or None where it was not kept."""
        if self.folder is None:
            return None
        try:
            array: np.ndarray = np.load(self.folder / f"{key}.npy", mmap_mode="r")
        except FileNotFoundError:
            return None
        return array

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

    def is_checked(self, key: str) -> bool:
        """Whether this scene passed its check before."""
        return self.folder is not None and (self.folder / f"{key}.ok").exists()

    def mark_checked(self, key: str) -> None:
        """Record that this scene passed its check."""
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                (self.folder / f"{key}.ok").touch()
            except OSError as error:
                log.warning("the check of the data set will be repeated by the next start: %s", error)
