"""How a batch opens a photo: a decoder that crashes fails one photo, not the batch."""

from __future__ import annotations

import os
from dataclasses import replace

from hdrgan.files.guarded import load_photo_guarded
from hdrgan.files.kinds import is_risky
from hdrgan.files.photo import DEFAULT, Photo, PhotoLimits, load_photo, read_bytes

_SECONDS = 300.0  # that a photo may take: many are decoded at once, on a machine that may be busy
_MB, _MB_PER_MEGAPIXEL = 2048, 64  # memory of a worker; what it reads of a raw file takes some 40 bytes a pixel


def read_photo(
    path: str | os.PathLike[str], *, limits: PhotoLimits = DEFAULT, gain_map: bool = True, keep: int = 1
) -> Photo:
    """Open a photo or a file of light, as `load_photo` does; AVIF, HEIC and camera raw in a process of its own.

    Args:
        path: of the photo.
        limits, gain_map: as for `load_photo`.
        keep: processes that are kept for the next photos: as many as there are photos at a time.

    Raises:
        PhotoError: for every reason there is, a crash of the decoder among them.
    """
    data, name = read_bytes(path, limits)
    if not is_risky(data):
        photo = load_photo(data, limits=limits, gain_map=gain_map, scenes=True)
    else:
        photo = load_photo_guarded(
            data,
            timeout_s=_SECONDS,
            memory_mb=_MB + int(_MB_PER_MEGAPIXEL * limits.megapixels),
            limits=limits,
            gain_map=gain_map,
            scenes=True,
            keep=keep,
        )
    return replace(photo, name=name)
