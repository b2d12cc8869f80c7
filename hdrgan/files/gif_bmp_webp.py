"""GIF, BMP and WebP: read by Pillow, which decodes the first picture and no other."""

from __future__ import annotations

import io
import struct
from functools import partial

import numpy as np
from PIL import BmpImagePlugin, GifImagePlugin, ImageFile, WebPImagePlugin

from hdrgan.files.limits import Decoded, PhotoLimits, damaged, refusing

_READERS: dict[str, type[ImageFile.ImageFile]] = {
    "GIF": GifImagePlugin.GifImageFile,
    "BMP": BmpImagePlugin.BmpImageFile,
    "WebP": WebPImagePlugin.WebPImageFile,
}


def _decode(kind: str, data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode the first picture on its canvas, with its opacity where it has any."""
    with refusing(kind), _READERS[kind](io.BytesIO(data)) as picture:
        limits.check_size(*picture.size)
        limits.check_frames(getattr(picture, "n_frames", 1))
        if kind == "GIF" and picture.size != struct.unpack_from("<HH", data, 6):
            raise damaged(kind)  # Pillow enlarges a canvas that its first frame exceeds
        opaque = kind != "GIF" and picture.mode != "RGBA"
        frame = picture.tile[0][1] if kind == "GIF" else None
        pixels = np.asarray(picture.convert("RGB" if opaque else "RGBA"))
        if frame is not None and frame != (0, 0, *picture.size):
            left, top, right, bottom = frame
            canvas = np.zeros_like(pixels)  # what the first frame leaves open is transparent
            canvas[top:bottom, left:right] = pixels[top:bottom, left:right]
            pixels = canvas
        icc, exif, xmp = (picture.info.get(name) for name in ("icc_profile", "exif", "xmp"))
    return Decoded(pixels, "rgb", icc, exif and exif.removeprefix(b"Exif\0\0"), xmp=xmp)


decode_gif, decode_bmp, decode_webp = (partial(_decode, kind) for kind in _READERS)
