"""Camera raw files over light that is known."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from hdrgan.files import ifd
from hdrgan.files.ifd import Entry

XYZ_TO_SRGB = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A grey ramp with a lamp of three times what the sensor holds: (H, W, 3) float32."""
    light = np.repeat(np.linspace(0.02, 0.7, width, dtype=np.float32)[None, :, None], height, 0).repeat(3, 2)
    light[20:60, 20:60] = 3
    return light


def dng(light: np.ndarray, black: int = 512, white: int = 16383) -> bytes:
    """A raw file of a camera whose primaries are those of sRGB."""
    mosaic = np.empty(light.shape[:2], np.float32)
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[y::2, x::2] = light[y::2, x::2, channel]
    return dng_of_counts((mosaic.clip(0, 1) * (white - black) + black).round().astype(np.uint16), black, white)


def dng_of_counts(
    mosaic: np.ndarray,
    black: int,
    white: int,
    from_xyz: Iterable[float] = XYZ_TO_SRGB,
    neutral: tuple[float, float, float] = (1, 1, 1),
) -> bytes:
    """A raw file, RGGB, not compressed.

    Args:
        mosaic: (H, W) uint16, what the sensor counted.
        black, white: counts without light, and where a pixel is full.
        from_xyz: nine numbers that turn XYZ into the camera's channels.
        neutral: what the camera's channels see of something white, relative to one another.
    """
    height, width = mosaic.shape
    counts = mosaic.astype("<u2").tobytes()
    short, long, rational = (lambda *v: Entry(ifd.SHORT, v)), (lambda *v: Entry(ifd.LONG, v)), ifd.RATIONAL
    fields = {254: long(0), 256: long(width), 257: long(height), 258: short(16), 259: short(1), 262: short(32803)}
    fields |= {271: Entry(ifd.ASCII, "Maker"), 272: Entry(ifd.ASCII, "Model 7"), 273: long(0), 274: short(1)}
    fields |= {277: short(1), 278: long(height), 279: long(len(counts)), 33421: short(2, 2)}
    fields |= {33422: Entry(ifd.BYTE, bytes([0, 1, 1, 2])), 50706: Entry(ifd.BYTE, bytes([1, 4, 0, 0]))}
    fields |= {50707: Entry(ifd.BYTE, bytes([1, 1, 0, 0])), 50708: Entry(ifd.ASCII, "Maker Model 7")}
    fields |= {50714: long(black), 50717: long(white), 50778: short(21)}
    fields[50721] = Entry(ifd.SRATIONAL, tuple((round(v * 10_000), 10_000) for v in from_xyz))
    fields[50728] = Entry(rational, tuple((round(v * 10_000), 10_000) for v in neutral))
    head, places = ifd.write_tiff(fields)
    filled = bytearray(head)
    filled[places[273] : places[273] + 4] = len(head).to_bytes(4, "little")
    return bytes(filled) + counts
