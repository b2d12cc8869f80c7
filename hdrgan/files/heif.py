"""AVIF and HEIC: size, colour, rotation and gain map are read here, AV1 by libavif, HEVC by pillow-heif."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import imagecodecs
import numpy as np
from PIL import AvifImagePlugin

from hdrgan.files import colour
from hdrgan.files.gain_map import APPLE_MAP, GainMap, read_apple, read_iso
from hdrgan.files.isobmff import Item, Meta, as_still, boxes, read_meta, with_primary, without_maps
from hdrgan.files.limits import Decoded, PhotoError, PhotoLimits, cut_off, damaged, missing_package, refusing
from hdrgan.light.parallel import cores

AVIF_BRANDS = {b"avif", b"avis", b"avio"}
HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_GENERIC_BRANDS = {b"mif1", b"mif2", b"mif3", b"msf1", b"miaf"}


@dataclass
class _Picture:
    """Properties of a picture."""

    width: int = 0
    height: int = 0
    coded: tuple[int, int] | None = None  # colour primaries and transfer of an nclx box
    icc: bytes | None = None
    depth: int = 8


def brand(data: bytes) -> str | None:
    """ "AVIF" or "HEIC" by the brands that the file declares; "HEIF" for others that hold pictures; else None."""
    if data[4:8] != b"ftyp" or len(data) < 16:
        return None
    end = min(struct.unpack_from(">I", data, 0)[0], 512, len(data))
    brands = [data[8:12], *(data[k : k + 4] for k in range(16, end - 3, 4))]
    for name in brands if brands[0] in _GENERIC_BRANDS else brands[:1]:
        if name in AVIF_BRANDS:
            return "AVIF"
        if name in HEIC_BRANDS:
            return "HEIC"
    return "HEIF" if brands[0] in _GENERIC_BRANDS - {b"msf1"} or b"unif" in brands else None


def size_of(data: bytes) -> tuple[int, int] | None:
    """Width and height of the picture that an AVIF or HEIC stands for, before it is cropped, as its boxes state them.

    None where they do not.

    Args:
        data: the file up to its picture data, or more of it.

    Raises:
        PhotoError: the boxes are damaged.
    """
    kind, any_size = "AVIF or HEIC", PhotoLimits(megapixels=float("inf"))
    for name, start, end in boxes(data, 0, len(data), kind):
        if name == b"meta":
            with refusing(kind):
                meta = read_meta(data, start + 4, end, kind)
            picture = _properties(meta.items.get(meta.primary), any_size, kind)
            return (picture.width, picture.height) if picture.width else None
    return None


def refuse_heif(data: bytes, limits: PhotoLimits) -> Decoded:
    """Refuse a HEIF that holds neither AV1 nor HEVC: uncompressed, JPEG 2000 and others."""
    raise PhotoError("This is a HEIF picture of a rare kind (neither HEVC nor AV1); save it as JPEG or PNG.")


def decode_avif(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode an AVIF of 8, 10 or 12 bits (10 and 12 become 16); rotation and mirroring of its container are applied.

    Of a sequence, the still picture that stands for it is decoded, or else its first frame.
    """
    meta, picture, sequence = _walk(data, limits, "AVIF")
    if sequence and meta.primary:
        data = as_still(data)
    elif sequence:
        return _first_frame(data, limits)
    data = without_maps(data, meta)
    with refusing("AVIF"), AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as header:
        # Pillow has only parsed the container so far, and folds its rotation into the orientation of EXIF.
        limits.check_size(*header.size)
        limits.check_frames(getattr(header, "n_frames", 1))
        exif, xmp = header.info.get("exif"), header.info.get("xmp")
        icc = picture.icc or header.info.get("icc_profile")
        size = header.size
    pixels = _av1(data, picture.depth)
    if pixels.shape[:2] != (size[1], size[0]):
        raise damaged("AVIF")
    decoded = Decoded(pixels, "gray" if pixels.shape[2] <= 2 else "rgb", icc or _coded_profile(picture), exif)
    decoded.coded, decoded.xmp = (picture.coded if icc is None else None), xmp
    decoded.gain_map = _gain_map(data, meta, exif, limits, _av1)
    return decoded


def _av1(data: bytes, depth: int) -> np.ndarray:
    """The primary picture as (H, W, C), 10 and 12 bits stretched to 16."""
    with refusing("AVIF"):
        try:
            pixels = imagecodecs.avif_decode(data, numthreads=min(2, cores()))
        except imagecodecs.AvifError as error:
            raise (cut_off if "Truncated" in str(error) else damaged)("AVIF") from error
    if pixels.dtype != np.uint8:
        pixels = _widen(pixels, depth if depth in (10, 12) else 12)
    if pixels.ndim not in (2, 3):  # a sequence after all
        raise damaged("AVIF")
    return pixels.reshape(*pixels.shape[:2], -1)


def _first_frame(data: bytes, limits: PhotoLimits) -> Decoded:
    """The first frame of a sequence without a still picture, in 8 bits."""
    with refusing("AVIF"), AvifImagePlugin.AvifImageFile(io.BytesIO(data)) as picture:
        limits.check_size(*picture.size)
        limits.check_frames(getattr(picture, "n_frames", 1))
        pixels = np.asarray(picture.convert("RGBA" if picture.mode in ("RGBA", "LA") else "RGB"))
        return Decoded(pixels, "rgb", picture.info.get("icc_profile"), picture.info.get("exif"))


def decode_heic(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode a HEIC, when pillow-heif is installed; more than 8 bits become 16. Of a sequence, its still picture."""
    try:
        import pillow_heif
    except ImportError as error:
        raise missing_package("HEIC photo", "pillow-heif", "save it as JPEG") from error
    meta, picture, sequence = _walk(data, limits, "HEIC")
    if sequence and meta.primary:
        data = as_still(data)

    def decode(file: bytes) -> tuple[np.ndarray, dict[str, Any]]:
        with refusing("HEIC"):
            opened = pillow_heif.open_heif(io.BytesIO(file), convert_hdr_to_8bit=False)
            limits.check_size(*opened.size)
            limits.check_frames(len(opened))
            primary = opened[opened.primary_index]
            limits.check_size(*primary.size)
            info: dict[str, Any] = dict(primary.info)
            channels = {"L": 1, "I;16": 1, "LA": 2, "RGB": 3, "RGB;16": 3, "RGBA": 4, "RGBA;16": 4}[primary.mode]
            pixels = np.asarray(primary).reshape(primary.size[1], primary.size[0], channels)
        if pixels.dtype != np.uint8:
            depth = int(info.get("bit_depth", 16))
            pixels = _widen(pixels >> (16 - depth), depth)  # the library has only shifted the codes up
        return pixels, info

    pixels, info = decode(data)
    icc = picture.icc or info.get("icc_profile")
    exif = info.get("exif")
    # The library has turned the picture upright by the rotation of its container.
    space = "gray" if pixels.shape[2] <= 2 else "rgb"
    decoded = Decoded(pixels, space, icc or _coded_profile(picture), exif, orientation=1)
    decoded.coded, decoded.xmp = (picture.coded if icc is None else None), info.get("xmp")
    decoded.gain_map = _gain_map(data, meta, exif, limits, lambda file, depth: decode(file)[0])
    return decoded


def _coded_profile(picture: _Picture) -> bytes | None:
    return None if picture.coded is None else colour.coded_profile(*picture.coded)


def _widen(pixels: np.ndarray, depth: int) -> np.ndarray:
    """Stretch ``depth``-bit codes to the full range of 16 bits, exactly at both ends."""
    most = (1 << depth) - 1
    table = (np.arange(1 << 16, dtype=np.uint32).clip(0, most) * 65535 + most // 2) // most
    widened: np.ndarray = table.astype(np.uint16)[pixels]
    return widened


def _walk(data: bytes, limits: PhotoLimits, kind: str) -> tuple[Meta, _Picture, bool]:
    """The boxes, what they say of the primary picture, and whether it is a sequence; refuses the sizes they state."""
    meta: Meta | None = None
    found_media = sequence = False
    for name, start, end in boxes(data, 0, len(data), kind):
        found_media |= name in (b"mdat", b"moov")
        sequence |= name == b"moov"
        if name == b"meta" and meta is None:
            with refusing(kind):
                meta = read_meta(data, start + 4, end, kind)
    meta = meta or Meta()
    picture = _properties(meta.items.get(meta.primary), limits, kind)
    if not picture.width and not found_media:
        raise damaged(kind)
    return meta, picture, sequence


def _properties(item: Item | None, limits: PhotoLimits, kind: str) -> _Picture:
    picture = _Picture()
    for name, body in item.properties if item else ():
        with refusing(kind):
            _apply(picture, name, body)
    if picture.width:
        limits.check_size(picture.width, picture.height)
    return picture


def _apply(picture: _Picture, name: bytes, body: bytes) -> None:
    if name == b"ispe":
        picture.width, picture.height = struct.unpack_from(">II", body, 4)
    elif name == b"pixi" and body[4:5] not in (b"", b"\0"):
        picture.depth = body[5]
    elif name == b"av1C":
        picture.depth = {0x40: 10, 0x60: 12}.get(body[2] & 0x60, 8)
    elif name == b"colr" and body[:4] == b"nclx":
        picture.coded = struct.unpack_from(">HH", body, 4)
    elif name == b"colr" and body[:4] in (b"prof", b"rICC"):
        picture.icc = body[4:]


def _gain_map(
    data: bytes, meta: Meta, exif: bytes | None, limits: PhotoLimits, decode: Callable[[bytes, int], np.ndarray]
) -> GainMap | None:
    """The gain map of the primary picture, by ISO 21496-1 (a ``tmap`` item) or by Apple; None where there is none.

    A map that is damaged costs the light, not the photo.
    """
    try:
        for kind, origin, to, _ in meta.references:
            if kind == b"dimg" and meta.items.get(origin, Item(b"")).kind == b"tmap" and len(to) == 2:
                body = meta.payload(data, origin)
                if to[0] == meta.primary and body and body[0] == 0:
                    gains = read_iso(body[1:], _codes(data, meta, to[1], limits, decode))
                    if gains is not None:
                        return gains
        for kind, origin, to, _ in meta.references:
            properties = meta.items.get(origin, Item(b"")).properties
            named = any(n == b"auxC" and APPLE_MAP.encode() in body for n, body in properties)
            if kind == b"auxl" and meta.primary in to and named:
                xmp = b"".join(meta.payload(data, k) or b"" for k, i in meta.items.items() if b"rdf+xml" in i.content)
                return read_apple(xmp, exif, _codes(data, meta, origin, limits, decode))
    except (PhotoError, ValueError, KeyError, IndexError, OverflowError):
        return None
    return None


def _codes(
    data: bytes, meta: Meta, number: int, limits: PhotoLimits, decode: Callable[[bytes, int], np.ndarray]
) -> np.ndarray:
    """A picture of the file other than the primary one, as (h, w, 1 or 3)."""
    picture = _properties(meta.items[number], limits, "gain map")
    pixels = decode(with_primary(data, meta, number), picture.depth)
    channels = pixels[..., :1] if pixels.shape[2] < 3 else pixels[..., :3]
    grey = channels.shape[2] == 3 and bool((np.ptp(channels, axis=2) == 0).all())
    return np.ascontiguousarray(channels[..., :1] if grey else channels)
