"""Radiance to a screen: all of the light in one 8-bit picture, midtones left where the photo has them."""

from __future__ import annotations

import math

import numpy as np

KNEE = 0.5
"""Linear level up to which the tone curve is the identity."""


def shoulder(white: float) -> tuple[float, float]:
    """(softness, slope) of the shoulder `KNEE` + slope * log1p((light - `KNEE`) / softness).

    It leaves the knee at slope 1 and reaches 1 at ``white``, which is above 1.
    """
    low, high = 1e-6, 1e6
    for _ in range(100):
        middle = math.sqrt(low * high)
        slope = (1 - KNEE) / (middle * math.log1p((white - KNEE) / middle))
        low, high = (middle, high) if slope > 1 else (low, middle)
    softness = math.sqrt(low * high)
    return softness, (1 - KNEE) / math.log1p((white - KNEE) / softness)


def tone_map(radiance: np.ndarray, exposure: float = 0.0, white: float = 16.0) -> np.ndarray:
    """Show radiance on an ordinary screen.

    Light below half of the photo's white is shown as it is; what lies above is compressed logarithmically, so that
    ``white`` becomes the screen's white. The brightest channel is compressed and the others keep their ratio to it, so
    that a coloured lamp keeps its hue.

    Args:
        radiance: (H, W, 3) float, linear, >= 0, 1.0 = the photo's white.
        exposure: stops added first.
        white: linear level that is shown as white, above 1.

    Returns:
        (H, W, 3) uint8, sRGB encoded.

    Raises:
        ValueError: ``white`` is not above 1, or the shape is not (H, W, 3).
    """
    if not white > 1:
        raise ValueError(f"white must be above 1, got {white}")
    if radiance.ndim != 3 or radiance.shape[2] != 3:
        raise ValueError(f"radiance must be (H, W, 3), got {radiance.shape}")
    softness, steepness = shoulder(white)
    shown = np.empty(radiance.shape, np.uint8)
    for top in range(0, radiance.shape[0], 256):  # strips bound the memory
        light = np.maximum(radiance[top : top + 256].astype(np.float32) * np.float32(2.0**exposure), 0)
        brightest = light.max(-1, keepdims=True)
        above = KNEE + steepness * np.log1p(np.maximum(brightest - KNEE, 0) / softness)
        level = np.where(brightest > KNEE, above, brightest)
        light *= np.minimum(level, 1) / np.maximum(brightest, 1e-8)
        encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)
        shown[top : top + 256] = np.round(np.clip(encoded, 0, 1) * 255)
    return shown
