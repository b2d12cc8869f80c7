"""sRGB (IEC 61966-2-1) on numpy arrays, without torch: for decoders and for what is shown on a screen.

`hdrgan.light.radiometry` has the same curve on tensors, differentiable.
"""

from __future__ import annotations

import numpy as np

LUMINANCE_WEIGHTS = (0.2126, 0.7152, 0.0722)
"""Luminance of linear red, green and blue (ITU-R BT.709)."""

LUMA_WEIGHTS = (0.299, 0.587, 0.114)
"""Luma of encoded red, green and blue (ITU-R BT.601)."""


def srgb_to_linear(srgb: np.ndarray) -> np.ndarray:
    """Decode sRGB: encoded [0, 1] of any shape to linear [0, 1], in the precision of the array."""
    return np.where(srgb <= 0.04045, srgb / 12.92, ((np.maximum(srgb, 0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(light: np.ndarray) -> np.ndarray:
    """Encode linear light as sRGB: the inverse of `srgb_to_linear`. Light above 1 is not clipped."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def srgb_response() -> np.ndarray:
    """The inverse response of sRGB at the 8-bit codes: (256,) float64, from 0 to 1."""
    return srgb_to_linear(np.linspace(0, 1, 256))


def largest_channel(pixels: np.ndarray) -> np.ndarray:
    """The largest of three channels, (..., 3) to (...); of booleans, whether any is True.

    numpy takes six to twenty times as long along an axis of three.
    """
    largest: np.ndarray = np.maximum(np.maximum(pixels[..., 0], pixels[..., 1]), pixels[..., 2])
    return largest
