"""Radiance .hdr: the header is read and checked here, run lengths are unpacked by imagecodecs.

Source: G. Ward, "Real Pixels", Graphics Gems II (1991); the Radiance file formats document.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

import imagecodecs
import numpy as np

from hdrgan.files.limits import RadianceFileError
from hdrgan.light.parallel import each

MAGIC = (b"#?RADIANCE", b"#?RGBE")
LONGEST_HEADER = 1 << 16
_LONGEST_LINE = 4096
_RESOLUTION = re.compile(rb"([+-])([XY])\s+(\d{1,7})\s+([+-])([XY])\s+(\d{1,7})\s*")
_RUN_WIDTHS = range(8, 0x8000)  # widths that the newer run-length coding can express
_MOST_OLD_PIXELS = 1 << 24
_ENCODE_ROWS = 64
_DARKEST = 1e-32  # what is darker is written as black, as Radiance does


@dataclass
class Header:
    """What the text at the beginning of a .hdr file says.

    Args:
        lines, pixels: number of scanlines and pixels in each, as stored.
        first, second: sign and axis of the scanlines' order and of the pixels' order, such as "-Y" and "+X".
        xyz: whether the three values are CIE XYZ and not RGB.
        exposure: what the stored values were multiplied by, one factor a channel.
        primaries: x and y of red, green, blue and white, where stated.
        body: where the pixels begin.
    """

    lines: int
    pixels: int
    first: str
    second: str
    xyz: bool
    exposure: tuple[float, float, float]
    primaries: tuple[float, ...] | None
    body: int


def read_header(data: bytes, most_pixels: int) -> Header:
    """Read the header of a .hdr file and refuse impossible values before any pixel is read."""
    if not data.startswith(MAGIC):
        raise RadianceFileError("this is not a Radiance .hdr file (it does not begin with #?RADIANCE)")
    exposure = [1.0, 1.0, 1.0]
    xyz, primaries = False, None
    text_lines, at = _lines(data)
    for line in text_lines:
        if line.startswith(b"#"):
            continue
        name, _, text = line.partition(b"=")
        name, text = name.strip().upper(), text.strip()
        if name == b"FORMAT":
            if text not in (b"32-bit_rle_rgbe", b"32-bit_rle_xyze"):
                raise RadianceFileError("its FORMAT line names pixels of an unknown kind")
            xyz = text.endswith(b"xyze")
        elif name == b"EXPOSURE":
            (factor,) = _numbers(text, 1, "EXPOSURE")
            exposure = [e * factor for e in exposure]
        elif name == b"COLORCORR":
            exposure = [e * f for e, f in zip(exposure, _numbers(text, 3, "COLORCORR"), strict=True)]
        elif name == b"PRIMARIES":
            primaries = _numbers(text, 8, "PRIMARIES")
    end = data.find(b"\n", at, at + 256)
    found = _RESOLUTION.fullmatch(data[at:end]) if end >= 0 else None
    if found is None or found[2] == found[5]:
        raise RadianceFileError("its resolution line is malformed")
    lines, pixels = int(found[3]), int(found[6])
    if not lines or not pixels or lines * pixels > most_pixels:
        raise RadianceFileError(f"it says it holds {pixels} x {lines} pixels, which is empty or too many")
    if not all(1e-30 < e < 1e30 for e in exposure):
        raise RadianceFileError("its EXPOSURE is not a positive number")
    first, second = ((found[k] + found[k + 1]).decode() for k in (1, 4))
    return Header(lines, pixels, first, second, xyz, tuple(exposure), primaries, end + 1)  # type: ignore[arg-type]


def _lines(data: bytes) -> tuple[list[bytes], int]:
    """The lines before the first empty one, and the offset behind that; an endless header or line is refused."""
    lines: list[bytes] = []
    at = 0
    while at < LONGEST_HEADER:
        end = data.find(b"\n", at, at + _LONGEST_LINE)
        if end < 0:
            raise RadianceFileError("its header has a line without an end")
        line, at = data[at:end].rstrip(b"\r"), end + 1
        if not line:
            return lines, at
        lines.append(line)
    raise RadianceFileError("its header has no end")


def _numbers(text: bytes, count: int, name: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(word) for word in text.split())
    except ValueError:
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(n) for n in numbers):
        raise RadianceFileError(f"its {name} line is malformed")
    return numbers


def decode(data: bytes, header: Header) -> np.ndarray:
    """Unpack the pixels as stored: (lines, pixels, 3) float32, RGB or XYZ, before orientation and exposure."""
    body = data[header.body :]
    shape = (header.lines, header.pixels, 3)
    total = header.lines * header.pixels
    runs = header.pixels in _RUN_WIDTHS and body[:2] == b"\x02\x02" and len(body) > 2 and body[2] < 128
    if not runs:
        flat = body if len(body) == 4 * total else _without_old_runs(body, total)
        return imagecodecs.rgbe_decode(flat, header=False, rle=False, out=np.empty(shape, np.float32))
    # A run holds at most 127 bytes of a channel: fewer bytes than that cannot be the whole picture.
    if len(body) < header.lines * (4 + 8 * -(-header.pixels // 127)):
        raise RadianceFileError("it is cut off before its end")
    try:
        return imagecodecs.rgbe_decode(body, header=False, rle=True, out=np.empty(shape, np.float32))
    except imagecodecs.RgbeError as error:
        reason = "it is cut off before its end" if "READ" in str(error) else "its run lengths are damaged"
        raise RadianceFileError(reason) from error
    except ValueError as error:
        raise RadianceFileError("it goes on behind the end of its picture") from error


def _without_old_runs(body: bytes, total: int) -> bytes:
    """The first run-length coding: a pixel (1, 1, 1, n) repeats the one before n times, several of them n * 256^k."""
    if total > _MOST_OLD_PIXELS:
        raise RadianceFileError("it is cut off before its end")
    stored = np.frombuffer(body[: len(body) // 4 * 4], np.uint8).reshape(-1, 4)
    repeats = (stored[:, :3] == 1).all(1)
    index = np.arange(len(stored))
    last_pixel = np.maximum.accumulate(np.where(repeats, -1, index))
    shift = 8 * np.where(repeats, index - last_pixel - 1, 0)
    if not len(stored) or repeats[0]:
        raise RadianceFileError("it is cut off before its end" if not len(stored) else "its run lengths are damaged")
    if shift.max() > 24:
        raise RadianceFileError("its run lengths are damaged")
    counts = np.where(repeats, stored[:, 3].astype(np.int64) << shift, 1)
    reached = np.cumsum(counts)
    needed = int(np.searchsorted(reached, total)) + 1
    if needed > len(stored):
        raise RadianceFileError("it is cut off before its end")
    if reached[needed - 1] != total:
        raise RadianceFileError("its run lengths are damaged")
    return np.repeat(stored[last_pixel[:needed]], counts[:needed], axis=0).tobytes()


def encode(radiance: np.ndarray) -> list[bytes]:
    """Encode (H, W, 3) finite, non-negative values as run-length coded scanlines, each value rounded to nearest."""

    def encode_strip(start: int) -> bytes:
        strip = radiance[start : start + _ENCODE_ROWS].astype(np.float32)
        brightest = np.maximum(np.maximum(strip[..., 0], strip[..., 1]), strip[..., 2])
        brightest[brightest < _DARKEST] = 0
        # 2^e just above the brightest channel, read off the bits of the float; a mantissa that would round up to 256
        # takes the next one.
        exponent = (brightest.view(np.int32) >> 23) - 126
        exponent += np.rint(brightest * _power_of_two(8 - exponent)) > 255
        exponent[brightest == 0] = 0
        # The encoder cuts mantissas off; a quarter keeps its own rounding from taking one away.
        strip *= _power_of_two(8 - exponent)[..., None]
        np.rint(strip, out=strip)
        strip += np.float32(0.25)
        strip *= _power_of_two(exponent - 8)[..., None]
        strip[brightest == 0] = 0
        room = strip.shape[0] * (strip.shape[1] * 5 + 64)
        return bytes(imagecodecs.rgbe_encode(strip, header=False, rle=True, out=room))

    return each(encode_strip, range(0, radiance.shape[0], _ENCODE_ROWS))


def _power_of_two(exponent: np.ndarray) -> np.ndarray:
    """2^exponent as float32, for -126 to 127."""
    return ((exponent + 127) << 23).astype(np.int32).view(np.float32)
