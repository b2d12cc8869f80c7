"""Results that visitors still look at: a download of one costs no second run of the network."""

from __future__ import annotations

import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Hashable

from hdrgan.files.photo import Photo
from hdrgan.result import Result

_BYTES_A_PIXEL = 40  # pixels, light in float32, invented share, and exposures while they are drawn


class KeptResults:
    """The last results, within a budget of memory and of time.

    Args:
        megabytes: budget; a result that alone exceeds it is not kept.
        seconds: how long a result is kept after it was last asked for.
    """

    def __init__(self, megabytes: int, seconds: float) -> None:
        self._most, self._seconds = megabytes << 20, seconds
        self._lock = threading.Lock()
        self._kept: OrderedDict[Hashable, tuple[Result, float]] = OrderedDict()
        _every.add(self)

    def add(self, key: tuple[Hashable, ...], result: Result) -> None:
        """Keep a result; the ones not asked for the longest make room."""
        with self._lock:
            self._kept[key] = result, time.monotonic()
            self._kept.move_to_end(key)
            self._make_room()

    def get(self, key: tuple[Hashable, ...]) -> Result | None:
        """The result of that key, if it is still there."""
        with self._lock:
            self._make_room()
            if key not in self._kept:
                return None
            result, _ = self._kept[key]
            self._kept[key] = result, time.monotonic()
            self._kept.move_to_end(key)
            return result

    def photo(self, upload: str) -> Photo | None:
        """The photo that was read from an upload, if a result of it is still there: keys begin with the upload."""
        with self._lock:
            for key, (result, _) in self._kept.items():
                if isinstance(key, tuple) and key[0] == upload:
                    return result.photo
        return None

    def _make_room(self) -> None:
        oldest = time.monotonic() - self._seconds
        for key in [key for key, (_, used) in self._kept.items() if used < oldest]:
            del self._kept[key]
        while self._kept and sum(_cost(result) for result, _ in self._kept.values()) > self._most:
            self._kept.popitem(last=False)

    def sweep(self) -> None:
        """Let go of what nobody asked for in time."""
        with self._lock:
            self._make_room()


def sweep_all() -> None:
    """`KeptResults.sweep` for all of this process."""
    for kept in list(_every):
        kept.sweep()


_every: weakref.WeakSet[KeptResults] = weakref.WeakSet()


def _cost(result: Result) -> int:
    return result.photo.width * result.photo.height * _BYTES_A_PIXEL
