"""Photos in: any ordinary picture becomes an upright 8- or 16-bit sRGB array, or one sentence says why not.

Numpy and codecs only; torch is imported by `to_tensor` alone, so that a process which only decodes stays light.
"""

from __future__ import annotations

import logging
import os
import re
import stat
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from PIL import Image

from hdrgan.files import colour, scene
from hdrgan.files.exif import EXIF_POINTER, EXPOSURE_TIME, MAKE, MODEL, ORIENTATION, read_exif
from hdrgan.files.gain_map import GainMap
from hdrgan.files.kinds import recognise
from hdrgan.files.limits import Decoded
from hdrgan.files.limits import PhotoError as PhotoError  # part of this module's names, like the next
from hdrgan.files.limits import PhotoLimits as PhotoLimits
from hdrgan.files.recorded import beyond_srgb, recorded_light
from hdrgan.light.parallel import each

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
Source = str | os.PathLike[str] | bytes | BinaryIO | Image.Image | np.ndarray

DEFAULT = PhotoLimits()

LIGHT_SOURCES = ("gain map", "PQ", "HLG", "OpenEXR", "Radiance .hdr", "float TIFF", "raw")
FORMATS = ("JPEG", "PNG", "WebP", "AVIF", "HEIC", "GIF", "BMP", "TIFF", "OpenEXR", "Radiance .hdr", "raw")


@dataclass(frozen=True, eq=False, repr=False)
class Photo:
    """A photo, upright and in sRGB.

    Args:
        pixels: (H, W, 3) uint8 or uint16, sRGB encoded, contiguous, read-only.
        name: stem of its file name, safe to build output names from.
        format: one of `FORMATS`, or "" for a picture from memory.
        exif: what the file says of its making, without orientation; it may hold a position, so hand on
            `bracket_exif` instead.
        jpeg: where the file is an 8-bit YCbCr JPEG whose colours were taken as they are: its picture data byte for
            byte, without metadata. The base of an Ultra HDR file.
        jpeg_orientation: EXIF orientation in which ``jpeg`` is stored; 1 is upright.
        light: (H, W, 3) float32, linear Rec. 709, >= 0, 1.0 = the photo's white: the light itself, where the file
            records it; None for an ordinary photo. What is recorded is the radiance, and is never invented over.
        light_source: what recorded it: one of `LIGHT_SOURCES`, or "".
        ceiling: light that a channel can record at most; only what reaches it may have been brighter.
        response: (256,) float32 inverse response by which ``pixels`` show the light, where it is known.
        gain_map: from ``pixels`` to ``light``, where the file holds one.
        alpha: (H, W) uint8 or uint16 like ``pixels``: opacity, where not all of the photo is opaque; ``pixels`` are
            then laid on white.
        wide: (H, W, 3) float16, linear Rec. 709: light near 1 or above of colours that sRGB cannot hold and the camera
            did not clip, 0 elsewhere; None where there are none. It is measured, though ``pixels`` are clipped.
        xmp, iptc: what else the file says of itself, as stored; `hdrgan.files.xmp_iptc` says what is handed on.
    """

    pixels: np.ndarray
    name: str = "photo"
    format: str = ""
    exif: Image.Exif | None = None
    jpeg: bytes | None = None
    jpeg_orientation: int = 1
    light: np.ndarray | None = None
    light_source: str = ""
    ceiling: float = float("inf")
    response: np.ndarray | None = None
    gain_map: GainMap | None = None
    alpha: np.ndarray | None = None
    wide: np.ndarray | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None

    def __post_init__(self) -> None:
        # The exposure at EV 0 is this very array: who draws on it must not change the photo and its bracket.
        # The radiance may be its light.
        for name in ("pixels", "light"):
            array = getattr(self, name)
            if array is not None:
                array = array.view()
                array.flags.writeable = False
                object.__setattr__(self, name, array)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.__post_init__()  # pickle forgets that an array is read-only

    @property
    def height(self) -> int:
        """Rows."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns."""
        return int(self.pixels.shape[1])

    @property
    def bits(self) -> int:
        """Bits of a sample: 8 or 16."""
        return 8 * self.pixels.itemsize

    @property
    def from_camera(self) -> bool:
        """Whether EXIF names a maker, a model or an exposure time, so that a camera's response is likely."""
        if self.exif is None:
            return False
        return bool(self.exif.get(MAKE) or self.exif.get(MODEL) or self.exif.get_ifd(EXIF_POINTER).get(EXPOSURE_TIME))

    @property
    def headroom(self) -> float | None:
        """Stops above white that the file records; None for an ordinary photo."""
        if self.light is None:
            return None
        if self.gain_map is not None:
            return self.gain_map.headroom
        return max(0.0, float(np.log2(max(float(self.light.max()), 1.0))))

    @property
    def light_note(self) -> str:
        """One line on where the light above white comes from; empty for an ordinary photo."""
        if self.headroom is None:
            return ""
        if self.light_source == "raw":
            return "light recorded by the sensor, up to where it clips"
        who = "the camera" if self.light_source == "gain map" else f"the file ({self.light_source})"
        return f"light recorded by {who}: {self.headroom:.1f} stops above white"

    def __repr__(self) -> str:
        return f"Photo({self.name!r}, {self.width} x {self.height}, {self.bits} bits, {self.format or 'from memory'})"

    def __array__(self, dtype: np.typing.DTypeLike | None = None, copy: bool | None = None) -> np.ndarray:
        """The photo as a screen shows it: (H, W, 3) uint8."""
        shown = colour.to_8_bits(self.pixels)
        if copy is False and shown is not self.pixels:
            raise ValueError("a 16-bit photo cannot be shown in 8 bits without a copy")
        return np.array(shown, dtype=dtype or np.uint8, copy=copy)


def load_photo(
    source: Source | Photo, *, limits: PhotoLimits = DEFAULT, gain_map: bool = True, scenes: bool = False
) -> Photo:
    """Open a photo: EXIF orientation applied, colour profile converted to sRGB, alpha laid on white, grey made RGB.

    What a file records of its light is read as well (`Photo.light`): gain maps of JPEG, AVIF and HEIC, PQ and HLG.

    JPEG, PNG (8 and 16 bits), WebP, AVIF, GIF, BMP and TIFF are recognised by their content, never by their name; HEIC
    with the extra ``hdrgan[heic]``. Of files with several pictures, the first is taken. 16 bits are kept.

    Args:
        source: a path, the bytes of a file, an open binary file, a PIL image, or an array: (H, W), (H, W, 1), (H, W, 3)
            or (H, W, 4), uint8 or uint16, taken as sRGB. A `Photo` is given back as it is.
        limits: ceilings on bytes, pixels, scans and frames, checked before anything is decoded.
        gain_map: whether the light of a gain map is taken; without it, the photo is an ordinary one.
        scenes: whether files of light are taken too: OpenEXR, Radiance .hdr, floating-point TIFF. A service that takes
            photos of strangers has no use for them.

    Raises:
        PhotoError: for every reason there is, as one plain sentence.
    """
    try:
        if isinstance(source, Photo):
            return source
        if isinstance(source, np.ndarray):
            decoded = _from_array(source, limits)
            return Photo(own_strides(_in_srgb(decoded)), alpha=_opacity(decoded, 1))
        if isinstance(source, Image.Image):
            return _from_pillow(source, limits)
        data, name = read_bytes(source, limits)
        return _decode(data, name, limits, gain_map=gain_map, scenes=scenes)
    except PhotoError:
        raise
    except MemoryError as error:
        raise PhotoError("There is not enough memory to open this photo; give a smaller one.") from error
    except Exception as error:  # an unexpected failure of a decoder must end in a sentence, too
        log.debug("unforeseen failure of a decoder", exc_info=True)
        raise PhotoError(
            "This file is damaged, or not a photo that can be read; save it again as JPEG or PNG."
        ) from error


def to_tensor(photo: Photo, size: tuple[int, int] | None = None) -> torch.Tensor:
    """The photo as a network takes it: (1, 3, H, W) float32 sRGB in [0, 1], in channels-last order in memory.

    Args:
        photo: of any size and number of bits.
        size: (height, width) to which it is averaged, no larger than the photo; None leaves it as it is.
    """
    import torch

    peak = int(np.iinfo(photo.pixels.dtype).max)
    if size is not None and size != photo.pixels.shape[:2]:
        return _averaged(photo.pixels, size).div_(peak)
    if peak == 255:
        return shared_tensor(photo.pixels).permute(2, 0, 1)[None].to(torch.float32).div_(255)  # (1, 3, H, W)
    scaled = photo.pixels * np.float32(1 / 65535)
    return torch.from_numpy(scaled).permute(2, 0, 1)[None]  # (1, 3, H, W)


def shared_tensor(pixels: np.ndarray) -> torch.Tensor:
    """A tensor over the memory of an array, for reading only."""
    import torch

    with warnings.catch_warnings():
        # Pixels of a photo are read-only, which torch cannot say of a tensor and warns of.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(pixels)


def _averaged(pixels: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Means of (H, W, 3) codes over the windows of torch's adaptive pooling: (1, 3, height, width) float32."""
    import torch

    height, width = size
    row = np.arange(height)
    top, bottom = row * len(pixels) // height, -(-(row + 1) * len(pixels) // height)
    # Narrow sums are added several times faster than wide ones.
    narrow = np.min_scalar_type(int(np.iinfo(pixels.dtype).max) * int((bottom - top).max()))
    means = np.empty((height, width, 3), np.float32)

    def average(part: range) -> None:  # few enough rows for the cache of a core
        sums = np.empty((len(part), *pixels.shape[1:]), np.float32)
        for k, place in enumerate(part):
            sums[k] = pixels[top[place] : bottom[place]].sum(0, dtype=narrow)
        columns = torch.from_numpy(sums).permute(2, 0, 1)[None].contiguous()
        pooled = torch.nn.functional.adaptive_avg_pool2d(columns, (len(part), width))[0].permute(1, 2, 0).numpy()
        means[part.start : part.stop] = pooled / (bottom - top)[part.start : part.stop, None, None]

    each(average, [range(start, min(start + 16, height)) for start in range(0, height, 16)])
    return torch.from_numpy(means).permute(2, 0, 1)[None]


# Reading


def read_bytes(source: str | os.PathLike[str] | bytes | BinaryIO, limits: PhotoLimits) -> tuple[bytes, str]:
    """The bytes of a source, no more than the limit, and the stem of its name.

    Raises:
        PhotoError: it cannot be read, is no file, or is larger.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        limits.check_bytes(len(source))
        return bytes(source), "photo"
    if not isinstance(source, (str, os.PathLike)):
        if not hasattr(source, "read"):
            raise PhotoError(f"A photo is a path, bytes, an open file, a PIL image or an array, not {type(source)}.")
        data = source.read(limits.bytes + 1)
        if not isinstance(data, bytes):
            raise PhotoError("The file is open as text; open it in binary mode.")
        limits.check_bytes(len(data))
        name = getattr(source, "name", None)
        return data, safe_stem(name if isinstance(name, str) else "photo")
    try:
        # Without O_NONBLOCK, opening a named pipe would wait until another process writes to it.
        descriptor = os.open(source, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise PhotoError("This path is not a file; give the path of a photo.")
            limits.check_bytes(status.st_size)
            data = file.read(limits.bytes + 1)
    except PhotoError:
        raise
    except FileNotFoundError as error:
        raise PhotoError("There is no file of this name; check the path.") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise PhotoError(f"The file cannot be read ({reason}); check its path and permissions.") from error
    limits.check_bytes(len(data))
    return data, safe_stem(os.fspath(source))


def safe_stem(path: str) -> str:
    """The stem of a file name, without characters that change the folder or that file systems forbid."""
    return safe_name(Path(re.split(r"[/\\]", path)[-1]).stem)


def safe_name(stem: str) -> str:
    """The same of a name that has lost its folder and suffix already."""
    short = stem.encode("utf-8", "replace")[:120].decode("utf-8", "ignore")
    return re.sub(r'[\x00-\x1f\x7f<>:"|?*%/\\]', "_", short).strip(". ") or "photo"


def _decode(data: bytes, name: str, limits: PhotoLimits, *, gain_map: bool, scenes: bool) -> Photo:
    kind, decoder = (scene.recognise(data) if scenes else None) or recognise(data)
    decoded = decoder(data, limits)
    exif, orientation = _take_orientation(read_exif(decoded.exif))
    if decoded.orientation is not None:
        orientation = decoded.orientation
    recorded = recorded_light(decoded, gain_map=gain_map)
    own, own_orientation = None, 1
    if recorded is None or recorded.pixels is None:
        colours = _in_srgb(decoded)
        if colours is decoded.pixels and decoded.jpeg is not None:
            own, own_orientation = decoded.jpeg, orientation
    else:
        colours = recorded.pixels
    alpha = _opacity(decoded, orientation)
    pixels = turn(colours, orientation)
    photo = Photo(pixels, name, kind, exif, own, own_orientation, alpha=alpha, xmp=decoded.xmp, iptc=decoded.iptc)
    if recorded is None:
        wide = beyond_srgb(decoded)
        return photo if wide is None else replace(photo, wide=turn(wide, orientation))
    gains = recorded.gain_map
    if gains is not None:
        gains = replace(gains, codes=turn(gains.codes, orientation), jpeg=None if own is None else gains.jpeg)
    return replace(
        photo,
        light=turn(recorded.light, orientation),
        light_source=recorded.source,
        ceiling=recorded.ceiling,
        response=recorded.response,
        gain_map=gains,
    )


def _take_orientation(exif: Image.Exif | None) -> tuple[Image.Exif | None, int]:
    """EXIF without its orientation, and the orientation; 1 where it states none that there is."""
    orientation: Any = None if exif is None else exif.pop(ORIENTATION, None)
    return exif, orientation if orientation in range(1, 9) else 1


def _opacity(decoded: Decoded, orientation: int) -> np.ndarray | None:
    """(H, W) upright opacity; None where everything is opaque."""
    alpha = decoded.pixels[..., -1:]
    opaque = not decoded.has_alpha or int(alpha.min()) == np.iinfo(alpha.dtype).max
    return None if opaque else turn(alpha, orientation)[..., 0]


def _in_srgb(decoded: Decoded) -> np.ndarray:
    """Decoded pixels in sRGB without alpha: (H, W, 3); the same array where nothing had to change."""
    pixels = decoded.pixels
    if not decoded.has_alpha:
        return colour.to_srgb(pixels, decoded.space, decoded.icc)
    colours, alpha = np.ascontiguousarray(pixels[..., :-1]), pixels[..., -1:]
    colours = colour.to_srgb(colours, decoded.space, decoded.icc)
    opaque = int(alpha.min()) == np.iinfo(pixels.dtype).max
    return colours if opaque else colour.flatten(np.concatenate([colours, alpha], 2))


_LAST_FIRST = (3, 4, 6, 7), (2, 3, 7, 8)  # EXIF orientations that turn round the stored rows, and the stored columns


def turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation, 1 to 8, to (H, W, C)."""
    if orientation == 1:
        return own_strides(pixels)
    # Whole pixels are moved as one item, and in bands that stay in the cache: three times faster than by samples.
    channels = pixels.shape[2]
    whole = own_strides(pixels).view(f"V{channels * pixels.itemsize}")[..., 0]
    rows, columns = (slice(None, None, -1 if orientation in last_first else 1) for last_first in _LAST_FIRST)
    turned = whole[rows, columns].T if orientation > 4 else whole[rows, columns]
    out = np.empty(turned.shape, turned.dtype)
    band = 32
    for start in range(0, turned.shape[1], band):
        out[:, start : start + band] = turned[:, start : start + band]
    return out.view(pixels.dtype).reshape(*out.shape, channels)


def own_strides(pixels: np.ndarray) -> np.ndarray:
    """The array, contiguous; a copy where a single row or column keeps the strides of the array it was cut from.

    numpy calls those contiguous, but encoders look at the strides themselves and refuse them.
    """
    pixels = np.ascontiguousarray(pixels)
    height, width, channels = pixels.shape
    plain = (width * channels * pixels.itemsize, channels * pixels.itemsize, pixels.itemsize)
    return pixels if pixels.strides == plain else pixels.copy(order="C").reshape(-1).reshape(height, width, channels)


def _from_array(array: np.ndarray, limits: PhotoLimits) -> Decoded:
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if array.dtype.newbyteorder("=") not in (np.uint8, np.uint16):
        raise PhotoError(f"An array of {array.dtype} has no fixed range; give uint8 or uint16, sRGB encoded.")
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or array.shape[2] not in (1, 2, 3, 4):
        raise PhotoError(f"An array of shape {array.shape} is not a photo; give (height, width, 3).")
    limits.check_size(array.shape[1], array.shape[0])
    # A copy, so that a caller who goes on drawing in the array does not change the photo.
    pixels = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    return Decoded(pixels, "gray" if array.shape[2] <= 2 else "rgb")


def _from_pillow(image: Image.Image, limits: PhotoLimits) -> Photo:
    limits.check_size(*image.size)
    name = safe_stem(str(getattr(image, "filename", "") or "photo"))
    try:
        exif = read_exif(image.getexif().tobytes())
    except Exception as error:  # Pillow cannot write back every EXIF block that it reads
        log.debug("EXIF of a PIL image left out: %s", error)
        exif = None
    exif, orientation = _take_orientation(exif)
    if image.mode in ("F", "I"):
        raise PhotoError(f"A PIL image of mode {image.mode} has no fixed range; give RGB or 16-bit grey.")
    image.load()
    if image.mode.startswith("I;16"):
        pixels, space = np.asarray(image).astype(np.uint16), "gray"
    elif image.mode == "CMYK":
        pixels, space = np.asarray(image), "cmyk"
    elif image.mode in ("L", "LA", "1"):
        pixels, space = np.asarray(image.convert("L") if image.mode == "1" else image), "gray"
    else:
        translucent = image.mode in ("RGBA", "RGBa", "PA") or "transparency" in image.info
        pixels, space = np.asarray(image.convert("RGBA" if translucent else "RGB")), "rgb"
    pixels = pixels.reshape(*pixels.shape[:2], -1)
    decoded = Decoded(pixels, space, image.info.get("icc_profile"))
    upright = turn(_in_srgb(decoded), orientation)
    return Photo(upright, name, image.format or "", exif, alpha=_opacity(decoded, orientation))
