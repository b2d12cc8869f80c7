"""PNG: only the chunks that make the picture reach libpng, so that no other chunk can do harm there."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import Any

import imagecodecs
import numpy as np

from hdrgan.files import colour, xmp_iptc
from hdrgan.files.limits import Decoded, PhotoLimits, cut_off, damaged, refusing

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KIND = "PNG"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_LARGEST_PROFILE = 16 << 20
_LARGEST_TEXT = 1 << 20
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_MOST_CHUNKS = 200_000
_HARMLESS_SURPLUS = 64 << 20  # bytes that libpng may inflate for nothing
_SLACK = 1 << 16
_DEFLATE_RATIO = 1032  # the most that deflate can shrink


@dataclass
class _Header:
    width: int = 0
    height: int = 0
    depth: int = 0
    kind: int = 0
    interlaced: bool = False
    needed: list[tuple[int, int]] = field(default_factory=list)  # spans of IHDR, PLTE, tRNS, IDAT
    other: dict[bytes, bytes] = field(default_factory=dict)  # first body of each chunk on colour or EXIF
    has_data: bool = False
    ended: bool = False


def decode(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode a PNG of any type and depth; of an animated PNG, its default picture."""
    header = _walk(data, limits)
    if not header.has_data:
        raise damaged(_KIND) if header.ended else cut_off(_KIND)
    with refusing(_KIND):
        _refuse_surplus(data, header)
        essence = b"".join([SIGNATURE, *(data[a:b] for a, b in header.needed), chunk(b"IEND", b"")])
        try:
            pixels = imagecodecs.png_decode(essence)
        except imagecodecs.PngError as error:
            raise (damaged if header.ended else cut_off)(_KIND) from error
    if pixels.shape[:2] != (header.height, header.width):
        raise damaged(_KIND)
    pixels = pixels.reshape(header.height, header.width, -1)
    space = "gray" if pixels.shape[2] <= 2 else "rgb"
    other = header.other
    coded = (other[b"cICP"][0], other[b"cICP"][1]) if len(other.get(b"cICP", b"")) == 4 else None
    exif = other.get(b"eXIf") or other.get(b"raw exif")
    xmp, iptc = other.get(b"xmp") or other.get(b"raw xmp"), other.get(b"raw iptc")
    return Decoded(pixels, space, _profile(header, coded), exif, coded=coded, xmp=xmp, iptc=iptc)


def chunk(name: bytes, body: bytes | memoryview) -> bytes:
    """One PNG chunk: length, name, body, checksum."""
    return b"".join([struct.pack(">I", len(body)), name, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))])


def encode(
    pixels: np.ndarray, level: int, exif: bytes | None, xmp: bytes | None = None, iptc: bytes | None = None
) -> list[bytes]:
    """Encode (H, W, 3), (H, W, 4: with opacity) or (H, W) uint8 or uint16 as the parts of a PNG file, tagged sRGB.

    Every row is stored as its difference to the row above, and deflated by libdeflate: on photographs a third of the
    time of libpng's fastest level for files about 5 % larger.
    """
    height, width = pixels.shape[:2]
    samples = pixels.astype(">u2") if pixels.dtype == np.uint16 else np.ascontiguousarray(pixels)
    rows = samples.reshape(height, -1).view(np.uint8)
    filtered = np.empty((height, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = 2  # the filter type "up"
    filtered[0, 1:] = rows[0]
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    del samples, rows
    deflated = imagecodecs.deflate_encode(memoryview(filtered), level)  # type: ignore[arg-type]
    kind = 0 if pixels.ndim == 2 else 2 if pixels.shape[2] == 3 else 6
    header = struct.pack(">IIBBBBB", width, height, 8 * pixels.itemsize, kind, 0, 0, 0)
    parts = [SIGNATURE, chunk(b"IHDR", header), chunk(b"sRGB", b"\0")]
    if exif:
        parts.append(chunk(b"eXIf", exif.removeprefix(b"Exif\0\0")))
    if xmp:
        parts.append(chunk(b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + xmp))
    if iptc:
        parts.append(chunk(b"zTXt", xmp_iptc.raw_profile("iptc", xmp_iptc.photoshop_resources(iptc))))
    step = 1 << 30  # a chunk may hold 2^31 - 1 bytes
    parts += [chunk(b"IDAT", memoryview(deflated)[k : k + step]) for k in range(0, len(deflated), step)]
    return [*parts, chunk(b"IEND", b"")]


def _walk(data: bytes, limits: PhotoLimits) -> _Header:
    header = _Header()
    at, chunks = len(SIGNATURE), 0
    while at + 12 <= len(data):
        length, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + length
        chunks += 1
        if (not header.width and (name != b"IHDR" or length != 13)) or chunks > _MOST_CHUNKS:
            raise damaged(_KIND)
        if end > len(data):
            break
        if name == b"IHDR":
            _read_header(data[at + 8 : at + 21], header, limits)
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT"):
            header.needed.append((at, end))
            header.has_data |= name == b"IDAT"
        elif name == b"IEND":
            header.ended = True
            break
        elif name in (b"tEXt", b"zTXt", b"iTXt") and length <= _LARGEST_TEXT:
            _read_text(name, data[at + 8 : end - 4], header)
        elif name in (b"cICP", b"iCCP", b"sRGB", b"gAMA", b"cHRM", b"eXIf"):
            header.other.setdefault(name, data[at + 8 : end - 4])
        at = end
    if not header.width:
        raise cut_off(_KIND)
    return header


def _read_text(name: bytes, body: bytes, header: _Header) -> None:
    """Take notice of texts that hold EXIF, XMP or IPTC."""
    keyword, _, rest = body.partition(b"\0")
    if keyword == _XMP_KEYWORD and name == b"iTXt" and rest[:2] == b"\0\0":
        header.other.setdefault(b"xmp", rest.split(b"\0", 4)[-1])
    kind = {b"Raw profile type exif": b"raw exif", b"Raw profile type APP1": b"raw exif"}.get(keyword)
    kind = {b"Raw profile type iptc": b"raw iptc", b"Raw profile type xmp": b"raw xmp"}.get(keyword, kind)
    if kind is None or kind in header.other or name == b"iTXt":
        return
    if name == b"zTXt":
        try:
            rest = zlib.decompressobj().decompress(rest[1:], _LARGEST_TEXT)
        except zlib.error:
            return
    block = xmp_iptc.read_raw_profile(rest)
    if block is not None:
        header.other[kind] = block


def _read_header(body: bytes, header: _Header, limits: PhotoLimits) -> None:
    width, height, header.depth, header.kind, *_, interlace = struct.unpack(">IIBBBBB", body)
    limits.check_size(width, height)
    if header.width or header.depth not in _DEPTHS.get(header.kind, ()) or interlace > 1:
        raise damaged(_KIND)
    header.width, header.height, header.interlaced = width, height, interlace == 1


def _refuse_surplus(data: bytes, header: _Header) -> None:
    """Refuse pixel data that continues after the last row: libpng would inflate all of it."""
    spans = [(a + 8, b - 4) for a, b in header.needed if data[a + 4 : a + 8] == b"IDAT"]
    deflated = sum(b - a for a, b in spans)
    bits = header.depth * _CHANNELS[header.kind]
    passes = _ADAM7 if header.interlaced else ((0, 0, 1, 1),)
    raw = 0
    for x, y, dx, dy in passes:
        columns, rows = -(-(header.width - x) // dx), -(-(header.height - y) // dy)
        raw += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    if deflated * _DEFLATE_RATIO < raw + _HARMLESS_SURPLUS:
        return
    try:
        room: Any = np.empty(raw + _SLACK, np.uint8)
        imagecodecs.deflate_decode(b"".join(data[a:b] for a, b in spans), out=room)
    except imagecodecs.DeflateError as error:
        raise (damaged if header.ended else cut_off)(_KIND) from error


def _profile(header: _Header, coded: tuple[int, int] | None) -> bytes | None:
    """The profile of the picture, by the precedence of the PNG specification: cICP, iCCP, sRGB, gAMA with cHRM."""
    other = header.other
    if coded is not None:
        return colour.coded_profile(*coded)
    if b"iCCP" in other:
        _, _, rest = other[b"iCCP"].partition(b"\0")
        try:
            return zlib.decompressobj().decompress(rest[1:], _LARGEST_PROFILE)
        except zlib.error:
            return None  # an unreadable profile is ignored, as browsers do
    if b"sRGB" in other or len(other.get(b"gAMA", b"")) != 4:
        return None
    gamma = struct.unpack(">I", other[b"gAMA"])[0]
    chromaticities = struct.unpack(">8I", other[b"cHRM"]) if len(other.get(b"cHRM", b"")) == 32 else None
    return colour.gamma_profile(
        gamma / 1e5, chromaticities and [c / 1e5 for c in chromaticities], header.kind in (0, 4)
    )
