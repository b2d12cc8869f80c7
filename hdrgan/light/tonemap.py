"""Radiance to a screen: all of the light in one 8-bit picture, midtones left where the photo has them."""

from __future__ import annotations

import math

import numpy as np

from hdrgan.light.srgb import linear_to_srgb

KNEE = 0.5
"""Linear level up to which the tone curve is the identity."""

BRIGHTEST_WHITE = 16.0
"""Light above this level is always shown as white: fitting the sun in would turn everything else grey."""

PALING = 0.15
"""How fast colours turn white as they outshine the screen; 0.15 is that of Khronos PBR Neutral (2024)."""


def white_point(radiance: np.ndarray) -> float:
    """The light that is shown as white: the brightest there is, from 1 to `BRIGHTEST_WHITE`.

    Args:
        radiance: (H, W, 3), linear, 1.0 = the photo's white.
    """
    return float(np.clip(radiance.max(initial=1.0), 1, BRIGHTEST_WHITE))


def shoulder(white: float) -> tuple[float, float]:
    """(softness, slope) of the shoulder `KNEE` + slope * log1p((light - `KNEE`) / softness).

    It has slope 1 at the knee and reaches 1 at ``white``, which is at least 1; for a white of 1 it is nearly straight.
    """
    low, high = 1e-6, 1e6
    for _ in range(100):
        middle = math.sqrt(low * high)
        slope = (1 - KNEE) / (middle * math.log1p((white - KNEE) / middle))
        low, high = (middle, high) if slope > 1 else (low, middle)
    softness = math.sqrt(low * high)
    return softness, (1 - KNEE) / math.log1p((white - KNEE) / softness)


def tone_map(radiance: np.ndarray, exposure: float = 0.0, white: float | None = None) -> np.ndarray:
    """Show radiance on an ordinary screen.

    Light below half of the photo's white is shown as it is; brighter light is compressed logarithmically, so that
    ``white`` becomes the screen's white. The brightest channel is compressed and the others keep their ratio to it, so
    that a coloured lamp keeps its hue; but what is much brighter than it can be shown pales, as it does on film and to
    the eye, and the sun is white (the paling is that of Khronos PBR Neutral, the curve is not).

    Args:
        radiance: (H, W, 3) float, linear, >= 0, 1.0 = the photo's white.
        exposure: stops added first.
        white: linear level that is shown as white, at least 1; None for the light's own `white_point`, with which a
            photo that has nothing above its white is shown as it is.

    Returns:
        (H, W, 3) uint8, sRGB encoded.

    Raises:
        ValueError: ``white`` is below 1, or the shape is not (H, W, 3).
    """
    if radiance.ndim != 3 or radiance.shape[2] != 3:
        raise ValueError(f"radiance must be (H, W, 3), got {radiance.shape}")
    white = white_point(radiance) if white is None else white
    if not white >= 1:
        raise ValueError(f"white must be at least 1, got {white}")
    softness, steepness = shoulder(white)
    shown = np.empty(radiance.shape, np.uint8)
    for top in range(0, radiance.shape[0], 256):  # strips bound the memory
        light = np.maximum(radiance[top : top + 256].astype(np.float32) * np.float32(2.0**exposure), 0)
        brightest = light.max(-1, keepdims=True)
        above = KNEE + steepness * np.log1p(np.maximum(brightest - KNEE, 0) / softness)
        level = np.minimum(np.where(brightest > KNEE, above, brightest), 1)
        light *= level / np.maximum(brightest, 1e-8)
        paling = 1 - 1 / (1 + PALING * np.maximum(brightest - level, 0))
        light += paling * (level - light)
        shown[top : top + 256] = np.round(np.clip(linear_to_srgb(light), 0, 1) * 255)
    return shown
