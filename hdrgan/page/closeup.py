"""A part of a photo at its own pixels, for a visitor who looks closer than a preview can show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hdrgan.files.photo import Photo
from hdrgan.files.ultrahdr import save_ultrahdr
from hdrgan.light.rendering import Exposures
from hdrgan.page.answers import RequestError
from hdrgan.page.preview import save_preview, screen_pixels
from hdrgan.result import Result

MOST_PIXELS = 9_000_000
"""Pixels of one part at most: what a large screen of two pixels a point shows, and a margin."""

_LEAST = 8  # pixels of a side that an HDR picture needs


def check_box(box: Sequence[object], width: int, height: int) -> tuple[slice, slice]:
    """Rows and columns of a part, given as left, top, right and bottom in pixels of the photo.

    Raises:
        RequestError: it is no part of a photo of that size, or too large.
    """
    try:
        left, top, right, bottom = (int(str(edge)) for edge in box)
    except (TypeError, ValueError):
        raise RequestError("A part is four whole numbers: left, top, right and bottom.") from None
    if not (0 <= left < right <= width and 0 <= top < bottom <= height):
        raise RequestError(f"The box {list(box)} is no part of {width} × {height} pixels.")
    if (right - left) * (bottom - top) > MOST_PIXELS:
        raise RequestError(f"A part may have {MOST_PIXELS} pixels at most.")
    return slice(top, bottom), slice(left, right)


def save_part(result: Result, view: str, part: tuple[slice, slice], folder: Path) -> tuple[Path, Path]:
    """Write a part of the photo, and the same part of what the page shows of its result.

    Args:
        result: of the photo.
        view: "finished", "hdr", "marks" (the photo itself, over which the page draws), or "ev" and the stops of an
            exposure, such as "ev-2".
        part: rows and columns.
        folder: takes the two files.

    Returns:
        Two JPEG files; the second of "hdr" is an Ultra HDR file.

    Raises:
        RequestError: there is no such view.
    """
    photo = save_preview(folder / "photo.jpg", _shown(result.photo.pixels[part]))
    path = folder / "result.jpg"
    if view == "hdr" and min(result.photo.pixels[part].shape[:2]) >= _LEAST:
        shown, radiance = Photo(_shown(result.photo.pixels[part])), np.ascontiguousarray(result.radiance[part])
        save_ultrahdr(path, shown, radiance, response=result.response)
        return photo, path
    return photo, save_preview(path, _shown(_whole(result, view)[part]))


def _whole(result: Result, view: str) -> np.ndarray:
    if view == "finished":
        return result.finished()
    if view in ("marks", "hdr"):
        return result.photo.pixels
    named = [ev for ev in result.evs if view in (f"ev{ev:g}", f"ev{ev}")]
    if not named:
        raise RequestError(f"There is no view {view!r}.")
    index, exposures = result.evs.index(named[0]), result.exposures
    return exposures.passing(index) if isinstance(exposures, Exposures) else exposures[index]


def _shown(pixels: np.ndarray) -> np.ndarray:
    return screen_pixels(np.ascontiguousarray(pixels), max(pixels.shape[:2]))
