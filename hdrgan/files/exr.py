"""OpenEXR: headers and chunk tables are checked here, pixels are read and written by the OpenEXR library.

Source: "OpenEXR File Layout", Academy Software Foundation.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import OpenEXR

from hdrgan.files.limits import RadianceFileError
from hdrgan.light.srgb import LUMINANCE_WEIGHTS

MAGIC = b"\x76\x2f\x31\x01"
_TILED, _DEEP, _MULTIPART = 0x200, 0x800, 0x1000
_LINES_PER_CHUNK = {0: 1, 1: 1, 2: 1, 3: 16, 4: 32, 5: 16, 6: 32, 7: 32, 8: 32, 9: 256}
_MOST_ATTRIBUTES, _MOST_PARTS, _MOST_CHANNELS = 2000, 64, 256
_MOST_BYTES = 6 << 30  # of decoded samples, over all channels of all parts
_HARMLESS_BYTES = 64 << 20
_MOST_RATIO = 2000  # beyond what any of the codecs makes of a real scene
_LONGEST_SIDE = 65_535
_CUT_OFF = "it is cut off before its end"
_DAMAGED = "its header is damaged"


@dataclass
class _Part:
    attributes: dict[str, bytes] = field(default_factory=dict)
    width: int = 0
    height: int = 0
    channels: dict[str, tuple[int, int, int]] = field(default_factory=dict)  # type and subsampling in x and y


def read(data: bytes, most_pixels: int) -> tuple[np.ndarray, tuple[float, ...] | None, bool]:
    """Read the colour layer of an EXR file.

    Returns:
        (H, W, 3) float32 of the data window; the x and y of red, green, blue and white where the file states them; and
        whether its channels are half floats.
    """
    parts, table, flags = _walk(data, most_pixels)
    index, names = _choose(parts)
    _check_table(data, parts, table, flags)
    try:
        file = OpenEXR.File(io.BytesIO(data), separate_channels=True)
        channels = file.channels(index)
        planes = [np.asarray(channels[name].pixels) for name in names]
    except Exception as error:
        raise RadianceFileError("its pixels are damaged") from error
    part = parts[index]
    stated = part.attributes.get("chromaticities", b"")
    chromaticities = struct.unpack("<8f", stated) if len(stated) == 32 else None
    full = (part.height, part.width)
    half = all(plane.dtype == np.float16 for plane in planes)
    if planes[0].shape != full:
        raise RadianceFileError("its pixels are damaged")
    if len(planes) == 1:
        return np.repeat(planes[0].astype(np.float32)[..., None], 3, 2), chromaticities, half
    if names[0] == "Y":
        return _from_luminance_chroma(*planes), chromaticities, half
    if any(plane.shape != full for plane in planes):
        raise RadianceFileError("its pixels are damaged")
    out = np.empty((*full, 3), np.float32)
    for k, plane in enumerate(planes):
        out[..., k] = plane
    return out, chromaticities, half


def encode(channels: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> bytes:
    """Encode (H, W) half or float planes as a scanline EXR, ZIP compressed."""
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage} | dict(attributes)
    stream = io.BytesIO()
    OpenEXR.File(header, dict(channels)).write(stream)
    return stream.getvalue()


def _walk(data: bytes, most_pixels: int) -> tuple[list[_Part], int, int]:
    """Read every header; give the parts, where the chunk tables begin, and the flags of the file."""
    if not data.startswith(MAGIC):
        raise RadianceFileError("this is not an OpenEXR file")
    if len(data) < 8:
        raise RadianceFileError(_CUT_OFF)
    version = struct.unpack_from("<I", data, 4)[0]
    if version & 0xFF != 2:
        raise RadianceFileError(f"it is of OpenEXR version {version & 0xFF}, which is unknown")
    if version & _DEEP:
        raise RadianceFileError("it holds deep samples; flatten it first")
    parts: list[_Part] = []
    at, cost = 8, 0
    while len(parts) < _MOST_PARTS:
        if parts and (not version & _MULTIPART or data[at : at + 1] == b"\0"):
            return parts, at + (1 if version & _MULTIPART else 0), version
        part, at = _read_part(data, at, most_pixels)
        cost += part.width * part.height * sum(2 if kind == 1 else 4 for kind, _, _ in part.channels.values())
        if cost > _MOST_BYTES:
            raise RadianceFileError(f"it would take {cost / 2**30:.0f} GB to open; keep one RGB layer")
        if cost > _HARMLESS_BYTES + _MOST_RATIO * len(data):
            raise RadianceFileError("it promises far more pixels than it can hold")
        parts.append(part)
    raise RadianceFileError("it holds too many parts")


def _read_part(data: bytes, at: int, most_pixels: int) -> tuple[_Part, int]:
    part = _Part()
    for _ in range(_MOST_ATTRIBUTES):
        if data[at : at + 1] == b"\0":
            break
        end = data.find(b"\0", at, at + 257)
        kind_end = data.find(b"\0", end + 1, end + 258)
        if end < 0 or kind_end < 0 or kind_end + 5 > len(data):
            raise RadianceFileError(_CUT_OFF if at + 512 > len(data) else _DAMAGED)
        size = struct.unpack_from("<i", data, kind_end + 1)[0]
        start = kind_end + 5
        if size < 0 or start + size > len(data):
            raise RadianceFileError(_DAMAGED if size < 0 else _CUT_OFF)
        part.attributes[data[at:end].decode("latin-1")] = data[start : start + size]
        at = start + size
    else:
        raise RadianceFileError(_DAMAGED)
    window = part.attributes.get("dataWindow", b"")
    if len(window) != 16 or len(part.attributes.get("compression", b"")) != 1:
        raise RadianceFileError(_DAMAGED)
    left, top, right, bottom = struct.unpack("<4i", window)
    part.width, part.height = right - left + 1, bottom - top + 1
    sides = part.width, part.height
    if min(sides) < 1 or max(sides) > _LONGEST_SIDE or part.width * part.height > most_pixels:
        raise RadianceFileError(f"it says it holds {part.width} x {part.height} pixels, which is empty or too many")
    if part.attributes.get("type", b"").startswith(b"deep"):
        raise RadianceFileError("it holds deep samples; flatten it first")
    _read_channels(part)
    return part, at + 1


def _read_channels(part: _Part) -> None:
    body = part.attributes.get("channels", b"")
    at = 0
    while at < len(body) and body[at] and len(part.channels) < _MOST_CHANNELS:
        end = body.find(b"\0", at)
        if end < 0 or end + 17 > len(body):
            raise RadianceFileError(_DAMAGED)
        kind, _, across, down = struct.unpack_from("<iIii", body, end + 1)
        if kind not in (0, 1, 2) or across < 1 or down < 1:
            raise RadianceFileError(_DAMAGED)
        part.channels[body[at:end].decode("latin-1")] = (kind, across, down)
        at = end + 17
    if not part.channels:
        raise RadianceFileError("it holds no channels")


def _choose(parts: list[_Part]) -> tuple[int, list[str]]:
    """The part and channels that are its colours: R G B, else R G B of a single layer, else luminance."""
    layers: list[tuple[int, str, list[str]]] = []
    for k, part in enumerate(parts):
        for prefix in dict.fromkeys(name.rpartition(".")[0] for name in part.channels):
            lead = prefix + "." if prefix else ""
            for wanted in ("RGB", "rgb"):
                names = [lead + letter for letter in wanted]
                if all(name in part.channels for name in names):
                    layers.append((k, prefix, names))
                    break
    plain = [layer for layer in layers if not layer[1]]
    if not plain and len(layers) > 1:
        listed = ", ".join(sorted({prefix for _, prefix, _ in layers})[:5])
        raise RadianceFileError(f"it holds several layers ({listed}); keep one, with channels R, G and B")
    for k, _, names in plain[:1] or layers:
        _check_kinds(parts[k], names, subsampled=False)
        return k, names
    for k, part in enumerate(parts):
        if "Y" in part.channels:
            names = ["Y", "RY", "BY"] if {"RY", "BY"} <= set(part.channels) else ["Y"]
            _check_kinds(part, names, subsampled=len(names) == 3)
            return k, names
    listed = ", ".join(list(parts[0].channels)[:5])
    raise RadianceFileError(f"it has no colours: channels R, G and B, or Y, are needed, and it has {listed}")


def _check_kinds(part: _Part, names: list[str], subsampled: bool) -> None:
    for name in names:
        kind, across, down = part.channels[name]
        if kind == 0:
            raise RadianceFileError("its channels hold whole numbers, not light")
        if (across, down) != (1, 1) and not (subsampled and name != "Y"):
            raise RadianceFileError("its channels have different sizes")


def _check_table(data: bytes, parts: list[_Part], table: int, flags: int) -> None:
    """See that every chunk of a single-part file lies inside it; the library judges the rarer kinds."""
    if flags & _MULTIPART:
        return
    part = parts[0]
    tiles = part.attributes.get("tiles", b"")
    if flags & _TILED:
        if len(tiles) != 9 or tiles[8] & 0x0F:
            return  # several levels
        across, down = struct.unpack_from("<II", tiles)
        if not 0 < across <= 1 << 20 or not 0 < down <= 1 << 20:
            raise RadianceFileError(_DAMAGED)
        chunks = -(-part.width // across) * -(-part.height // down)
        leader = 20
    else:
        lines = _LINES_PER_CHUNK.get(part.attributes["compression"][0])
        if lines is None:
            return
        chunks = -(-part.height // lines)
        leader = 8
    if table + 8 * chunks > len(data):
        raise RadianceFileError(_CUT_OFF)
    offsets = np.frombuffer(data, "<u8", chunks, table)
    if int(offsets.min()) < table + 8 * chunks or int(offsets.max()) + leader > len(data):
        raise RadianceFileError(_CUT_OFF)
    last = int(offsets.max())
    size = struct.unpack_from("<i", data, last + leader - 4)[0]
    if size < 0 or last + leader + size > len(data):
        raise RadianceFileError(_CUT_OFF)


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
