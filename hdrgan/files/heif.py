"""AVIF and HEIC: size, colour and rotation are read here, AV1 by libavif, HEVC by pillow-heif where installed."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np
from PIL import AvifImagePlugin

from hdrgan.files import colour
from hdrgan.files.limits import Decoded, PhotoError, PhotoLimits, cut_off, damaged, refusing

AVIF_BRANDS = {b"avif", b"avis", b"avio"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_GENERIC_BRANDS = {b"mif1", b"mif2", b"msf1", b"miaf"}
_LARGEST_META = 8 << 20
_MOST_BOXES = 20_000


@dataclass
class _Picture:
    """Properties of the primary picture."""

    width: int = 0
    height: int = 0
    coded: tuple[int, int] | None = None  # colour primaries and transfer of an nclx box
    icc: bytes | None = None
    depth: int = 8
    properties: list[tuple[bytes, bytes]] = field(default_factory=list)


def brand(data: bytes) -> str | None:
    """ "AVIF" or "HEIC" by the brands that the file declares; None for other ISO media, such as video."""
    if data[4:8] != b"ftyp" or len(data) < 16:
        return None
    end = min(struct.unpack_from(">I", data, 0)[0], 512, len(data))
    brands = [data[8:12], *(data[k : k + 4] for k in range(16, end - 3, 4))]
    for name in brands if brands[0] in _GENERIC_BRANDS else brands[:1]:
        if name in AVIF_BRANDS:
            return "AVIF"
        if name in HEIC_BRANDS:
            return "HEIC"
    return None


def decode_avif(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode an AVIF of 8, 10 or 12 bits (10 and 12 become 16); rotation and mirroring of its container are applied."""
    picture = _walk(data, limits, "AVIF")
    with refusing("AVIF"), AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as header:
        # Pillow has only parsed the container so far, and folds its rotation into the orientation of EXIF.
        limits.check_size(*header.size)
        limits.check_frames(getattr(header, "n_frames", 1))
        exif = header.info.get("exif")
        icc = picture.icc or header.info.get("icc_profile")
        size = header.size
    if picture.coded is not None:
        coded = colour.coded_profile(*picture.coded)
        icc = icc or coded
    with refusing("AVIF"):
        try:
            pixels = imagecodecs.avif_decode(data, index=0, numthreads=2)
        except imagecodecs.AvifError as error:
            raise (cut_off if "Truncated" in str(error) else damaged)("AVIF") from error
    if pixels.shape[:2] != (size[1], size[0]):
        raise damaged("AVIF")
    if pixels.dtype != np.uint8:
        pixels = _widen(pixels, picture.depth if picture.depth in (10, 12) else 12)
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    return Decoded(pixels, "gray" if pixels.shape[2] <= 2 else "rgb", icc, exif)


def decode_heic(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode a HEIC, when pillow-heif is installed; more than 8 bits become 16."""
    try:
        import pillow_heif
    except ImportError as error:
        raise PhotoError(
            "This is a HEIC photo, which needs an extra package: pip install 'hdrgan[heic]', or save it as JPEG."
        ) from error
    picture = _walk(data, limits, "HEIC")
    with refusing("HEIC"):
        opened = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        limits.check_size(*opened.size)
        limits.check_frames(len(opened))
        primary = opened[opened.primary_index]
        limits.check_size(*primary.size)
        info: dict[str, Any] = dict(primary.info)
        icc = picture.icc or info.get("icc_profile")
        if picture.coded is not None:
            coded = colour.coded_profile(*picture.coded)
            icc = icc or coded
        exif = info.get("exif")
        channels = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "RGB;16": 3, "RGBA": 4, "RGBA;16": 4}[primary.mode]
        pixels = np.asarray(primary).reshape(primary.size[1], primary.size[0], channels)
    if pixels.dtype != np.uint8:
        depth = int(info.get("bit_depth", 16))
        pixels = _widen(pixels >> (16 - depth), depth)  # the library has only shifted the codes up
    # The library has turned the picture upright by the rotation of its container.
    return Decoded(pixels, "gray" if channels <= 2 else "rgb", icc, exif, orientation=1)


def _widen(pixels: np.ndarray, depth: int) -> np.ndarray:
    """Stretch ``depth``-bit codes to the full range of 16 bits, exactly at both ends."""
    most = (1 << depth) - 1
    table = (np.arange(1 << 16, dtype=np.uint32).clip(0, most) * 65535 + most // 2) // most
    widened: np.ndarray = table.astype(np.uint16)[pixels]
    return widened


def _boxes(data: bytes, start: int, end: int, kind: str) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of ISO/IEC 14496-12 between two offsets: name, and where the body begins and ends."""
    at = start
    for _ in range(_MOST_BOXES):
        if at + 8 > end:
            return
        size, name = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            if at + 16 > end:
                raise cut_off(kind)
            size = struct.unpack_from(">Q", data, at + 8)[0]
            body = at + 16
        stop = end if size == 0 else at + size
        if stop < body:
            raise damaged(kind)
        if stop > end:
            raise cut_off(kind)
        yield name, body, stop
        at = stop
    raise damaged(kind)


def _walk(data: bytes, limits: PhotoLimits, kind: str) -> _Picture:
    """Read the properties of the primary picture, and refuse what they promise before any decoder sees it."""
    picture = _Picture()
    found_media = False
    for name, start, end in _boxes(data, 0, len(data), kind):
        found_media |= name in (b"mdat", b"moov")
        if name == b"meta" and not picture.properties:
            if end - start > _LARGEST_META:
                raise damaged(kind)
            with refusing(kind):
                picture.properties = _primary_properties(data, start + 4, end, kind)
    for name, body in picture.properties:
        with refusing(kind):
            _apply(picture, name, body)
    if picture.width:
        limits.check_size(picture.width, picture.height)
    elif not found_media:
        raise damaged(kind)
    return picture


def _apply(picture: _Picture, name: bytes, body: bytes) -> None:
    if name == b"ispe":
        picture.width, picture.height = struct.unpack_from(">II", body, 4)
    elif name == b"pixi" and body[4:5] not in (b"", b"\0"):
        picture.depth = body[5]
    elif name == b"av1C":
        picture.depth = {0x40: 10, 0x60: 12}.get(body[2] & 0x60, 8)
    elif name == b"colr" and body[:4] == b"nclx":
        picture.coded = struct.unpack_from(">HH", body, 4)
    elif name == b"colr" and body[:4] in (b"prof", b"rICC"):
        picture.icc = body[4:]


def _primary_properties(data: bytes, start: int, end: int, kind: str) -> list[tuple[bytes, bytes]]:
    """Properties that ipma gives to the item named by pitm (ISO/IEC 23008-12, 9.3)."""
    primary, properties, association = 0, [], None
    for name, body, stop in _boxes(data, start, end, kind):
        if name == b"pitm":
            primary = struct.unpack_from(">H" if data[body] == 0 else ">I", data, body + 4)[0]
        elif name == b"iprp":
            for inner, inner_body, inner_stop in _boxes(data, body, stop, kind):
                if inner == b"ipco":
                    properties = [(n, data[a:b]) for n, a, b in _boxes(data, inner_body, inner_stop, kind)]
                elif inner == b"ipma" and association is None:
                    association = inner_body, inner_stop
    if association is None:
        return []
    at, stop = association
    version, flags = data[at], data[at + 3]
    count = struct.unpack_from(">I", data, at + 4)[0]
    at += 8
    for _ in range(min(count, _MOST_BOXES)):
        item = struct.unpack_from(">H" if version < 1 else ">I", data, at)[0]
        at += 2 if version < 1 else 4
        wide = flags & 1
        total = data[at]
        at += 1
        indices = [
            (struct.unpack_from(">H", data, at + 2 * k)[0] & 0x7FFF) if wide else data[at + k] & 0x7F
            for k in range(total)
        ]
        at += total * (2 if wide else 1)
        if at > stop:
            raise cut_off(kind)
        if item == primary:
            return [properties[k - 1] for k in indices if 0 < k <= len(properties)]
    return []
