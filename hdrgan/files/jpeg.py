"""JPEG: a walk over the markers that refuses bombs and broken files, then libjpeg-turbo straight into an array."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import imagecodecs
import numpy as np

from hdrgan.files.gain_map import ISO_NAME, XMP_NAME, GainMap, is_apple, read_apple, read_hdrgm, read_iso
from hdrgan.files.limits import Decoded, PhotoError, PhotoLimits, cut_off, damaged, refusing

_KIND = "JPEG"
# In scan data FF is followed by 00 (a stuffed byte) or D0..D7 (a restart); anything else begins a segment. One byte of
# look-ahead only, so that a file made of FF bytes costs no more than a pass over it.
_MARKER = re.compile(rb"\xff([^\xff\x00\xd0-\xd7])")
_ANY_MARKER = re.compile(rb"\xff([^\xff\x00])")

_SOI, _EOI, _SOS, _DHT, _DQT, _DRI = 0xD8, 0xD9, 0xDA, 0xC4, 0xDB, 0xDD
APP0, APP1, APP2, APP13, APP14 = 0xE0, 0xE1, 0xE2, 0xED, 0xEE
PHOTOSHOP = b"Photoshop 3.0\0"
_FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
_HUFFMAN_FRAMES = {0xC0, 0xC1, 0xC2}
_ARITHMETIC_FRAMES = {0xC9, 0xCA}
_MOST_SEGMENTS = 20_000
_MOST_PICTURES = 12  # looked at behind the first one; a burst or a video may follow a photo
_START = re.compile(rb"\xff\xd8\xff")
_MOST_PAINTED = 4e9  # pixels times passes: 5 seconds of decoding; a camera's 100 megapixels take a dozen passes
_PICTURE_SEGMENTS = _FRAMES | {_DHT, _DQT, _DRI, 0xCC}


@dataclass
class _Header:
    width: int = 0
    height: int = 0
    components: int = 0
    frame: int = 0
    scans: int = 0
    adobe: int | None = None
    exif: bytes | None = None
    icc_parts: dict[int, bytes] = field(default_factory=dict)
    icc_total: int = 0
    complete: bool = False
    end: int = 0
    xmp: bytes | None = None
    iptc: bytes | None = None
    iso: bytes | None = None  # metadata of a gain map
    kept: list[tuple[int, int]] = field(default_factory=list)  # spans that the picture needs; metadata is left out

    @property
    def icc(self) -> bytes | None:
        if not self.icc_parts or sorted(self.icc_parts) != list(range(1, self.icc_total + 1)):
            return None
        return b"".join(self.icc_parts[k] for k in sorted(self.icc_parts))


def decode(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode the first picture of a JPEG: Huffman or arithmetic, sequential or progressive, grey to YCCK."""
    header = _walk(data, limits)
    shape: tuple[int, ...] = (header.height, header.width)
    if header.components > 1:
        shape += (header.components,)
    with refusing(_KIND):
        if not header.complete and not _needs_no_more(data, header):
            raise cut_off(_KIND)
        pixels = imagecodecs.jpeg8_decode(data, out=np.empty(shape, np.uint8))
    pixels = pixels.reshape(header.height, header.width, header.components)
    if header.components == 4:
        if header.adobe is not None:
            np.subtract(255, pixels, out=pixels)  # Adobe stores ink upside down
        return Decoded(pixels, "cmyk", header.icc, header.exif)
    gains = None
    with suppress(ValueError, ArithmeticError, LookupError, struct.error):  # a map that is damaged costs the light
        gains = _gain_map(data, header, limits)
    plain = header.components == 3 and header.frame in _HUFFMAN_FRAMES and header.adobe != 0 and header.complete
    own = _essence(data, header) if plain else None
    decoded = Decoded(pixels, "gray" if header.components == 1 else "rgb", header.icc, header.exif, jpeg=own)
    decoded.gain_map, decoded.xmp, decoded.iptc = gains, header.xmp, header.iptc
    return decoded


def _essence(data: bytes, header: _Header) -> bytes:
    """The picture's own JPEG without metadata."""
    return b"".join([b"\xff\xd8", *(data[a:b] for a, b in header.kept), b"\xff\xd9"])


def _gain_map(data: bytes, header: _Header, limits: PhotoLimits) -> GainMap | None:
    """The gain map among the pictures that follow the first one; None where there is none that can be used.

    The pictures are looked for where they are: the tables that say so (MPF, Google's container) are often wrong in
    files that were edited. A map that is damaged costs the light, not the photo.
    """
    if not header.complete:
        return None
    at = header.end
    for _ in range(_MOST_PICTURES):
        match = _START.search(data, at)
        if match is None:
            return None
        at = match.end()
        picture = data[match.start() :]
        try:
            other = _walk(picture, limits)
        except PhotoError:
            continue
        if other.complete:
            at = match.start() + other.end
        xmp = other.xmp or b""
        if not (other.iso or b"hdr-gain-map" in xmp or is_apple(xmp)):
            continue
        try:
            codes = decode(picture[: other.end], limits).pixels if other.complete else None
        except PhotoError:
            continue
        own = _essence(picture, other)
        if codes is None or codes.shape[2] not in (1, 3) or codes.shape[0] > 2 * header.height:
            continue
        gains = read_iso(other.iso, codes) if other.iso else None
        gains = gains or read_hdrgm(xmp, codes)
        if gains is not None:
            return replace(gains, jpeg=own)
        if is_apple(xmp):
            return read_apple(xmp + (header.xmp or b""), header.exif, codes)
    return None


def segment(marker: int, body: bytes) -> bytes:
    """One segment of a JPEG.

    Raises:
        ValueError: more than the 65,533 bytes that one holds.
    """
    if len(body) > 65_533:
        raise ValueError(f"metadata of {len(body)} bytes do not fit a JPEG segment")
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def with_segments(jpeg_file: bytes, segments: Sequence[bytes]) -> list[bytes | memoryview]:
    """Parts of a JPEG file with segments put behind its JFIF segment, or at its start where it has none."""
    whole = memoryview(jpeg_file)
    at = 4 + struct.unpack_from(">H", whole, 4)[0] if jpeg_file[2:4] == b"\xff\xe0" else 2
    return [whole[:at], *segments, whole[at:]]


def _walk(data: bytes, limits: PhotoLimits) -> _Header:
    """Visit every marker up to the end of the first picture."""
    header = _Header()
    at, segments = 2, 0
    while (match := _ANY_MARKER.search(data, at)) is not None:
        marker, at = match.group(1)[0], match.end()
        if marker == _EOI:
            header.complete, header.end = True, at
            break
        if marker == 0x01 or 0xD0 <= marker <= _SOI:
            continue
        if at + 2 > len(data):
            break
        length = struct.unpack_from(">H", data, at)[0]
        segments += 1
        if length < 2 or segments > _MOST_SEGMENTS:
            raise damaged(_KIND)
        if at + length > len(data):
            break
        body = at + 2, at + length
        if marker in _FRAMES:
            _read_frame(data[body[0] : body[1]], marker, header, limits)
        elif marker == _SOS:
            header.scans += 1
            most = min(limits.scans, int(_MOST_PAINTED / max(1, header.width * header.height)))
            if header.scans > most:
                raise PhotoError(f"This JPEG draws its picture in more than {most} passes; save it again.")
        keep = marker in _PICTURE_SEGMENTS or _read_application(data, body, marker, header)
        start, at = match.start(), at + length
        if marker == _SOS:
            following = _MARKER.search(data, at)
            at = following.start() if following else len(data)
            keep = True
        if keep:
            header.kept.append((start, at))
    if not header.frame or not header.scans:
        raise damaged(_KIND) if header.complete else cut_off(_KIND)
    return header


def _read_frame(body: bytes, marker: int, header: _Header, limits: PhotoLimits) -> None:
    if header.frame or len(body) < 6:
        raise damaged(_KIND)
    precision, header.height, header.width, header.components = struct.unpack_from(">BHHB", body)
    header.frame = marker
    if marker not in _HUFFMAN_FRAMES | _ARITHMETIC_FRAMES or precision != 8:
        raise PhotoError("This JPEG is lossless, hierarchical or not 8-bit; save it as an ordinary JPEG, PNG or TIFF.")
    if header.components not in (1, 3, 4):
        raise damaged(_KIND)
    limits.check_size(header.width, header.height)


def _read_application(data: bytes, body: tuple[int, int], marker: int, header: _Header) -> bool:
    """Take notice of an application segment; True where it changes what the picture looks like."""
    start, end = body
    if marker == APP1 and data.startswith(b"Exif\0", start) and header.exif is None:
        header.exif = data[start + 6 : end]
    elif marker == APP1 and data.startswith(XMP_NAME, start) and header.xmp is None:
        header.xmp = data[start + len(XMP_NAME) : end]
    elif marker == APP2 and data.startswith(ISO_NAME, start) and header.iso is None:
        header.iso = data[start + len(ISO_NAME) : end]
    elif marker == APP13 and data.startswith(PHOTOSHOP, start) and header.iptc is None:
        header.iptc = data[start + len(PHOTOSHOP) : end]
    elif marker == APP2 and data.startswith(b"ICC_PROFILE\0", start) and end - start > 14:
        header.icc_total = data[start + 13]
        header.icc_parts.setdefault(data[start + 12], data[start + 14 : end])
        return True
    elif marker == APP14 and data.startswith(b"Adobe", start) and end - start >= 12:
        header.adobe = data[start + 11]
        return True
    return marker == APP0 and data.startswith(b"JFIF\0", start)


def _needs_no_more(data: bytes, header: _Header) -> bool:
    """Whether a file without its end marker holds the whole picture all the same, as some cameras write it.

    The decoder pads what is missing with zeros. If other padding gives the same pixels, none was missing.
    """
    if header.frame not in (0xC0, 0xC1) or header.scans != 1 or header.width * header.height > 50e6:
        return False
    with_zeros, with_noise = (
        imagecodecs.jpeg8_decode(data + padding + b"\xff\xd9")
        for padding in (b"", bytes([0x5A, 0xA7, 0x33, 0xD9] * 64))
    )
    return bool(np.array_equal(with_zeros, with_noise))
