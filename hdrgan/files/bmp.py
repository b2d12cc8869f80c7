"""BMP: the header is checked here; run-length coded pictures are unpacked here, all others by Pillow."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import BmpImagePlugin

from hdrgan.files.limits import Decoded, PhotoError, PhotoLimits, cut_off, damaged, refusing

_KIND = "BMP"
_RLE8, _RLE4, _JPEG, _PNG = 1, 2, 4, 5
_LARGEST_RLE = 8 << 20  # bytes; the codes are unpacked one by one


def decode(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode a BMP of 1 to 32 bits a pixel, bottom-up or top-down, plain or run-length coded."""
    if len(data) < 26:
        raise cut_off(_KIND)
    offset, size = struct.unpack_from("<II", data, 10)
    if size == 12:
        width, height, _, depth = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif size >= 40 and len(data) >= 54:
        width, height, _, depth, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise damaged(_KIND)
    if width < 0:
        raise damaged(_KIND)
    limits.check_size(width, abs(height))
    if (compression, depth) in ((_RLE8, 8), (_RLE4, 4)) and height > 0:
        return Decoded(_decode_runs(data, offset, 14 + size, width, height, depth), "rgb")
    if compression in (_RLE8, _RLE4, _JPEG, _PNG):
        raise damaged(_KIND)
    with refusing(_KIND), BmpImagePlugin.BmpImageFile(io.BytesIO(data)) as picture:
        if picture.size != (width, abs(height)):
            raise damaged(_KIND)
        return Decoded(np.asarray(picture.convert("RGBA" if picture.mode == "RGBA" else "RGB")), "rgb")


def _decode_runs(data: bytes, offset: int, palette_at: int, width: int, height: int, depth: int) -> np.ndarray:
    """Unpack RLE8 or RLE4 (Microsoft, "Bitmap Compression"); pixels that the codes jump over take colour 0."""
    if len(data) - offset > _LARGEST_RLE:
        raise PhotoError("This run-length coded BMP is too large; save it as PNG.")
    palette = np.zeros((256, 3), np.uint8)
    stored = np.frombuffer(data[palette_at : min(offset, palette_at + 1024)], np.uint8)
    stored = stored[: len(stored) // 4 * 4].reshape(-1, 4)
    palette[: len(stored)] = stored[:, 2::-1]
    rows = np.zeros((height, width), np.uint8)
    line = memoryview(rows.reshape(-1))  # type: ignore[arg-type]
    at, x, y = offset, 0, 0
    while y < height:
        if at + 2 > len(data):
            raise cut_off(_KIND)
        count, code = data[at], data[at + 1]
        at += 2
        if count == 0 and code == 0:
            x, y = 0, y + 1
        elif count == 0 and code == 1:
            break
        elif count == 0 and code == 2:
            if at + 2 > len(data):
                raise cut_off(_KIND)
            x, y = x + data[at], y + data[at + 1]
            at += 2
        else:
            literal = count == 0
            count = count or code
            stored_bytes = (count * depth + 7) // 8 if literal else 1
            raw = data[at : at + stored_bytes] if literal else bytes([code])
            if literal:
                at += stored_bytes + (stored_bytes & 1)
            if len(raw) < stored_bytes:
                raise cut_off(_KIND)
            count = max(0, min(count, width - x))  # some writers let the last run of a row pass its end
            if depth == 4:
                raw = bytes(nibble for byte in raw for nibble in (byte >> 4, byte & 15))
            run = raw[:count] if literal else (raw * count)[:count]
            line[y * width + x : y * width + x + count] = run
            x += count
    return palette[rows[::-1]]
