"""Pixels to PNG, JPEG and TIFF files, each replaced in one step."""

from __future__ import annotations

import os

import imagecodecs
import numpy as np

from hdrgan.files import colour, ifd, jpeg, png, tiff
from hdrgan.files.atomic import write_atomic
from hdrgan.files.exif import EXIF_POINTER, GPS_POINTER, KEPT_BASE, SOFTWARE, read_directories
from hdrgan.files.gain_map import XMP_NAME
from hdrgan.files.ifd import Entry
from hdrgan.files.photo import Photo
from hdrgan.files.xmp_iptc import photoshop_resources

_JPEG_ONLY = (37121, 40962, 40963)  # fields of EXIF: the components of a JPEG, its width and its height


def save_png(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    exif: bytes | None = None,
    level: int = 1,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    alpha: np.ndarray | None = None,
) -> None:
    """Save (H, W, 3) uint8 or uint16 sRGB pixels, losslessly.

    Args:
        path: where to; an older file is replaced in one step.
        pixels: sRGB encoded.
        exif: block to store, as `bracket_exif` gives it.
        level: 1 (fast) to 12 (small). On photographs level 12 saves a tenth for twenty times the time.
        xmp: packet to store, as `hdrgan.files.xmp_iptc.kept_xmp` gives it.
        iptc: records to store, as `hdrgan.files.xmp_iptc.kept_iptc` gives them.
        alpha: (H, W) opacity of the type of ``pixels``, which are laid on white.

    Raises:
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    _check_pixels(pixels)
    write_atomic(path, *png.encode(_with_alpha(pixels, alpha), level, exif, xmp, iptc))


def save_jpeg(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    quality: int = 95,
    exif: bytes | None = None,
    *,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
) -> None:
    """Save (H, W, 3) sRGB pixels as an 8-bit JPEG; 16-bit ones are rounded. ``xmp`` and ``iptc`` as in `save_png`.

    Colour is kept at full resolution (4:4:4): merging multiplies a dark frame by up to 16, and with it the colour
    fringes that 4:2:0 leaves beside clipped areas. Files grow by about half.

    Raises:
        ValueError: when a side is longer than the 65,500 pixels that JPEG can hold.
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    write_atomic(path, *jpeg.with_segments(encode_jpeg(pixels, quality), metadata_segments(exif, xmp, iptc)))


def encode_jpeg(pixels: np.ndarray, quality: int = 95) -> bytes:
    """The file that `save_jpeg` writes, without metadata."""
    _check_pixels(pixels)
    if max(pixels.shape[:2]) > 65_500:
        raise ValueError(f"JPEG holds at most 65,500 pixels a side, got {pixels.shape[1]} x {pixels.shape[0]}")
    return bytes(imagecodecs.jpeg8_encode(colour.to_8_bits(pixels), level=quality, subsampling="444"))


def save_photo_as_jpeg(
    path: str | os.PathLike[str],
    photo: Photo,
    exif: bytes | None = None,
    *,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
) -> None:
    """Save a photo upright as `save_jpeg` does; one read from an upright JPEG keeps its picture data, byte for byte."""
    own = photo.jpeg if photo.jpeg_orientation == 1 else None
    picture = encode_jpeg(photo.pixels) if own is None else own
    write_atomic(path, *jpeg.with_segments(picture, metadata_segments(exif, xmp, iptc)))


def metadata_segments(exif: bytes | None, xmp: bytes | None, iptc: bytes | None) -> list[bytes]:
    """What a photo says of itself as segments of a JPEG; arguments as in `save_png`."""
    segments = []
    if exif:
        segments.append(jpeg.segment(jpeg.APP1, exif))
    if xmp:
        segments.append(jpeg.segment(jpeg.APP1, XMP_NAME + xmp))
    if iptc:
        segments.append(jpeg.segment(jpeg.APP13, jpeg.PHOTOSHOP + photoshop_resources(iptc)))
    return segments


def save_tiff(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    exif: bytes | None = None,
    *,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    alpha: np.ndarray | None = None,
) -> None:
    """Save (H, W, 3) uint8 or uint16 sRGB pixels as TIFF: deflated, with an sRGB profile. The rest as in `save_png`.

    Raises:
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    _check_pixels(pixels)
    base, children = read_directories(exif, largest=1 << 22)
    detail = {tag: entry for tag, entry in children.get(EXIF_POINTER, {}).items() if tag not in _JPEG_ONLY}
    tags = {tag: entry for tag, entry in base.items() if tag in (*KEPT_BASE, SOFTWARE, 282, 283, 296)}
    if xmp:
        tags[700] = Entry(ifd.BYTE, xmp)
    if iptc:
        tags[33723] = Entry(ifd.UNDEFINED, iptc)
    parts = tiff.encode(_with_alpha(pixels, alpha), tags, detail, colour.srgb_profile(), children.get(GPS_POINTER))
    write_atomic(path, *parts)


def _with_alpha(pixels: np.ndarray, alpha: np.ndarray | None) -> np.ndarray:
    """(H, W, 4) pixels with opacity; colours laid on white are taken off it again."""
    if alpha is None:
        return np.ascontiguousarray(pixels)
    full = np.iinfo(pixels.dtype).max
    scaled = alpha if alpha.dtype == pixels.dtype else (alpha.astype(np.uint32) * 257 if full == 65535 else alpha >> 8)
    out = np.empty((*pixels.shape[:2], 4), pixels.dtype)
    out[..., 3] = scaled
    for start in range(0, len(pixels), 64):
        rows = slice(start, start + 64)
        opacity = np.asarray(out[rows, :, 3:], np.int64)
        laid = pixels[rows].astype(np.int64) - (full - opacity)
        out[rows, :, :3] = np.where(
            opacity > 0, (laid * full + opacity // 2) // np.maximum(opacity, 1), pixels[rows]
        ).clip(0, full)
    return out


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"pixels are (H, W, 3) uint8 or uint16, got {pixels.shape} {pixels.dtype}")
