"""Gain maps: what a file says of the light behind its picture, read in every known form and written in two.

A gain map gives, for each pixel, the stops between two renditions of a scene: the base, which is the picture in the
file, and the alternate. One of them is for screens that end at white, the other is brighter.

Sources: ISO 21496-1:2025; Adobe Gain Map specification 1.0; Apple, "Applying Apple HDR effect to your photos".
"""

from __future__ import annotations

import math
import re
import struct
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np
from PIL import Image

from hdrgan.files import ifd
from hdrgan.files.exif import EXIF_POINTER, read_directories
from hdrgan.light.parallel import each
from hdrgan.light.srgb import srgb_response

ISO_NAME = b"urn:iso:std:iso:ts:21496:-1\0"
XMP_NAME = b"http://ns.adobe.com/xap/1.0/\0"
APPLE_MAP = "urn:com:apple:photo:2020:aux:hdrgainmap"

_MULTICHANNEL, _BASE_PRIMARIES, _COMMON_DENOMINATOR = 0x80, 0x40, 0x08
_DENOMINATOR = 1 << 20
_BARELY = 1 / 1024  # stops; readers divide by the headroom, so that none at all cannot be said with a zero
_MOST_STOPS = 32.0
_MAKER_NOTE = 37500
_APPLE_HEADROOM, _APPLE_GAIN = 33, 48  # tags of Apple's maker note
_BAND = 128  # rows worked on at a time


@dataclass(frozen=True, eq=False)
class GainMap:
    """Stops between the two renditions of a picture.

    alternate + `alternate_offset` = (base + `base_offset`) * 2^gain in linear light, with
    gain = low + (high - low) * (codes / most)^(1 / gamma). Where the base is the brighter one, gain is negated.

    Args:
        codes: (h, w, 1 or 3) uint8 or uint16, upright; of the picture's size or smaller.
        low, high, gamma, base_offset, alternate_offset: one value for all channels, or one for each.
        base_headroom, alternate_headroom: stops above white that each rendition needs of a screen.
        base_primaries: whether the map applies in the primaries of the base, and not of the alternate.
        jpeg: the map's own JPEG as stored, where it came as one and its codes mean what they meant there.
    """

    codes: np.ndarray
    low: tuple[float, ...]
    high: tuple[float, ...]
    gamma: tuple[float, ...] = (1.0,)
    base_offset: tuple[float, ...] = (1 / 64,)
    alternate_offset: tuple[float, ...] = (1 / 64,)
    base_headroom: float = 0.0
    alternate_headroom: float = 0.0
    base_primaries: bool = True
    jpeg: bytes | None = field(default=None, repr=False)

    @property
    def headroom(self) -> float:
        """Stops above white of the brighter rendition."""
        return max(self.base_headroom, self.alternate_headroom)

    @property
    def base_is_hdr(self) -> bool:
        """Whether the picture in the file is the brighter rendition."""
        return self.base_headroom > self.alternate_headroom

    def alternate(self, base: np.ndarray) -> np.ndarray:
        """The other rendition of a linear picture (H, W, 3) float32, >= 0, in the same primaries; worked out in place.

        Args:
            base: linear light, 1.0 = white; it is overwritten.
        """
        height, width = base.shape[:2]
        sign = -1.0 if self.base_is_hdr else 1.0
        low, high, gamma, below, above = (
            np.asarray(values, np.float32)
            for values in (self.low, self.high, self.gamma, self.base_offset, self.alternate_offset)
        )
        most = np.float32(np.iinfo(self.codes.dtype).max)
        planes = [
            Image.fromarray(np.ascontiguousarray(self.codes[..., k]).astype(np.float32) / most)
            for k in range(self.codes.shape[2])
        ]
        scale = self.codes.shape[0] / height

        def apply(top: int) -> None:
            rows = slice(top, min(top + _BAND, height))
            box = (0, top * scale, self.codes.shape[1], rows.stop * scale)
            size = (width, rows.stop - top)
            position = np.stack([np.asarray(p.resize(size, Image.Resampling.BILINEAR, box=box)) for p in planes], -1)
            if (gamma != 1).any():
                position = position.clip(0, 1) ** (1 / gamma)
            gain = np.exp2(sign * (low + (high - low) * position))
            base[rows] = np.maximum((base[rows] + below) * gain - above, 0)

        each(apply, range(0, height, _BAND))
        return base

    def checked(self) -> GainMap | None:
        """The map itself, or None where its numbers make no sense or it says nothing."""
        numbers = (*self.low, *self.high, *self.gamma, *self.base_offset, *self.alternate_offset)
        heads = (self.base_headroom, self.alternate_headroom)
        if not all(math.isfinite(n) for n in (*numbers, *heads)) or max(map(abs, numbers)) > _MOST_STOPS:
            return None
        if not all(0 <= h <= _MOST_STOPS for h in heads) or min(self.gamma) <= 0 or self.headroom <= 0:
            return None
        counts = {len(v) for v in (self.low, self.high, self.gamma, self.base_offset, self.alternate_offset)}
        if not counts <= {1, 3} or min(self.base_offset) < 0:
            return None
        # One value may stand beside three: files leave out what is the same in all channels.
        if bool((np.array(self.low) > np.array(self.high)).any()):
            return None
        if counts == {1, 3} or (3 in counts and self.codes.shape[2] == 1):
            return replace(
                self,
                codes=np.repeat(self.codes, 3, 2) if self.codes.shape[2] == 1 else self.codes,
                **{
                    name: value if len(value) == 3 else value * 3
                    for name in ("low", "high", "gamma", "base_offset", "alternate_offset")
                    for value in [getattr(self, name)]
                },
            )
        return self


# Reading


def read_iso(body: bytes, codes: np.ndarray) -> GainMap | None:
    """The metadata of ISO 21496-1, Annex C, from its version on; None where it is not whole or of a later version."""
    try:
        least, _, flags = struct.unpack_from(">HHB", body)
        if least != 0:
            return None
        at = 5
        channels = 3 if flags & _MULTICHANNEL else 1
        if flags & _COMMON_DENOMINATOR:
            shared, base, alternate = struct.unpack_from(">III", body, at)
            rows = [struct.unpack_from(">iiIii", body, at + 12 + 20 * k) for k in range(channels)]
            values = [[n / shared for n in row] for row in rows]
            heads = [base / shared, alternate / shared]
        else:
            pairs = struct.unpack_from(">IIII", body, at)
            heads = [pairs[0] / pairs[1], pairs[2] / pairs[3]]
            rows = [struct.unpack_from(">iIiIIIiIiI", body, at + 16 + 40 * k) for k in range(channels)]
            values = [[row[2 * k] / row[2 * k + 1] for k in range(5)] for row in rows]
    except (struct.error, ZeroDivisionError):
        return None
    low, high, gamma, base_offset, alternate_offset = (tuple(row[k] for row in values) for k in range(5))
    return GainMap(
        codes, low, high, gamma, base_offset, alternate_offset, heads[0], heads[1], bool(flags & _BASE_PRIMARIES)
    ).checked()


def read_hdrgm(xmp: bytes, codes: np.ndarray) -> GainMap | None:
    """Adobe's metadata, as attributes or as elements, one value or three; None where there is none."""
    text = xmp.decode("utf-8", "replace")
    space = re.search(r'xmlns:(\w+)\s*=\s*["\']http://ns\.adobe\.com/hdr-gain-map/1\.0/["\']', text)
    if space is None:
        return None
    prefix = space[1]

    def words(name: str) -> list[str]:
        short = re.search(rf'{prefix}:{name}\s*=\s*["\']([^"\']*)["\']', text)
        if short:
            return [short[1]]
        long = re.search(rf"<{prefix}:{name}[^>]*>(.{{0,2000}}?)</{prefix}:{name}>", text, re.DOTALL)
        if long is None:
            return []
        return re.findall(r"<rdf:li[^>]*>([^<]*)</rdf:li>", long[1]) or [long[1]]

    def numbers(name: str, default: float | None) -> tuple[float, ...]:
        found = words(name)
        if not found and default is not None:
            return (default,)
        return tuple(float(word) for word in found[:3])

    try:
        low, high = numbers("GainMapMin", 0.0), numbers("GainMapMax", None)
        gamma = numbers("Gamma", 1.0)
        dark, bright = numbers("OffsetSDR", 1 / 64), numbers("OffsetHDR", 1 / 64)
        least, most = numbers("HDRCapacityMin", 0.0), numbers("HDRCapacityMax", None)
    except ValueError:
        return None
    if not (low and high and gamma and dark and bright and least and most):
        return None
    if (words("BaseRenditionIsHDR") or ["False"])[0].strip().lower() == "true":
        return GainMap(codes, low, high, gamma, bright, dark, most[0], least[0]).checked()
    return GainMap(codes, low, high, gamma, dark, bright, least[0], most[0]).checked()


def read_apple(xmp: bytes, exif: bytes | None, codes: np.ndarray) -> GainMap | None:
    """Apple's map: light = photo * (1 + (headroom - 1) * map), the map encoded as sRGB is.

    The headroom stands in the map's XMP in newer files, and follows from two numbers of the maker note in older ones.
    """
    headroom = apple_headroom(xmp, exif)
    if headroom is None or not 1 < headroom < 2**_MOST_STOPS:
        return None
    stops = math.log2(headroom)
    table = np.log2(1 + (headroom - 1) * srgb_response()) / stops
    if codes.dtype != np.uint8:
        codes = (codes >> 8).astype(np.uint8)
    fine = np.round(table * 65535).astype(np.uint16)[codes]
    return GainMap(fine, (0.0,), (stops,), (1.0,), (0.0,), (0.0,), 0.0, stops).checked()


def is_apple(xmp: bytes) -> bool:
    """Whether XMP declares the picture it belongs to to be Apple's gain map."""
    return b"HDRGainMapVersion" in xmp or APPLE_MAP.encode() in xmp


def apple_headroom(xmp: bytes, exif: bytes | None) -> float | None:
    """How many times brighter than white Apple's brighter rendition is; None where the file does not say."""
    stated = re.search(rb"HDRGainMapHeadroom[^\d<]{1,3}([\d.]+)", xmp) or re.search(
        rb"HDRGainMapHeadroom>([\d.]+)<", xmp
    )
    if stated:
        try:
            return float(stated[1])
        except ValueError:
            return None
    entry = read_directories(exif, largest=1 << 22)[1].get(EXIF_POINTER, {}).get(_MAKER_NOTE)
    note = entry.value if entry is not None else None
    if not isinstance(note, bytes) or not note.startswith(b"Apple iOS\0"):
        return None
    order = ifd.Order(">" if note[12:14] == b"MM" else "<", False, 14)
    fields = ifd.read_directory(note, order, 14)
    found = [_real(fields.get(tag)) for tag in (_APPLE_HEADROOM, _APPLE_GAIN)]
    if found[0] is None:
        return None
    # The first phones that wrote maps gave no second number.
    head, gain = found[0], found[1] or 0.0
    if head < 1:
        stops = -20 * gain + 1.8 if gain <= 0.01 else -0.101 * gain + 1.601
    else:
        stops = -70 * gain + 3.0 if gain <= 0.01 else -0.303 * gain + 2.303
    return float(2.0 ** min(max(stops, 0.0), _MOST_STOPS))


def _real(entry: ifd.Entry | None) -> float | None:
    if entry is None or not isinstance(entry.value, tuple) or not entry.value:
        return None
    first = entry.value[0]
    if isinstance(first, tuple):
        return first[0] / first[1] if first[1] else None
    return float(first)


# Writing


def write_iso(gains: GainMap) -> bytes:
    """ISO 21496-1, Annex C: version, flags, the headroom of both renditions, the values of one or three channels."""

    def ratio(value: float) -> tuple[int, int]:
        near = Fraction(value).limit_denominator(_DENOMINATOR)
        return near.numerator, near.denominator

    channels = max(len(v) for v in (gains.low, gains.high, gains.gamma, gains.base_offset, gains.alternate_offset))
    flags = (_BASE_PRIMARIES if gains.base_primaries else 0) | (_MULTICHANNEL if channels == 3 else 0)
    base, alternate = _capacities(gains)
    parts = [struct.pack(">HHB IIII", 0, 0, flags, *ratio(base), *ratio(alternate))]
    for k in range(channels):
        values = (gains.low, gains.high, gains.gamma, gains.base_offset, gains.alternate_offset)
        numbers = [number for v in values for number in ratio(v[k % len(v)])]
        parts.append(struct.pack(">iI iI II iI iI", *numbers))
    return b"".join(parts)


def write_hdrgm(gains: GainMap) -> str:
    """Adobe's attributes and elements, to be put into an rdf:Description."""
    base, alternate = _capacities(gains)
    dark, bright = gains.base_offset, gains.alternate_offset
    if gains.base_is_hdr:
        dark, bright = bright, dark
    attributes = {
        "Version": "1.0",
        "BaseRenditionIsHDR": str(gains.base_is_hdr),
        "HDRCapacityMin": f"{min(base, alternate):.6g}",
        "HDRCapacityMax": f"{max(base, alternate):.6f}",
    }
    elements = ""
    for name, value in (
        ("GainMapMin", gains.low),
        ("GainMapMax", gains.high),
        ("Gamma", gains.gamma),
        ("OffsetSDR", dark),
        ("OffsetHDR", bright),
    ):
        if len(set(value)) == 1:
            attributes[name] = f"{value[0]:.10g}"
        else:
            items = "".join(f"<rdf:li>{v:.10g}</rdf:li>" for v in value)
            elements += f"\n   <hdrgm:{name}><rdf:Seq>{items}</rdf:Seq></hdrgm:{name}>"
    head = "".join(f'\n    hdrgm:{name}="{value}"' for name, value in attributes.items())
    return f"{head}>{elements}\n  </rdf:Description>" if elements else f"{head}/>"


def _capacities(gains: GainMap) -> tuple[float, float]:
    base, alternate = gains.base_headroom, gains.alternate_headroom
    if abs(base - alternate) < _BARELY:
        alternate = base + _BARELY
    return base, alternate
