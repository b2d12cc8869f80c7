"""Take the noise out of shadows before an exposure brightens them.

A stop brighter shows a photo's shadows twice as large; two and four stops brighter, their noise is what one sees. The
filter is the guided filter of He, Sun and Tang (2013) with the picture as its own guide: flat parts become their mean,
edges stay. Colour differences are smoothed more than brightness, because eyes see less of them and sensors err more.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.parallel import each

_RADIUS = 2  # pixels
_LUMA_NOISE, _COLOUR_NOISE = 0.02, 0.05  # contrast, of the encoded range, that counts as noise
_BRIGHT, _DARK = 0.7, 0.4  # brightness from which on nothing, and up to which all, is filtered
_STRIP = 64  # rows: few enough for the cache of a core
_AT_ONCE = 2_000_000  # pixels of which the filter takes some tenths of a second
_SENSITIVE = 800  # ISO from which on noise is worth the seconds that a larger photo takes


def worth_filtering(pixels: int, iso: float) -> bool:
    """Whether to take the noise out of a photo of so many pixels, made at a sensitivity; 0 where that is unknown."""
    return pixels <= _AT_ONCE or iso >= _SENSITIVE


def without_noise(pixels: np.ndarray) -> np.ndarray:
    """Smooth the noise in the dark and middle tones of a photo.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes.

    Returns:
        (H, W, 3) uint16 codes of the range 0 to 65535: finer than 8 bits, since means fall between codes.
    """
    height = pixels.shape[0]
    peak = float(np.iinfo(pixels.dtype).max)
    quiet = np.empty(pixels.shape, np.uint16)

    def smooth(top: int) -> None:
        bottom = min(top + _STRIP, height)
        first, last = max(0, top - 2 * _RADIUS), min(height, bottom + 2 * _RADIUS)
        codes = torch.from_numpy(pixels[first:last].astype(np.float32)).permute(2, 0, 1)[None] / peak
        luma = codes.mean(1, keepdim=True)
        smoothed = _guided(luma, luma, _LUMA_NOISE) + _guided(codes - luma, luma, _COLOUR_NOISE)
        share = ((_BRIGHT - _box(luma)) / (_BRIGHT - _DARK)).clamp(0, 1)
        mixed = torch.lerp(codes, smoothed, share).clamp(0, 1)[0, :, top - first : bottom - first]
        quiet[top:bottom] = (mixed * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)

    each(smooth, range(0, height, _STRIP))
    return quiet


def _box(x: Tensor) -> Tensor:
    """Mean over 5 x 5 pixels, edges repeated; by sums of shifted copies, which is several times faster than pooling."""
    for padding, dimension in (((_RADIUS, _RADIUS, 0, 0), 3), ((0, 0, _RADIUS, _RADIUS), 2)):
        size = x.shape[dimension]
        wide = F.pad(x, padding, mode="replicate")
        x = wide.narrow(dimension, 0, size).clone()
        for shift in range(1, 2 * _RADIUS + 1):
            x += wide.narrow(dimension, shift, size)
        x /= 2 * _RADIUS + 1
    return x


def _guided(x: Tensor, guide: Tensor, noise: float) -> Tensor:
    """Fit ``x`` by a straight line of the guide around each pixel; contrast of the guide below ``noise`` is ignored."""
    mean = _box(guide)
    variance = (_box(guide * guide) - mean * mean).clamp(min=0)
    average = _box(x)
    slope = (_box(guide * x) - mean * average) / (variance + noise**2)
    return _box(slope) * guide + _box(average - slope * mean)
