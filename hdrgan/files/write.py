"""Pixels to PNG, JPEG and TIFF files, each replaced in one step."""

from __future__ import annotations

import os
from collections.abc import Mapping

import imagecodecs
import numpy as np
from PIL import Image

from hdrgan.files import colour, ifd, png, tiff
from hdrgan.files.atomic import write_atomic
from hdrgan.files.exif import EXIF_POINTER, KEPT_BASE, SOFTWARE
from hdrgan.files.ifd import Entry
from hdrgan.files.photo import Photo


def save_png(
    path: str | os.PathLike[str], pixels: np.ndarray, *, exif: bytes | Image.Exif | None = None, level: int = 1
) -> None:
    """Save (H, W, 3) uint8 or uint16 sRGB pixels, losslessly.

    Args:
        path: where to; an older file is replaced in one step.
        pixels: sRGB encoded.
        exif: block to store, as `bracket_exif` gives it.
        level: 1 (fast) to 12 (small). On photographs level 12 saves a tenth for twenty times the time.

    Raises:
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    _check_pixels(pixels)
    write_atomic(path, *png.encode(pixels, level, _exif_block(exif)))


def save_jpeg(
    path: str | os.PathLike[str], pixels: np.ndarray, quality: int = 95, exif: bytes | Image.Exif | None = None
) -> None:
    """Save (H, W, 3) sRGB pixels as an 8-bit JPEG; 16-bit ones are rounded.

    Colour is kept at full resolution (4:4:4): merging multiplies a dark frame by up to 16, and with it the colour
    fringes that 4:2:0 leaves beside clipped areas. Files grow by about half.

    Raises:
        ValueError: when a side is longer than the 65,500 pixels that JPEG can hold.
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    write_atomic(path, *encode_jpeg(pixels, quality, exif))


def encode_jpeg(
    pixels: np.ndarray, quality: int = 95, exif: bytes | Image.Exif | None = None
) -> tuple[bytes | memoryview, ...]:
    """The parts of the file that `save_jpeg` writes, one after another."""
    _check_pixels(pixels)
    if max(pixels.shape[:2]) > 65_500:
        raise ValueError(f"JPEG holds at most 65,500 pixels a side, got {pixels.shape[1]} x {pixels.shape[0]}")
    return _with_exif(imagecodecs.jpeg8_encode(colour.to_8_bits(pixels), level=quality, subsampling="444"), exif)


def save_photo_as_jpeg(
    path: str | os.PathLike[str], photo: Photo, quality: int = 95, exif: bytes | Image.Exif | None = None
) -> None:
    """Save a photo upright as `save_jpeg` does; one read from an upright JPEG keeps its picture data, byte for byte."""
    own = photo.jpeg if photo.jpeg_orientation == 1 else None
    write_atomic(path, *(encode_jpeg(photo.pixels, quality, exif) if own is None else _with_exif(own, exif)))


def _with_exif(jpeg_file: bytes | bytearray, exif: bytes | Image.Exif | None) -> tuple[bytes | memoryview, ...]:
    """A JPEG file without EXIF as parts of one with it: behind the start marker and JFIF, before everything else."""
    block = _exif_block(exif)
    whole = memoryview(jpeg_file)
    if not block:
        return (whole,)
    segment = b"Exif\0\0" + block
    if len(segment) > 65_533:
        raise ValueError(f"EXIF of {len(segment)} bytes does not fit a JPEG segment")
    head = 4 + int.from_bytes(whole[4:6], "big") if jpeg_file[2:4] == b"\xff\xe0" else 2
    return whole[:head], b"\xff\xe1" + (len(segment) + 2).to_bytes(2, "big") + segment, whole[head:]


def save_tiff(path: str | os.PathLike[str], pixels: np.ndarray, exif: bytes | Image.Exif | None = None) -> None:
    """Save (H, W, 3) uint8 or uint16 sRGB pixels as TIFF: deflated, with an sRGB profile.

    Raises:
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    _check_pixels(pixels)
    base: Mapping[int, Entry] = {}
    detail: Mapping[int, Entry] = {}
    block = _exif_block(exif)
    if block and (order := ifd.read_header(block)):
        base = ifd.read_directory(block, order, order.first)
        pointer = ifd.integer(base, EXIF_POINTER)
        detail = ifd.read_directory(block, order, pointer) if pointer is not None else {}
        detail = {tag: entry for tag, entry in detail.items() if tag not in (37121, 40962, 40963)}  # JPEG only
    tags = {tag: entry for tag, entry in base.items() if tag in (*KEPT_BASE, SOFTWARE, 282, 283, 296)}
    write_atomic(path, *tiff.encode(np.ascontiguousarray(pixels), tags, detail, colour.srgb_profile()))


def _exif_block(exif: bytes | Image.Exif | None) -> bytes | None:
    """An EXIF block from its TIFF header on."""
    raw = exif.tobytes() if isinstance(exif, Image.Exif) else exif
    return raw[6:] if raw and raw.startswith(b"Exif\0\0") else raw or None


def _check_pixels(pixels: np.ndarray) -> None:
    if pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape or pixels.dtype not in (np.uint8, np.uint16):
        raise ValueError(f"pixels are (H, W, 3) uint8 or uint16, got {pixels.shape} {pixels.dtype}")
