"""GIF: the first frame is cut out as a GIF of its own, decoded, and laid on its canvas."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import GifImagePlugin

from hdrgan.files.limits import Decoded, PhotoLimits, cut_off, damaged, refusing

_KIND = "GIF"
_IMAGE, _EXTENSION, _TRAILER = 0x2C, 0x21, 0x3B
_GRAPHIC_CONTROL = 0xF9


def decode(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode the first frame of a GIF as RGBA; what it leaves open of the canvas is transparent."""
    if len(data) < 13:
        raise cut_off(_KIND)
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    limits.check_size(width, height)
    at = 13 + _table_bytes(flags)
    tables = data[13:at]
    control, single, place = b"", b"", (0, 0, 0, 0)
    frames = 0
    while at < len(data) and data[at] != _TRAILER:
        start = at
        if data[at] == _EXTENSION:
            at = _skip_blocks(data, at + 2)
            if data[start + 1] == _GRAPHIC_CONTROL and not frames:
                control = data[start:at]
        elif data[at] == _IMAGE and at + 10 <= len(data):
            frames += 1
            limits.check_frames(frames)
            here = struct.unpack_from("<HHHH", data, at + 1)
            at = _skip_blocks(data, at + 10 + _table_bytes(data[at + 9]) + 1)
            if frames == 1:
                place = here
                screen = struct.pack("<HHB", place[2], place[3], flags) + b"\0\0"
                image = b"\x2c\0\0\0\0" + data[start + 5 : at]
                single = b"".join([b"GIF89a", screen, tables, control, image, b";"])
        else:
            raise damaged(_KIND)
    left, top, frame_width, frame_height = place
    if not frames or not frame_width or not frame_height or left + frame_width > width or top + frame_height > height:
        raise damaged(_KIND)
    with refusing(_KIND), GifImagePlugin.GifImageFile(io.BytesIO(single)) as picture:
        frame = np.asarray(picture.convert("RGBA"))
    if frame.shape != (frame_height, frame_width, 4):
        raise damaged(_KIND)
    if (frame_width, frame_height) == (width, height):
        return Decoded(frame, "rgb")
    canvas = np.zeros((height, width, 4), np.uint8)
    canvas[top : top + frame_height, left : left + frame_width] = frame
    return Decoded(canvas, "rgb")


def _table_bytes(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _skip_blocks(data: bytes, at: int) -> int:
    """The offset behind a chain of data blocks, each led by its length, ended by an empty one."""
    while at < len(data):
        length = data[at]
        at += 1 + length
        if not length:
            return at
    raise cut_off(_KIND)
