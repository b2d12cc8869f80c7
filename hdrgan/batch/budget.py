"""How many megapixels are worked on at a time: what bounds the memory of a batch."""

from __future__ import annotations

import math
import os
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from hdrgan.files import heif
from hdrgan.files.kinds import is_risky
from hdrgan.files.limits import PhotoError

_UNKNOWN = 24.0  # megapixels that a photo counts as whose header cannot be read here


class Budget:
    """Megapixels that may be in memory at a time, given out in the order in which they are asked for.

    Args:
        megapixels: how many; a photo that is larger waits until it is alone.
    """

    def __init__(self, megapixels: float):
        self._limit = megapixels
        self._used = 0.0
        self._queue: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def hold(self, megapixels: float) -> Iterator[None]:
        """Hold so many megapixels, as soon as there is room for them."""
        ticket, held = object(), min(megapixels, self._limit)
        with self._changed:
            self._queue.append(ticket)
            self._changed.wait_for(lambda: self._queue[0] is ticket and self._used + held <= self._limit)
            self._queue.popleft()
            self._used += held
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._used = max(0.0, self._used - held)
                self._changed.notify_all()


def megapixels_of(photo: str) -> float:
    """Size of a photo by its header; where it is unknown, that of a large photo, or an estimate from its bytes."""
    if not os.path.isfile(photo):  # opening a pipe would wait for its writer
        return 0.0
    try:
        with open(photo, "rb") as file:
            data = file.read(1 << 20)
        if is_risky(data):  # no library of theirs may see it here, and in raw files Pillow finds the thumbnail
            size = _stated(data)
        else:
            with Image.open(photo) as picture:
                size = picture.size
        if size is not None:
            return size[0] * size[1] / 1e6
    except Image.DecompressionBombError:
        return math.inf
    except Exception:  # the loader reports what is wrong with it
        pass
    try:
        return max(_UNKNOWN, os.stat(photo).st_size / 1e6)
    except OSError:
        return 0.0


def _stated(data: bytes) -> tuple[int, int] | None:
    """Width and height by the boxes of an AVIF or HEIC, which stand before its picture data."""
    try:
        return heif.size_of(data) if heif.brand(data) else None
    except PhotoError:
        return None
