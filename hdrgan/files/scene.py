"""Files of light given in place of a photo: OpenEXR, Radiance .hdr and floating-point TIFF, white at 1.0."""

from __future__ import annotations

import numpy as np

from hdrgan.files import ifd, tiff
from hdrgan.files.limits import Decoded, Decoder, PhotoError, PhotoLimits, RadianceFileError
from hdrgan.files.radiance import decode_radiance, is_radiance


def recognise(data: bytes) -> tuple[str, Decoder] | None:
    """The kind of a file of light by its first bytes, and its decoder; None for everything else."""
    kind = is_radiance(data)
    if kind is not None:
        return kind, lambda file, limits: _decode(file, limits, kind)
    order = ifd.read_header(data)
    if order is not None and tiff.is_float(ifd.read_directory(data, order, order.first)):
        return "TIFF", _decode_tiff
    return None


def _decode(data: bytes, limits: PhotoLimits, kind: str) -> Decoded:
    try:
        light = decode_radiance(data, int(limits.megapixels * 1e6))
    except RadianceFileError as error:
        raise PhotoError(f"This {kind} file cannot be used: {error}.") from error
    return _light(light, limits, kind)


def _decode_tiff(data: bytes, limits: PhotoLimits) -> Decoded:
    light, icc, exif = tiff.decode_float(data, limits)
    if icc is not None:
        from hdrgan.files import colour

        parts = colour.linear_parts(icc)
        if parts is not None:
            light = np.maximum(light @ np.float32(parts[1].T), 0)
    decoded = _light(light, limits, "float TIFF")
    decoded.exif = exif
    return decoded


def _light(light: np.ndarray, limits: PhotoLimits, source: str) -> Decoded:
    limits.check_size(light.shape[1], light.shape[0])
    none = np.empty((*light.shape[:2], 0), np.uint16)
    return Decoded(none, "rgb", light=light, light_source=source)
