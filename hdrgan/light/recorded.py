"""Light that a file records, beside light that a network makes up: what is recorded stays, and paper is no lamp."""

from __future__ import annotations

import numpy as np

from hdrgan.light.parallel import each
from hdrgan.light.rendering import StoredLight, strips
from hdrgan.light.srgb import largest_channel, srgb_response

_REACHED = 0.98  # of the ceiling: demosaicing and noise leave clipped channels a little below it


def reaches(light: np.ndarray, ceiling: float) -> bool:
    """Whether any of recorded light (H, W, 3) may have been brighter than could be recorded."""
    return bool(np.isfinite(ceiling)) and float(light.max()) >= _REACHED * ceiling


def recorded_only(pixels: np.ndarray, light: np.ndarray, response: np.ndarray) -> StoredLight:
    """Light of which nothing is invented; arguments as in `StoredLight`."""
    return StoredLight(pixels, response, light, np.zeros(light.shape[:2], np.float32))


def above_ceiling(
    pixels: np.ndarray, light: np.ndarray, ceiling: float, radiance: np.ndarray, response: np.ndarray
) -> StoredLight:
    """Recorded light, with a network's where a channel reached the ceiling and the network's is brighter.

    Args:
        pixels: (H, W, 3) codes of the photo.
        light: (H, W, 3) float32, recorded.
        ceiling: what a channel can record.
        radiance: (H, W, 3) float32 of the network, on the same scale.
        response: (256,) float32 inverse response of ``pixels``.
    """
    out, invented = np.empty_like(light), np.empty(light.shape[:2], np.float32)

    def choose(rows: slice) -> None:
        own = light[rows]
        out[rows] = np.where(own >= _REACHED * ceiling, np.maximum(own, radiance[rows]), own)
        invented[rows] = largest_channel(1 - own / np.maximum(out[rows], 1e-9)).clip(0, 1)

    each(choose, strips(*light.shape[:2]))
    return StoredLight(pixels, response, out, invented)


def opaque_only(
    pixels: np.ndarray, radiance: np.ndarray, invented: np.ndarray, alpha: np.ndarray, response: np.ndarray
) -> StoredLight:
    """Take away what was made up where there is nothing: a transparent pixel is white paper, no lamp.

    Args:
        pixels: (H, W, 3) codes of the photo, laid on white.
        radiance, invented: of the network.
        alpha: (H, W) uint8 or uint16 opacity.
        response: (256,) float32 inverse response of ``pixels``.
    """
    out, left = np.empty_like(radiance), np.empty_like(invented)
    most = np.float32(np.iinfo(alpha.dtype).max)

    def lay(rows: slice) -> None:
        share = alpha[rows].astype(np.float32) / most
        lit = radiance[rows]
        out[rows] = lit * share[..., None] + np.minimum(lit, 1) * (1 - share[..., None])
        left[rows] = invented[rows] * share

    each(lay, strips(*radiance.shape[:2]))
    return StoredLight(pixels, response, out, left)


def with_wide_colours(
    pixels: np.ndarray, radiance: np.ndarray, invented: np.ndarray, wide: np.ndarray, response: np.ndarray
) -> StoredLight:
    """Colours that sRGB clipped and the camera did not: their light is measured, and nothing of it is invented.

    Up to white they are read with the camera's response, as the colours beside them are that sRGB can hold.

    Args:
        pixels: (H, W, 3) codes of the photo.
        radiance, invented: of the network, which took those colours for clipped.
        wide: (H, W, 3) float16, as in `hdrgan.files.photo.Photo`.
        response: (256,) float32 inverse response of ``pixels``.
    """
    out, left = np.empty_like(radiance), np.empty_like(invented)
    shown = srgb_response()

    def lay(rows: slice) -> None:
        known = wide[rows].astype(np.float32)
        own = known > 0
        dim = own & (known < 1)
        known[dim] = np.interp(known[dim], shown, response)
        out[rows] = np.where(own, known, radiance[rows])
        # Other channels of such a pixel have not clipped either.
        left[rows] = np.where(largest_channel(own), 0, invented[rows])

    each(lay, strips(*radiance.shape[:2]))
    return StoredLight(pixels, response, out, left)
