"""WebP: the first picture is lifted out of its container, so that animations cost no more than a photo."""

from __future__ import annotations

import struct

import imagecodecs
import numpy as np

from hdrgan.files.limits import Decoded, PhotoLimits, cut_off, damaged, refusing

_KIND = "WebP"
Chunk = tuple[bytes, bytes]


def decode(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode a lossy or lossless WebP, with or without alpha; of an animation, the first frame on its canvas."""
    size = struct.unpack_from("<I", data, 4)[0] + 8 if len(data) >= 12 else 12
    if size > len(data):
        raise cut_off(_KIND)
    chunks = _chunks(data, 12, size, limits)
    named = dict(reversed(chunks))  # the first of each name
    icc, exif, xmp = named.get(b"ICCP"), named.get(b"EXIF"), named.get(b"XMP ")
    if exif is not None and exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    if b"VP8X" not in named:
        pixels = _decode_still(chunks, limits)
        return Decoded(pixels, "rgb", icc, exif, xmp=xmp)
    canvas = _canvas_size(named[b"VP8X"], limits)
    frames = [body for name, body in chunks if name == b"ANMF"]
    limits.check_frames(len(frames))
    if not frames:
        pixels = _decode_still(chunks, limits)
        if (pixels.shape[1], pixels.shape[0]) != canvas:
            raise damaged(_KIND)
        return Decoded(pixels, "rgb", icc, exif, xmp=xmp)
    frame = frames[0]
    if len(frame) < 16:
        raise damaged(_KIND)
    left, top = (2 * int.from_bytes(frame[k : k + 3], "little") for k in (0, 3))
    pixels = _decode_still(_chunks(frame, 16, len(frame), limits), limits)
    height, width = pixels.shape[:2]
    if left + width > canvas[0] or top + height > canvas[1]:
        raise damaged(_KIND)
    if (width, height) != canvas:
        whole = np.zeros((canvas[1], canvas[0], 4), np.uint8)
        whole[top : top + height, left : left + width, : pixels.shape[2]] = pixels
        if pixels.shape[2] == 3:
            whole[top : top + height, left : left + width, 3] = 255
        pixels = whole
    return Decoded(pixels, "rgb", icc, exif, xmp=xmp)


def _chunks(data: bytes, start: int, end: int, limits: PhotoLimits) -> list[Chunk]:
    found: list[Chunk] = []
    at = start
    while at + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, at)
        if at + 8 + length > end:
            raise cut_off(_KIND)
        found.append((name, data[at + 8 : at + 8 + length]))
        limits.check_frames(len(found) - 16)  # beside its frames, a file has a handful of chunks
        at += 8 + length + (length & 1)
    return found


def _canvas_size(body: bytes, limits: PhotoLimits) -> tuple[int, int]:
    if len(body) < 10:
        raise damaged(_KIND)
    width, height = (1 + int.from_bytes(body[k : k + 3], "little") for k in (4, 7))
    limits.check_size(width, height)
    return width, height


def _decode_still(chunks: list[Chunk], limits: PhotoLimits) -> np.ndarray:
    """Decode the one VP8 or VP8L picture among the chunks, with its ALPH chunk, as (H, W, 3 or 4)."""
    picture = next(((name, body) for name, body in chunks if name in (b"VP8 ", b"VP8L")), None)
    if picture is None:
        raise damaged(_KIND)
    name, body = picture
    width, height = _lossy_size(body) if name == b"VP8 " else _lossless_size(body)
    limits.check_size(width, height)
    alpha = next((body for name, body in chunks if name == b"ALPH"), None) if name == b"VP8 " else None
    parts = [picture]
    if alpha is not None:
        extent = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
        parts = [(b"VP8X", b"\x10\0\0\0" + extent), (b"ALPH", alpha), picture]
    payload = b"WEBP" + b"".join(n + struct.pack("<I", len(b)) + b + b"\0" * (len(b) & 1) for n, b in parts)
    with refusing(_KIND):
        pixels = imagecodecs.webp_decode(b"RIFF" + struct.pack("<I", len(payload)) + payload)
    if pixels.shape[:2] != (height, width):
        raise damaged(_KIND)
    return pixels


def _lossy_size(body: bytes) -> tuple[int, int]:
    """RFC 6386, 9.1: a key frame opens with a 3-byte tag, a start code and 14-bit sizes."""
    if len(body) < 10 or body[0] & 1 or body[3:6] != b"\x9d\x01\x2a":
        raise damaged(_KIND)
    width, height = struct.unpack_from("<HH", body, 6)
    return width & 0x3FFF, height & 0x3FFF


def _lossless_size(body: bytes) -> tuple[int, int]:
    """RFC 9649, 3.4: a signature byte, then width - 1 and height - 1 in 14 bits each."""
    if len(body) < 5 or body[0] != 0x2F:
        raise damaged(_KIND)
    bits = struct.unpack_from("<I", body, 1)[0]
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
