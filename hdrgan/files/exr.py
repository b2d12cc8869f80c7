"""OpenEXR, by the OpenEXR library: the header first, to check how much memory the pixels take, then the pixels."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import OpenEXR

from hdrgan.files.limits import RadianceFileError
from hdrgan.light.srgb import LUMINANCE_WEIGHTS

MAGIC = b"\x76\x2f\x31\x01"
_MOST_PARTS, _MOST_CHANNELS = 64, 256
_MOST_BYTES = 6 << 30  # of decoded samples, over all channels of all parts
_HARMLESS_BYTES = 64 << 20
_MOST_RATIO = 4000  # of float samples to bytes: beyond what any of the codecs makes of a real scene
_LONGEST_SIDE = 65_535
_BROKEN = "its header or its pixels are damaged, or cut off before their end"

Channels = Mapping[str, tuple[int, int]]
"""Of one part: the subsampling of each channel in x and y."""


def read(data: bytes, most_pixels: int) -> tuple[np.ndarray, tuple[float, ...] | None, bool]:
    """Read the colour layer of an EXR file.

    Returns:
        (H, W, 3) float32 of the data window; the x and y of red, green, blue and white where the file states them; and
        whether its channels are half floats.
    """
    index, names, full, chromaticities = read_header(io.BytesIO(data), len(data), most_pixels)
    file = _open(io.BytesIO(data))
    try:
        planes = [np.asarray(file.channels(index)[name].pixels) for name in names]
    except Exception as error:
        raise RadianceFileError(_BROKEN) from error
    if any(plane.dtype.kind != "f" for plane in planes):
        raise RadianceFileError("its channels hold whole numbers, not light")
    half = all(plane.dtype == np.float16 for plane in planes)
    if planes[0].shape != full or (names[0] != "Y" and any(plane.shape != full for plane in planes)):
        raise RadianceFileError(_BROKEN)
    if len(planes) == 1:
        return np.repeat(planes[0].astype(np.float32)[..., None], 3, 2), chromaticities, half
    if names[0] == "Y":
        return _from_luminance_chroma(*planes), chromaticities, half
    return np.stack(planes, -1, dtype=np.float32), chromaticities, half


def encode(channels: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> bytes:
    """Encode (H, W) half or float planes as a scanline EXR, ZIP compressed."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | dict(attributes)
    stream = io.BytesIO()
    OpenEXR.File(header, dict(channels)).write(stream)
    return stream.getvalue()


def read_header(
    file: BinaryIO, size: int, most_pixels: int
) -> tuple[int, list[str], tuple[int, int], tuple[float, ...] | None]:
    """Of a file of ``size`` bytes: the part with the colours, names of its channels, rows and columns, primaries."""
    headers = [part.header for part in _open(file, header_only=True).parts]
    index, names = _choose(_judge(headers, size, most_pixels))
    width, height = _size(headers[index])
    return index, names, (height, width), headers[index].get("chromaticities")


def _open(file: BinaryIO, **options: bool) -> Any:
    try:
        return OpenEXR.File(file, separate_channels=True, **options)
    except Exception as error:  # the library's own, and those of Python's buffers
        raise RadianceFileError(_BROKEN) from error


def _size(header: Mapping[str, Any]) -> tuple[int, int]:
    """Width and height of the data window."""
    (left, top), (right, bottom) = (map(int, corner) for corner in header["dataWindow"])
    return right - left + 1, bottom - top + 1


def _judge(headers: list[dict[str, Any]], size: int, most_pixels: int) -> list[Channels]:
    """The channels of each part; a refusal where their pixels would cost too much."""
    if len(headers) > _MOST_PARTS:
        raise RadianceFileError("it holds too many parts")
    parts: list[Channels] = []
    cost = 0
    for header in headers:
        if header["type"] in (OpenEXR.deepscanline, OpenEXR.deeptile):
            raise RadianceFileError("it holds deep samples; flatten it first")
        sides = _size(header)
        if min(sides) < 1 or max(sides) > _LONGEST_SIDE or sides[0] * sides[1] > most_pixels:
            raise RadianceFileError(f"it says it holds {sides[0]} x {sides[1]} pixels, which is empty or too many")
        channels = {channel.name: (channel.xSampling, channel.ySampling) for channel in header["channels"]}
        if not 0 < len(channels) <= _MOST_CHANNELS:
            raise RadianceFileError("it holds no channels, or too many")
        cost += 4 * sides[0] * sides[1] * len(channels)
        if cost > _MOST_BYTES:
            raise RadianceFileError(f"it would take {cost / 2**30:.0f} GB to open; keep one RGB layer")
        if cost > _HARMLESS_BYTES + _MOST_RATIO * size:
            raise RadianceFileError("it promises far more pixels than it can hold")
        parts.append(channels)
    return parts


def _choose(parts: list[Channels]) -> tuple[int, list[str]]:
    """The part and channels that are its colours: R G B, else R G B of a single layer, else luminance."""
    layers: list[tuple[int, str, list[str]]] = []
    for k, part in enumerate(parts):
        for prefix in dict.fromkeys(name.rpartition(".")[0] for name in part):
            lead = prefix + "." if prefix else ""
            for wanted in ("RGB", "rgb"):
                names = [lead + letter for letter in wanted]
                if all(name in part for name in names):
                    layers.append((k, prefix, names))
                    break
    plain = [layer for layer in layers if not layer[1]]
    if not plain and len(layers) > 1:
        listed = ", ".join(sorted({prefix for _, prefix, _ in layers})[:5])
        raise RadianceFileError(f"it holds several layers ({listed}); keep one, with channels R, G and B")
    for k, _, names in plain[:1] or layers:
        _check_sizes(parts[k], names)
        return k, names
    for k, part in enumerate(parts):
        if "Y" in part:
            names = ["Y", "RY", "BY"] if {"RY", "BY"} <= set(part) else ["Y"]
            _check_sizes(part, names[:1])
            return k, names
    listed = ", ".join(list(parts[0])[:5])
    raise RadianceFileError(f"it has no colours: channels R, G and B, or Y, are needed, and it has {listed}")


def _check_sizes(part: Channels, names: list[str]) -> None:
    if any(part[name] != (1, 1) for name in names):
        raise RadianceFileError("its channels have different sizes")


def _from_luminance_chroma(luminance: np.ndarray, red: np.ndarray, blue: np.ndarray) -> np.ndarray:
    """Undo luminance and subsampled chroma, RY = (R - Y) / Y and BY = (B - Y) / Y, chroma repeated to full size."""
    height, width = luminance.shape
    y = luminance.astype(np.float32)

    def whole(plane: np.ndarray) -> np.ndarray:
        down, across = -(-height // plane.shape[0]), -(-width // plane.shape[1])
        return np.repeat(np.repeat(plane, down, 0), across, 1)[:height, :width].astype(np.float32)

    r, b = ((whole(plane) + 1) * y for plane in (red, blue))
    weights = LUMINANCE_WEIGHTS
    g = (y - weights[0] * r - weights[2] * b) / weights[1]
    return np.stack([r, np.maximum(g, 0), b], -1)
