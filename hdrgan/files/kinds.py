"""Which kind of file this is, by its first bytes and never by its name, and who decodes it."""

from __future__ import annotations

import re

from hdrgan.files import gif_bmp_webp, heif, jpeg, png, raw, tiff
from hdrgan.files.limits import Decoder, PhotoError


def recognise(data: bytes) -> tuple[str, Decoder]:
    """The format of a file by its first bytes, and its decoder.

    Raises:
        PhotoError: for every other format; the message names the format where it is known.
    """
    if not data.strip(b"\0\t\n\r "):
        raise PhotoError("The file is empty; give a photo.")
    if data.startswith(b"\xff\xd8"):
        return "JPEG", jpeg.decode
    if data.startswith(png.SIGNATURE):
        return "PNG", png.decode
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP", gif_bmp_webp.decode_webp
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF", gif_bmp_webp.decode_gif
    if _RAW.match(data) or tiff.is_raw(data):
        return "raw", raw.decode
    if data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF", tiff.decode
    media = heif.brand(data)
    if media is not None:
        return media, {"AVIF": heif.decode_avif, "HEIC": heif.decode_heic, "HEIF": heif.refuse_heif}[media]
    if data[:2] == b"BM" and len(data) >= 18 and data[14:18] in _BMP_HEADERS:
        return "BMP", gif_bmp_webp.decode_bmp
    what = _other_kind(data)
    if what:
        raise PhotoError(f"This is {what}; give an ordinary photo ({_TAKEN}).")
    raise PhotoError(f"This file is no picture that can be read; give an ordinary photo ({_TAKEN}).")


def is_risky(data: bytes) -> bool:
    """Whether a file is decoded by foreign C code that has crashed on hostile files before: AVIF, HEIC, camera raw."""
    return bool(_RAW.match(data)) or tiff.is_raw(data) or heif.brand(data) is not None


def _other_kind(data: bytes) -> str | None:
    """What a file is that is no photo, where its first bytes tell."""
    if re.match(rb"(\xef\xbb\xbf)?\s*<", data):
        start = data[:65_536].lower()
        return "an SVG drawing" if b"<svg" in start else "a web page" if b"<html" in start else "an XML or web document"
    return next((what for pattern, what in _OTHER_KINDS if pattern.match(data)), None)


_TAKEN = "JPEG, PNG, WebP, AVIF, HEIC, TIFF, GIF or BMP"
_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}
_RAW = re.compile(rb"FUJIFILM|II(RO|RS|U\0)|MMOR|....ftypcrx |\0MRM|II....HEAPCCDR|FOVb", re.DOTALL)
_OTHER_KINDS = [
    (re.compile(pattern, re.DOTALL | re.IGNORECASE), what)
    for pattern, what in (
        (rb"#\?R(ADIANC|GB)E", "an HDR picture (Radiance .hdr), which needs no reconstruction"),
        (rb"\x76\x2f\x31\x01", "an HDR picture (OpenEXR), which needs no reconstruction"),
        (rb"P[Ff]\n", "an HDR picture (PFM), which needs no reconstruction"),
        (rb"\x89PNG|.PNG\r?\n", "a PNG damaged in transfer"),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
        (rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  ", "JPEG 2000"),
        (rb"II\xbc", "JPEG XR"),
        (rb"8BPS", "a Photoshop document"),
        (rb"%PDF", "a PDF"),
        (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
        (rb"PK\x03\x04", "a ZIP archive or office document"),
        (rb"\0\0\x01\0", "an icon"),
        (rb"DDS ", "a DDS texture"),
        (rb"P[1-7]\s", "a Netpbm picture"),
        (rb"qoif", "a QOI picture"),
        (rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", "a video"),
    )
]
