"""A photo on its way between two processes: a few words as JSON, and its arrays and blocks as raw bytes.

Nothing that arrives is trusted: a process that read an untrusted file may have been taken over by it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import numpy as np

from hdrgan.files.exif import pack_exif, read_exif
from hdrgan.files.gain_map import GainMap
from hdrgan.files.photo import FORMATS, LIGHT_SOURCES, Photo, safe_name

_ARRAYS = ("pixels", "light", "alpha", "wide", "response", "codes")
_BLOCKS = ("exif", "jpeg", "xmp", "iptc", "map")
_TYPES = {"uint8", "uint16", "float16", "float32"}
_LONGEST_SIDE = 1 << 20
_NUMBERS = ("low", "high", "gamma", "base_offset", "alternate_offset")


def pack_photo(photo: Photo) -> tuple[dict[str, Any], list[bytes | memoryview]]:
    """The words and the raw parts of a photo, in the order in which `unpack_photo` asks for them."""
    gains = photo.gain_map
    arrays = (photo.pixels, photo.light, photo.alpha, photo.wide, photo.response, gains.codes if gains else None)
    blocks = (pack_exif(photo.exif), photo.jpeg, photo.xmp, photo.iptc, gains.jpeg if gains else None)
    head: dict[str, Any] = {
        "name": photo.name,
        "format": photo.format,
        "orientation": photo.jpeg_orientation,
        "source": photo.light_source,
        "ceiling": photo.ceiling if math.isfinite(photo.ceiling) else None,
        "arrays": [None if a is None else [list(a.shape), a.dtype.name] for a in arrays],
    }
    if gains is not None:
        named = (field.name for field in fields(gains))
        head["gains"] = {name: getattr(gains, name) for name in named if name not in ("codes", "jpeg")}
    parts: list[bytes | memoryview] = [
        memoryview(np.ascontiguousarray(a)).cast("B")  # type: ignore[arg-type]
        for a in arrays
        if a is not None
    ]
    return head, [*parts, *(block or b"" for block in blocks)]


def unpack_photo(
    head: dict[str, Any], fill: Callable[[memoryview], None], block: Callable[[], bytes], most_bytes: int
) -> Photo:
    """A photo from its words and parts.

    Args:
        head: the words.
        fill: fills a buffer with the next raw part, or raises.
        block: gives the next raw part.
        most_bytes: that all arrays together may take.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: what arrived is no photo.
    """
    arrays: dict[str, np.ndarray | None] = {}
    shapes = []
    for name, stated in zip(_ARRAYS, head["arrays"], strict=True):
        if stated is None:
            continue
        shape, kind = tuple(int(n) for n in stated[0]), str(stated[1])
        if kind not in _TYPES or not 1 <= len(shape) <= 3 or not all(0 < n <= _LONGEST_SIDE for n in shape):
            raise ValueError("not an array of a photo")
        shapes.append((name, shape, np.dtype(kind)))
    if sum(math.prod(shape) * dtype.itemsize for _, shape, dtype in shapes) > most_bytes:
        raise ValueError("too large")
    for name, shape, dtype in shapes:
        array = np.empty(shape, dtype)
        fill(memoryview(array).cast("B"))  # type: ignore[arg-type]
        arrays[name] = array
    blocks = {name: block() or None for name in _BLOCKS}
    pixels, light, alpha = arrays["pixels"], arrays.get("light"), arrays.get("alpha")
    if pixels is None or pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype.kind != "u":
        raise ValueError("not the pixels of a photo")
    if light is not None and (light.shape != pixels.shape or light.dtype != np.float32):
        raise ValueError("not the light of this photo")
    if light is not None and not (float(light.min()) >= 0 and float(light.max()) < np.inf):
        raise ValueError("not light")
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise ValueError("not the opacity of this photo")
    wide = arrays.get("wide")
    if wide is not None and (wide.shape != pixels.shape or not (float(wide.min()) >= 0 and float(wide.max()) < np.inf)):
        raise ValueError("not light of this photo")
    response = arrays.get("response")
    if response is not None and response.shape != (256,):
        raise ValueError("not a response")
    gains = None
    if "gains" in head and arrays.get("codes") is not None:
        gains = _gain_map(head["gains"], arrays["codes"], blocks["map"])  # type: ignore[arg-type]
    ceiling, orientation = head["ceiling"], int(head["orientation"])
    return Photo(
        pixels,
        safe_name(str(head["name"])),
        head["format"] if head["format"] in FORMATS else "",
        read_exif(blocks["exif"]),
        blocks["jpeg"],
        orientation if orientation in range(1, 9) else 1,
        light,
        head["source"] if head["source"] in LIGHT_SOURCES else "",
        math.inf if ceiling is None else float(ceiling),
        response,
        gains,
        alpha,
        wide,
        blocks["xmp"],
        blocks["iptc"],
    )


def _gain_map(stated: dict[str, Any], codes: np.ndarray, jpeg: bytes | None) -> GainMap | None:
    if codes.ndim != 3 or codes.shape[2] not in (1, 3) or codes.dtype.kind != "u":
        raise ValueError("not the codes of a gain map")
    low, high, gamma, base_offset, offset = (tuple(float(v) for v in stated[name])[:3] for name in _NUMBERS)
    base, alternate = (float(stated[name]) for name in ("base_headroom", "alternate_headroom"))
    primaries = bool(stated["base_primaries"])
    return GainMap(codes, low, high, gamma, base_offset, offset, base, alternate, primaries, jpeg).checked()
