"""TIFF: the directory is read and checked here; 16-bit pixels come from imagecodecs, all others from Pillow."""

from __future__ import annotations

import io
from collections.abc import Mapping

import imagecodecs
import numpy as np
from PIL import TiffImagePlugin

from hdrgan.files import ifd, xmp_iptc
from hdrgan.files.exif import EXIF_POINTER, GPS_POINTER, KEPT_BASE, ORIENTATION, SOFTWARE, read_directories
from hdrgan.files.ifd import Entry
from hdrgan.files.limits import Decoded, PhotoError, PhotoLimits, cut_off, damaged, refusing

_KIND = "TIFF"
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIPS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR = 273, 277, 278, 279, 284
_TILE_WIDTH, _TILE_HEIGHT, _TILES, _TILE_BYTES = 322, 323, 324, 325
_SUB_DIRECTORIES, _EXTRA, _SAMPLE_FORMAT, _ICC, _DNG = 330, 338, 339, 34675, 50706
_XMP, _IPTC = 700, 33723
_ORIENTATION, _DEPTH, _PREDICTOR = 274, 32997, 317
_ASSOCIATED, _UNASSOCIATED = 1, 2
_COMPRESSIONS = {1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000}
_UNIX_DEFLATE, _PREDICTOR_HORIZONTAL = 8, 2
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _INK, _YCC, _LAB = 0, 1, 2, 3, 5, 6, 8
_CHANNELS = {_WHITE_IS_ZERO: 1, _BLACK_IS_ZERO: 1, _RGB: 3, _PALETTE: 1, _INK: 4, _YCC: 3, _LAB: 3}


def decode(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode the first picture of a TIFF or BigTIFF: 1 to 16 bits of grey, palette, RGB, YCC, CMYK or Lab."""
    order = ifd.read_header(data)
    if order is None:
        raise damaged(_KIND)
    if order.first >= len(data):
        raise cut_off(_KIND)
    outside: set[int] = set()
    fields = ifd.read_directory(data, order, order.first, largest=16 << 20, outside=outside)
    if outside:
        raise cut_off(_KIND)
    width, height = (ifd.integer(fields, tag) for tag in (_WIDTH, _HEIGHT))
    if width is None or height is None:
        raise damaged(_KIND)
    limits.check_size(width, height)
    bits, channels, extra = _judge(fields, data, width, height)
    photometric = ifd.integer(fields, _PHOTOMETRIC, _WHITE_IS_ZERO)
    icc = fields[_ICC].value if _ICC in fields else None
    exif = own_exif(data)
    opacity = ifd.integer(fields, _EXTRA, 0) if extra else 0
    if bits == 16 and photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB):
        pixels = _read_samples(data, fields, (height, width, channels + extra), np.uint16)
        if photometric == _WHITE_IS_ZERO:
            pixels[..., 0] = 65535 - pixels[..., 0]
        pixels = pixels[..., : channels + (opacity in (_ASSOCIATED, _UNASSOCIATED))]
        if opacity == _ASSOCIATED:
            _undo_premultiplication(pixels)
        pixels = np.ascontiguousarray(pixels)
        return _with_packets(Decoded(pixels, "gray" if channels == 1 else "rgb", icc, exif), fields)  # type: ignore[arg-type]
    with refusing(_KIND), TiffImagePlugin.TiffImageFile(io.BytesIO(data)) as picture:
        if sorted(picture.size) != sorted((width, height)):
            raise damaged(_KIND)
        picture.load()
        # Pillow has applied the orientation by now; it knows no profile for what it turns into RGB itself.
        modes = {"L": "L", "LA": "LA", "RGB": "RGB", "RGBA": "RGBA", "CMYK": "CMYK", "1": "L", "PA": "RGBA"}
        mode = modes.get(picture.mode, "RGB")
        pixels = np.asarray(picture if picture.mode == mode else picture.convert(mode))
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    space = "cmyk" if mode == "CMYK" else "gray" if mode in ("L", "LA") else "rgb"
    # A scan of four samples that says nothing of the fourth has infrared there, and no opacity.
    if photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) and extra and opacity not in (_ASSOCIATED, _UNASSOCIATED):
        pixels = np.ascontiguousarray(pixels[..., :channels])
    return _with_packets(Decoded(pixels, space, icc, exif, orientation=1), fields)  # type: ignore[arg-type]


def _with_packets(decoded: Decoded, fields: Mapping[int, Entry]) -> Decoded:
    """The same with the packets of XMP and IPTC that the directory holds."""
    for tag, name in ((_XMP, "xmp"), (_IPTC, "iptc")):
        entry = fields.get(tag)
        if entry is not None and isinstance(entry.value, bytes):
            setattr(decoded, name, entry.value)
        elif entry is not None and name == "iptc" and entry.type == ifd.LONG:
            decoded.iptc = xmp_iptc.iptc_of_longs(entry.value)  # type: ignore[arg-type]
    if decoded.iptc is not None:
        decoded.iptc = xmp_iptc.photoshop_resources(decoded.iptc)
    return decoded


def is_float(fields: Mapping[int, Entry]) -> bool:
    """Whether every sample is a floating-point number."""
    formats = fields[_SAMPLE_FORMAT].value if _SAMPLE_FORMAT in fields else ()
    return set(formats) == {3}


def decode_float(data: bytes, limits: PhotoLimits) -> tuple[np.ndarray, bytes | None, bytes | None]:
    """A TIFF of 16- or 32-bit floats as light: (H, W, 3) float32, >= 0, with its profile and EXIF block."""
    order = ifd.read_header(data)
    if order is None:
        raise damaged(_KIND)
    fields = ifd.read_directory(data, order, order.first, largest=16 << 20)
    width, height = (ifd.integer(fields, tag) for tag in (_WIDTH, _HEIGHT))
    bits = set(fields[_BITS].value) if _BITS in fields else {1}
    samples = ifd.integer(fields, _SAMPLES, 1) or 1
    photometric = ifd.integer(fields, _PHOTOMETRIC)
    compression = ifd.integer(fields, _COMPRESSION, 1)
    if width is None or height is None:
        raise damaged(_KIND)
    limits.check_size(width, height)
    if not bits <= {16, 32} or len(bits) != 1 or photometric not in (_BLACK_IS_ZERO, _RGB) or samples > 8:
        raise PhotoError("This TIFF holds numbers of an unusual kind; save it as 32-bit floating-point RGB.")
    if compression not in _COMPRESSIONS or ifd.integer(fields, _DEPTH, 1) != 1:
        raise PhotoError("This TIFF is compressed in an unusual way; save it with LZW or ZIP.")
    _check_pieces(fields, data, width, height, samples, next(iter(bits)))  # type: ignore[arg-type]
    stored = _read_samples(data, fields, (height, width, samples), np.float16 if bits == {16} else np.float32)
    light = stored.astype(np.float32, copy=False)
    light = np.repeat(light[..., :1], 3, 2) if samples < 3 else np.ascontiguousarray(light[..., :3])
    if not np.isfinite(light).all():
        raise PhotoError("This TIFF holds light that is infinite or not a number (NaN); export it again.")
    icc = fields[_ICC].value if _ICC in fields else None
    return np.maximum(light, 0), icc, own_exif(data)  # type: ignore[return-value]


def encode(
    pixels: np.ndarray,
    tags: Mapping[int, Entry],
    exif: Mapping[int, Entry],
    icc: bytes,
    gps: Mapping[int, Entry] | None = None,
) -> list[bytes]:
    """Encode (H, W, 3 or, with opacity, 4) uint8 or uint16 as the parts of a TIFF file: deflated, with a predictor.

    Args:
        pixels: the picture, upright.
        tags: further fields of the first directory (maker, model, date, software).
        exif: fields of the EXIF directory.
        icc: colour profile.
        gps: fields of the GPS directory.
    """
    height, width, channels = pixels.shape
    rows = max(1, (1 << 20) // (width * channels * pixels.itemsize))
    strips = [_deflate(pixels[start : start + rows]) for start in range(0, height, rows)]
    bits = 8 * pixels.itemsize
    resolution = {tag: Entry(ifd.RATIONAL, ((72, 1),)) for tag in (282, 283)}
    directory = (
        resolution
        | dict(tags)
        | {
            _WIDTH: Entry(ifd.LONG, (width,)),
            _HEIGHT: Entry(ifd.LONG, (height,)),
            _BITS: Entry(ifd.SHORT, (bits,) * channels),
            _COMPRESSION: Entry(ifd.SHORT, (_UNIX_DEFLATE,)),
            _PHOTOMETRIC: Entry(ifd.SHORT, (_RGB,)),
            _STRIPS: Entry(ifd.LONG, (0,) * len(strips)),
            _ORIENTATION: Entry(ifd.SHORT, (1,)),
            _SAMPLES: Entry(ifd.SHORT, (channels,)),
            _ROWS_PER_STRIP: Entry(ifd.LONG, (rows,)),
            _STRIP_BYTES: Entry(ifd.LONG, tuple(len(strip) for strip in strips)),
            _PLANAR: Entry(ifd.SHORT, (1,)),
            _PREDICTOR: Entry(ifd.SHORT, (_PREDICTOR_HORIZONTAL,)),
            _SAMPLE_FORMAT: Entry(ifd.SHORT, (1,) * channels),
            _ICC: Entry(ifd.UNDEFINED, icc),
        }
    )
    if channels == 4:
        directory[_EXTRA] = Entry(ifd.SHORT, (_UNASSOCIATED,))
    head, places = ifd.write_tiff(directory, {EXIF_POINTER: exif, GPS_POINTER: gps or {}})
    offsets = len(head) + np.concatenate([[0], np.cumsum([len(strip) for strip in strips])[:-1]])
    if offsets[-1] + len(strips[-1]) >= 1 << 32:
        raise ValueError("the picture is too large for TIFF (4 GB); save it as PNG")
    filled = bytearray(head)
    table = offsets.astype("<u4").tobytes()
    filled[places[_STRIPS] : places[_STRIPS] + len(table)] = table
    return [bytes(filled), *strips]


def _deflate(strip: np.ndarray) -> bytes:
    difference = np.array(strip, dtype=strip.dtype.newbyteorder("<"), order="C")
    difference[:, 1:] = strip[:, 1:] - strip[:, :-1]
    return bytes(imagecodecs.deflate_encode(memoryview(difference), 1))  # type: ignore[arg-type]


def is_raw(data: bytes) -> bool:
    """Whether this is a camera raw file: many are TIFF files whose first picture is a thumbnail."""
    order = ifd.read_header(data)
    if order is None or order.first >= len(data):
        return False
    fields = ifd.read_directory(data, order, order.first)
    mosaic = ifd.integer(fields, _PHOTOMETRIC) in (32803, 34892)
    preview = (ifd.integer(fields, _SUBFILE, 0) or 0) & 1 and _SUB_DIRECTORIES in fields
    return bool(_DNG in fields or mosaic or preview or data[8:10] == b"CR")


def _judge(fields: Mapping[int, Entry], data: bytes, width: int, height: int) -> tuple[int, int, int]:
    """Check what libtiff would trust; give bits a sample, colour channels, and further channels."""
    compression = ifd.integer(fields, _COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise PhotoError(
            f"This TIFF is compressed in a way that photos are not (scheme {compression}); save it with LZW or ZIP."
        )
    formats = fields[_SAMPLE_FORMAT].value if _SAMPLE_FORMAT in fields else (1,)
    if set(formats) - {1, 4} or ifd.integer(fields, _DEPTH, 1) != 1:
        raise PhotoError("This TIFF holds floating-point or signed values; give an ordinary photo of 8 or 16 bits.")
    photometric = ifd.integer(fields, _PHOTOMETRIC, _WHITE_IS_ZERO)
    channels = _CHANNELS.get(photometric if photometric is not None else -1)
    samples = ifd.integer(fields, _SAMPLES, 1) or 1
    every_bits = fields[_BITS].value if _BITS in fields else (1,)
    bits = every_bits[0]
    if channels is None or len(set(every_bits)) != 1 or bits not in (1, 2, 4, 8, 16):
        raise PhotoError("This TIFF stores its pixels in an unusual way; save it as 8- or 16-bit RGB.")
    if not channels <= samples <= channels + 4:
        raise damaged(_KIND)
    _check_pieces(fields, data, width, height, samples, bits)  # type: ignore[arg-type]
    return bits, channels, samples - channels  # type: ignore[return-value]


def _check_pieces(fields: Mapping[int, Entry], data: bytes, width: int, height: int, samples: int, bits: int) -> None:
    """Check that every strip or tile is inside the file, and that their number and sizes fit the picture."""
    tiled = _TILES in fields
    if tiled:
        across, down = (ifd.integer(fields, tag, 0) or 0 for tag in (_TILE_WIDTH, _TILE_HEIGHT))
        if not 0 < across <= width + 4096 or not 0 < down <= height + 4096:
            raise damaged(_KIND)
        pieces = -(-width // across) * -(-height // down)
    else:
        rows = ifd.integer(fields, _ROWS_PER_STRIP, height) or 0
        if rows < 1:
            raise damaged(_KIND)
        pieces = -(-height // rows)
    if ifd.integer(fields, _PLANAR, 1) == 2:
        pieces *= samples
    offsets, counts = (
        fields[tag].value if tag in fields else ()
        for tag in ((_TILES, _TILE_BYTES) if tiled else (_STRIPS, _STRIP_BYTES))
    )
    if len(offsets) < pieces:
        raise damaged(_KIND)
    plain = ifd.integer(fields, _COMPRESSION, 1) == 1
    if not counts and plain and pieces == 1:
        counts = (((width * samples * bits + 7) // 8) * height,)
    if len(counts) < pieces:
        raise damaged(_KIND)
    starts, sizes = (np.array(values[:pieces], dtype=np.float64) for values in (offsets, counts))
    if (starts + sizes > len(data)).any():
        raise cut_off(_KIND)
    if (sizes < 1).any():
        raise damaged(_KIND)


def _read_samples(
    data: bytes, fields: Mapping[int, Entry], shape: tuple[int, int, int], dtype: type[np.generic]
) -> np.ndarray:
    """Read samples of 16 or 32 bits, interleaved or in planes, as (H, W, C)."""
    height, width, samples = shape
    planes = ifd.integer(fields, _PLANAR, 1) == 2 and samples > 1
    expected = (samples, height, width) if planes else (height, width) if samples == 1 else shape
    with refusing(_KIND):
        # Zeros, not an empty array: what a damaged file leaves out must not show old contents of the memory.
        pixels = imagecodecs.tiff_decode(data, out=np.zeros(expected, dtype))
    if planes:
        return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))
    return pixels.reshape(shape)


def _undo_premultiplication(pixels: np.ndarray) -> None:
    """Divide (H, W, C + 1) 16-bit colours by their opacity, in place, a row at a time."""
    for row in pixels:
        opacity = np.maximum(row[:, -1:].astype(np.uint32), 1)
        row[:, :-1] = np.minimum((row[:, :-1].astype(np.uint32) * 65535 + opacity // 2) // opacity, 65535)


def own_exif(data: bytes) -> bytes | None:
    """Gather what a TIFF says of its making into an EXIF block of its own, so that the pixels need not be kept."""
    fields, children = read_directories(data, largest=1 << 16)
    keep = {tag: fields[tag] for tag in (*KEPT_BASE, ORIENTATION, SOFTWARE) if tag in fields}
    if not keep and not any(children.values()):
        return None
    return ifd.write_tiff(keep, children)[0]
