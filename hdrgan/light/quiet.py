"""Take the noise out of shadows before an exposure brightens them, and out of near white before one darkens it.

A stop brighter shows a photo's shadows twice as large; two and four stops brighter, their noise is what one sees. Near
white a camera has few codes for much light, so that what JPEG changes by one of them is a pattern in a darker sky. The
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
NEAR_WHITE = 0.01
"""Contrast, of the encoded range, that counts as noise near white; chosen by ordinary photos, see recipes/README.md."""

_BRIGHT, _DARK = 0.7, 0.4  # brightness from which on nothing, and up to which all, is filtered
_STRIP = 64  # rows: few enough for the cache of a core
_CROSSTALK = 0.05  # of the light of each other channel that a channel of a sensor sees; 0 to 0.12 in the virtual camera
AT_ONCE = 2_000_000
"""Pixels of which the filter takes some tenths of a second."""

_SENSITIVE = 800  # ISO from which on noise is worth the seconds that a larger photo takes


def worth_filtering(pixels: int, iso: float) -> bool:
    """Whether to take the noise out of a photo of so many pixels, made at a sensitivity; 0 where that is unknown."""
    return pixels <= AT_ONCE or iso >= _SENSITIVE


def without_noise(pixels: np.ndarray, wrapped: bool = False) -> np.ndarray:
    """Smooth the noise in the dark and middle tones of a photo.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes.
        wrapped: whether the left edge continues the right one.

    Returns:
        (H, W, 3) uint16 codes of the range 0 to 65535: finer than 8 bits, since means fall between codes.
    """
    height = pixels.shape[0]
    quiet = np.empty(pixels.shape, np.uint16)

    def smooth(top: int) -> None:
        rows = slice(top, min(top + _STRIP, height))
        codes, inside = _around(pixels, rows, wrapped)
        luma = codes.mean(1, keepdim=True)
        smoothed = _guided(luma, luma, _LUMA_NOISE) + _guided(codes - luma, luma, _COLOUR_NOISE)
        share = ((_BRIGHT - _box(luma)) / (_BRIGHT - _DARK)).clamp(0, 1)
        quiet[rows] = _in_16_bits(torch.lerp(codes, smoothed, share)[inside])

    each(smooth, range(0, height, _STRIP))
    return quiet


def near_white(pixels: np.ndarray, rows: slice, at: np.ndarray) -> np.ndarray:
    """Smooth what differs by a code or two, as the means of a flat part of a photo do.

    Each sample is fitted once, by the brightness of the 3 x 3 around it: as good as the whole filter, in a fraction of
    the time, since most of a photo is not near white.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes.
        rows: which of them.
        at: positions in these rows, flattened, of the samples to smooth.

    Returns:
        uint16 codes of the range 0 to 65535, one for each position.
    """
    peak = int(np.iinfo(pixels.dtype).max)
    height, width = pixels.shape[:2]
    # What is beyond the picture is its edge.
    lines = np.arange(rows.start - 1, rows.stop + 1).clip(0, height - 1)
    around = np.pad(pixels[lines], ((0, 0), (1, 1), (0, 0)), "edge").reshape(len(lines), -1)
    white = around == peak
    across = white[:, :-6] & white[:, 3:-3] & white[:, 6:]
    same = (across[:-2] & across[1:-1] & across[2:]).reshape(-1)[at]  # white among white

    sample = at[~same]
    corner = sample + 6 * (sample // (3 * width))  # the first of the nine, in `around`, which is two pixels wider
    line, values = around.shape[1], around.reshape(-1)
    wide = np.uint16 if peak == 255 else np.uint32
    brightness = (values[::3].astype(wide) + values[1::3] + values[2::3]).astype(np.float32) / 3
    own = values[line + 3 :][corner].astype(np.float32)
    guide = brightness[line // 3 + 1 :][corner // 3]
    mean, level, square, product = (np.zeros_like(own) for _ in range(4))  # of differences, so that nothing is lost
    for step in (row * line + column for row in range(3) for column in (0, 3, 6)):
        difference, brighter = values[step:][corner] - own, brightness[step // 3 :][corner // 3] - guide
        mean += difference / 9
        level += brighter / 9
        square += brighter * brighter / 9
        product += brighter * difference / 9
    slope = (product - level * mean) / ((square - level * level).clip(min=0) + np.float32((NEAR_WHITE * peak) ** 2))
    fitted = (own + mean - slope * level).clip(0, peak)

    scale = 65535 // peak
    codes: np.ndarray = pixels[rows].reshape(-1)[at].astype(np.uint16) * np.uint16(scale)
    codes[~same] = (fitted * np.float32(scale)).round().astype(np.uint16)
    return codes


def rolled_off(light: np.ndarray) -> np.ndarray:
    """Clip light as a sensor does: colours pale towards white instead of turning to the next primary.

    The channels of a sensor see a little of each other's light, so that the others follow when one is full.

    Args:
        light: (..., 3) float32 linear, 1.0 = white.

    Returns:
        (..., 3) float32 in [0, 1]; as it was where no channel of the sensor is full.
    """
    mix = np.full((3, 3), _CROSSTALK, np.float32)
    np.fill_diagonal(mix, 1 - 2 * _CROSSTALK)
    back = np.linalg.inv(mix)
    clipped: np.ndarray = (np.minimum(light @ mix, 1) @ back).clip(0, 1)
    return clipped


def _around(pixels: np.ndarray, rows: slice, wrapped: bool) -> tuple[Tensor, tuple[slice, ...]]:
    """Rows of a photo and what is beside them as (1, 3, h, w) in [0, 1]; where the rows are in it."""
    margin = 2 * _RADIUS
    first, last = max(0, rows.start - margin), min(pixels.shape[0], rows.stop + margin)
    seen, beside = pixels[first:last], margin if wrapped else 0
    codes = np.pad(seen, ((0, 0), (beside, beside), (0, 0)), "wrap").astype(np.float32)
    inside = slice(rows.start - first, rows.stop - first), slice(beside, beside + pixels.shape[1])
    picture = torch.from_numpy(codes).permute(2, 0, 1)[None] / float(np.iinfo(pixels.dtype).max)
    return picture, (slice(None), slice(None), *inside)


def _in_16_bits(codes: Tensor) -> np.ndarray:
    whole: np.ndarray = (codes[0].clamp(0, 1) * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
    return whole


def _box(x: Tensor) -> Tensor:
    """Mean over a square of 5 x 5, edges repeated; by sums of shifted copies, much faster than pooling."""
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
