"""Ultra HDR: an ordinary JPEG that carries a map of how much more light each pixel has than it could show.

Screens that know gain maps multiply; everything else shows the photo. The map is described twice, as ISO 21496-1 and
as Adobe's hdrgm with Google's container, since readers know one or the other; the Multi-Picture Format says where in
the file it is.

Sources: ISO 21496-1:2025; Adobe Gain Map specification 1.0; Android Ultra HDR image format 1.1; CIPA DC-007 (MPF).
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator

import imagecodecs
import numpy as np
from PIL import Image

from hdrgan.files import jpeg
from hdrgan.files.atomic import write_atomic
from hdrgan.files.colour import to_8_bits
from hdrgan.files.exif import bracket_exif
from hdrgan.files.gain_map import ISO_NAME, XMP_NAME, GainMap, write_hdrgm, write_iso
from hdrgan.files.photo import Photo, turn
from hdrgan.files.write import encode_jpeg, metadata_segments
from hdrgan.files.xmp_iptc import kept_iptc, kept_xmp, xmp_packet
from hdrgan.light.radiometry import srgb_curve
from hdrgan.light.srgb import largest_channel

MOST_STOPS = 4.0
"""Stops above white that a file promises at most: no screen shows more, and one that shows less scales all of them."""

MOST_GRADED_STOPS = 6.0
"""The same for light that was mastered for screens; PQ ends 5.6 stops above its white."""

OFFSET = 1 / 64
"""Added to both lights before they are divided, so that black has a ratio."""

BASE_QUALITY = 97
MAP_QUALITY = 90
MAP_PIXELS = 2_000_000
"""Pixels of the map at most; that of a larger photo is smaller by a whole number and stretched by its reader."""

MAP_SHARE = 0.15  # bytes of a map that is made here, as a share of the photo's, at most: see `_small_enough`
LEAST_SIDE = 64  # pixels of its shorter side, which is never less for the sake of bytes: small lights would be lost
_ABOVE_WHITE = 1.002  # half an 8-bit step of sRGB at white
_MIDDLE_GREY = 0.18
_MPF_BYTES = 2 + 2 + 4 + 8 + 2 + 3 * 12 + 4 + 2 * 16  # marker, length, name, header, directory of 3, two pictures
_MULTI_PICTURE_PRIMARY = 0x030000
_UNDO = {6: 8, 8: 6}  # EXIF orientations that are not their own inverse


def make_gain_map(
    srgb: np.ndarray,
    radiance: np.ndarray,
    *,
    scale: int | None = None,
    response: np.ndarray | None = None,
    headroom: float | None = None,
) -> GainMap:
    """Divide light by what a photo shows of it.

    Light above `MOST_STOPS`, and the brightest hundredth of what lies above white, is cut there with its hue kept.

    Cameras roll highlights off over several stops, and what a screen shows of a photo is no linear light. Where the
    camera's curve is given, the map leaves everything up to the shoulder of that curve, which begins above middle grey,
    as the photo shows it, and opens what the camera pressed together from there on.

    Args:
        srgb: (H, W, 3) uint8, sRGB encoded.
        radiance: (H, W, 3) float, linear, >= 0, 1.0 = the photo's white.
        scale: pixels of the photo to one of the map, along each side; None keeps the map below `MAP_PIXELS`.
        response: (256,) inverse response by which ``srgb`` shows ``radiance``; None is sRGB.
        headroom: stops above white that the map promises, and above which light is cut; None is as above.

    Raises:
        ValueError: the two have different shapes.
    """
    if srgb.shape != radiance.shape or srgb.ndim != 3 or srgb.shape[2] != 3 or srgb.dtype != np.uint8:
        raise ValueError(f"srgb {srgb.shape} {srgb.dtype} and radiance {radiance.shape} must be (H, W, 3), srgb uint8")
    height, width = srgb.shape[:2]
    scale = scale or _least_scale(height, width)
    shape = (max(1, height // scale), max(1, width // scale))
    shown = np.empty((*shape, 3), np.float32)
    light = np.empty((*shape, 3), np.float32)
    curve = srgb_curve().numpy()
    shoulder = _shoulder(curve, response)
    for rows, source, box in _bands(srgb.shape[:2], shape):
        base = curve[srgb[source]]
        lit = radiance[source].astype(np.float32, copy=False)
        if shoulder is not None:
            lit = lit * np.float32(shoulder[1])
            lit = np.where(lit > shoulder[0], np.maximum(base, lit), base)
        shown[rows] = _reduced(base, box, shown[rows].shape[:2])
        light[rows] = _reduced(lit, box, shown[rows].shape[:2])
    brightest = largest_channel(light)
    headroom = _headroom(brightest) if headroom is None else headroom
    light *= np.minimum(1, 2**headroom / np.maximum(brightest, 1e-6))[..., None]
    gain = np.log2((light + np.float32(OFFSET)) / (shown + np.float32(OFFSET)))
    # A few noisy pixels near black must not coarsen the steps of all others, nor widen what the file promises.
    lit = gain[brightest > _ABOVE_WHITE]
    usual = np.quantile(gain[:: max(1, shape[0] // 512)], (1e-3, 1 - 1e-3))
    high = max(float(usual[1]), float(lit.max(initial=-MOST_STOPS)))
    low = min(float(usual[0]), high - 1)
    position = (gain - np.float32(low)) * np.float32(255 / (high - low))
    # Less than a step of noise, the same in all channels, so that smooth light shows no contours.
    noise = np.random.default_rng(0).random((2, *shape), np.float32)
    dithered = position + (noise[0] - noise[1])[..., None] * ((position > 0) & (position < 255))
    codes = np.clip(dithered + 0.5, 0, 255).astype(np.uint8)
    return GainMap(
        codes, (low,), (high,), base_offset=(OFFSET,), alternate_offset=(OFFSET,), alternate_headroom=headroom
    )


def _shoulder(curve: np.ndarray, response: np.ndarray | None) -> tuple[float, float] | None:
    """The light, as a screen shows it, from which a camera's curve bends down, and what lifts the camera's to it.

    There it stops rising more steeply than the screen's. None where the photo shows plain sRGB.
    """
    if response is None or np.abs(response - curve).max() < 1e-3:
        return None
    above = slice(int(np.searchsorted(curve, _MIDDLE_GREY)), None)
    lifts = curve[above] / np.maximum(response[above], 1e-3)
    begin = int(lifts.argmax())
    return float(curve[above][begin]), float(lifts[begin])


def encode_ultrahdr(
    photo: Photo, radiance: np.ndarray, *, keep_gps: bool = False, response: np.ndarray | None = None
) -> list[bytes | memoryview]:
    """An Ultra HDR file, as parts to be written one after another.

    The picture that every viewer shows is the photo's own JPEG data, byte for byte, where `Photo.jpeg` has it, and a
    JPEG of high quality otherwise. Of its metadata the camera, dates and rights are kept. The map of a photo that came
    with one is that map, if ``radiance`` is the light that it records.

    Args:
        photo: the photo.
        radiance: (H, W, 3) as in `make_gain_map`.
        keep_gps: whether its position is kept as well.
        response: as in `make_gain_map`.

    Raises:
        ValueError: the shapes differ, or a side is too long for JPEG.
    """
    base = photo.jpeg or encode_jpeg(photo.pixels, BASE_QUALITY)
    orientation = photo.jpeg_orientation if photo.jpeg is not None else 1
    recorded = photo.light is not None and np.shares_memory(radiance, photo.light)
    # The map belongs to the picture as it was, before it was laid on white.
    if photo.gain_map is not None and recorded and photo.alpha is None:
        second = _described(photo.gain_map, photo.gain_map.jpeg or _map_picture(photo.gain_map, orientation))
    else:
        graded = recorded and photo.light_source in ("gain map", "PQ", "HLG")
        headroom = min(photo.headroom or 0.0, MOST_GRADED_STOPS) if graded else None
        second = _small_enough(photo, radiance, response, orientation, len(base), headroom)
    length = sum(map(len, second))
    exif = bracket_exif(photo.exif, (photo.width, photo.height), 0, keep_gps=keep_gps, orientation=orientation)
    xmp = kept_xmp(photo.xmp, keep_gps=keep_gps, more=_container_xmp(length))
    first = jpeg.with_segments(
        base,
        [
            *metadata_segments(exif, xmp, kept_iptc(photo.iptc)),
            jpeg.segment(jpeg.APP2, ISO_NAME + struct.pack(">HH", 0, 0)),
            bytes(_MPF_BYTES),  # filled in below, once all offsets are known
        ],
    )
    at, total = sum(map(len, first[:-2])), sum(map(len, first))
    first[-2] = _multi_picture(total, length, at)
    return [*first, *second]


def _small_enough(
    photo: Photo,
    radiance: np.ndarray,
    response: np.ndarray | None,
    orientation: int,
    photo_bytes: int,
    headroom: float | None,
) -> list[bytes | memoryview]:
    """The finest map that takes no more of the file than `MAP_SHARE`, as parts of the file.

    It gets coarser by whole numbers until it fits, down to `LEAST_SIDE`. A photo of less than some 30 kB gets a map of
    that size whatever it takes: its description in two languages and the tables of its JPEG take 1.4 kB by themselves.
    """
    shown = np.asarray(photo)
    scale = _least_scale(photo.height, photo.width)
    coarsest = max(scale, min(photo.height, photo.width) // LEAST_SIDE)
    while True:
        gains = make_gain_map(shown, radiance, scale=scale, response=response, headroom=headroom)
        second = _described(gains, _map_picture(gains, orientation))
        excess = sum(map(len, second)) / (MAP_SHARE * photo_bytes)
        if excess <= 1 or scale == coarsest:
            return second
        # Bytes go with the pixels, roughly.
        scale = min(coarsest, max(scale + 1, math.floor(scale * excess**0.5)))


def _described(gains: GainMap, picture: bytes) -> list[bytes | memoryview]:
    """The picture of a map with its metadata."""
    map_xmp = jpeg.segment(jpeg.APP1, XMP_NAME + xmp_packet(_description(write_hdrgm(gains))))
    return jpeg.with_segments(picture, [map_xmp, jpeg.segment(jpeg.APP2, ISO_NAME + write_iso(gains))])


def _map_picture(gains: GainMap, orientation: int) -> bytes:
    # A photo that is stored turned stays turned in the file, and so does its map.
    stored = turn(to_8_bits(gains.codes), _UNDO.get(orientation, orientation))
    if stored.shape[2] == 1:
        return bytes(imagecodecs.jpeg8_encode(stored[..., 0].copy(), level=MAP_QUALITY))
    return bytes(imagecodecs.jpeg8_encode(stored, level=MAP_QUALITY, subsampling="444"))


def save_ultrahdr(
    path: str | os.PathLike[str],
    photo: Photo,
    radiance: np.ndarray,
    *,
    keep_gps: bool = False,
    response: np.ndarray | None = None,
) -> None:
    """Write an Ultra HDR file; see `encode_ultrahdr`.

    Raises:
        ValueError: the shapes differ, or a side is too long for JPEG.
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    write_atomic(path, *encode_ultrahdr(photo, radiance, keep_gps=keep_gps, response=response))


def _headroom(brightest: np.ndarray) -> float:
    above = brightest[brightest > _ABOVE_WHITE]
    return min(float(np.log2(np.quantile(above, 0.99))), MOST_STOPS) if above.size else 0.0


def _least_scale(height: int, width: int) -> int:
    return max(1, math.ceil(math.sqrt(height * width / MAP_PIXELS)))


def _bands(
    full: tuple[int, int], small: tuple[int, int]
) -> Iterator[tuple[slice, slice, tuple[float, float, float, float]]]:
    """Yield (rows of the small picture, rows of the full one that they cover, box of the former in the latter)."""
    scale = full[0] / small[0]
    height = max(1, int(256 / scale))
    for top in range(0, small[0], height):
        bottom = min(top + height, small[0])
        first, last = int(top * scale), min(int(np.ceil(bottom * scale)), full[0])
        box = (0, max(0, top * scale - first), full[1], min(bottom * scale - first, last - first))
        yield slice(top, bottom), slice(first, last), box


def _reduced(light: np.ndarray, box: tuple[float, float, float, float], shape: tuple[int, int]) -> np.ndarray:
    """Average linear light (rows, W, 3) within ``box`` to ``shape``; the very same where there is nothing to reduce."""
    if light.shape[:2] == shape:
        return light
    planes = (Image.fromarray(np.ascontiguousarray(light[..., channel])) for channel in range(3))
    small = (plane.resize(shape[::-1], Image.Resampling.BOX, box=box) for plane in planes)
    return np.stack([np.asarray(plane) for plane in small], axis=-1)


# The container


def _multi_picture(first: int, second: int, at: int) -> bytes:
    """MPF segment of two pictures, the second right behind the first; ``at``: the segment's offset in the file."""
    header = at + 8  # offsets count from behind the name
    directory = struct.pack(">2sHI", b"MM", 42, 8) + struct.pack(">H", 3)
    directory += struct.pack(">HHI4s", 0xB000, 7, 4, b"0100")
    directory += struct.pack(">HHII", 0xB001, 4, 1, 2)
    directory += struct.pack(">HHIII", 0xB002, 7, 32, 8 + 2 + 3 * 12 + 4, 0)
    pictures = struct.pack(">IIIHH", _MULTI_PICTURE_PRIMARY, first, 0, 0, 0)
    pictures += struct.pack(">IIIHH", 0, second, first - header, 0, 0)
    return jpeg.segment(jpeg.APP2, b"MPF\0" + directory + pictures)


def _container_xmp(length: int) -> str:
    def item(words: str) -> str:
        return f'\n     <rdf:li rdf:parseType="Resource"><Container:Item Item:Mime="image/jpeg" {words}/></rdf:li>'

    items = item('Item:Semantic="Primary"') + item(f'Item:Semantic="GainMap" Item:Length="{length}"')
    return _description(
        '\n    xmlns:Container="http://ns.google.com/photos/1.0/container/"'
        '\n    xmlns:Item="http://ns.google.com/photos/1.0/container/item/"\n    hdrgm:Version="1.0">'
        f"\n   <Container:Directory>\n    <rdf:Seq>{items}\n    </rdf:Seq>\n   </Container:Directory>"
        "\n  </rdf:Description>"
    )


def _description(rest: str) -> str:
    return f'<rdf:Description rdf:about="" xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/"{rest}'
