"""Take the noise out of shadows before an exposure brightens them, and out of near white before one darkens it.

A stop brighter shows a photo's shadows twice as large; two and four stops brighter, their noise is what one sees. Near
white a camera has few codes for much light, so that what JPEG changes by one of them is a pattern in a darker sky. The
filter is the guided filter of He, Sun and Tang (2013) with the picture as its own guide: flat parts become their mean,
edges stay. Colour differences are smoothed more than brightness, because eyes see less of them and sensors err more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
import torch
from torch import Tensor

from hdrgan.light.parallel import each

_RADIUS = 2  # pixels
_LUMA_NOISE, _COLOUR_NOISE = 0.02, 0.05  # contrast, of the encoded range, that counts as noise
NEAR_WHITE = (1, 0.01)
"""Radius in pixels, and contrast that counts as noise, near white; chosen by ordinary photos, see recipes/README.md."""

_BRIGHT, _DARK = 0.7, 0.4  # brightness from which on nothing, and up to which all, is filtered
_STRIP, _BLOCK = 64, 256  # rows and columns: few enough for the cache of a core, enough to outweigh the cost of a step
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
    height, width = pixels.shape[:2]
    quiet = np.empty(pixels.shape, np.uint16)

    def smooth(top: int) -> None:
        for left in range(0, width, _BLOCK):
            part = _part(pixels, top, left)
            codes = _around(pixels, part, 2 * _RADIUS, wrapped)
            luma = codes.mean(0, keepdim=True)
            smoothed = _guided(luma, ((luma, _LUMA_NOISE), (codes - luma, _COLOUR_NOISE)), _RADIUS)
            brightness = _box(_without_margin(luma, _RADIUS), _RADIUS)
            share = ((_BRIGHT - brightness) / (_BRIGHT - _DARK)).clamp(0, 1)
            quiet[part] = _in_16_bits(torch.lerp(_without_margin(codes, 2 * _RADIUS), smoothed, share))

    each(smooth, range(0, height, _STRIP))
    return quiet


def near_white(pixels: np.ndarray, rows: slice, first: int) -> np.ndarray:
    """Smooth what differs by a code or two, as the means of a flat part of a photo do.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes.
        rows: which of them.
        first: code from which on a sample is near white. Where a part of the picture has none, or white alone, it stays
            as it is: in large photos that is most of them.

    Returns:
        (rows, W, 3) uint16 codes of the range 0 to 65535.
    """
    radius, noise = NEAR_WHITE
    peak = np.iinfo(pixels.dtype).max
    smoothed = pixels[rows].astype(np.uint16) * np.uint16(65535 // peak)
    for top, left in product(range(rows.start, rows.stop, _STRIP), range(0, pixels.shape[1], _BLOCK)):
        part = _part(pixels[: rows.stop], top, left)
        if pixels[part].max() >= first:
            codes = _around(pixels, part, 2 * radius)
            if codes.min() == 1:
                continue
            filtered = _guided(codes.mean(0, keepdim=True), ((codes, noise),), radius)
            smoothed[top - rows.start :][:_STRIP, part[1]] = _in_16_bits(filtered)
    return smoothed


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


def _part(pixels: np.ndarray, top: int, left: int) -> tuple[slice, slice]:
    """Rows and columns of the block that begins here."""
    height, width = pixels.shape[:2]
    return slice(top, min(top + _STRIP, height)), slice(left, min(left + _BLOCK, width))


def _around(pixels: np.ndarray, part: tuple[slice, slice], margin: int, wrapped: bool = False) -> Tensor:
    """A block and a margin around it as (3, h, w) in [0, 1]; beyond the picture its edge, or what continues it."""
    height, width = pixels.shape[:2]
    rows, columns = (range(side.start - margin, side.stop + margin) for side in part)
    if rows[0] >= 0 and rows[-1] < height and columns[0] >= 0 and columns[-1] < width:
        seen = pixels[rows.start : rows.stop, columns.start : columns.stop]
    else:
        across = np.array(columns) % width if wrapped else np.clip(columns, 0, width - 1)
        seen = pixels[np.ix_(np.clip(rows, 0, height - 1), across)]
    planes = torch.from_numpy(np.ascontiguousarray(seen.transpose(2, 0, 1)))
    return planes.float().div_(float(np.iinfo(pixels.dtype).max))


def _in_16_bits(codes: Tensor) -> np.ndarray:
    whole: np.ndarray = (codes.clamp(0, 1) * 65535).round().permute(1, 2, 0).numpy().astype(np.uint16)
    return whole


def _without_margin(x: Tensor, margin: int) -> Tensor:
    return x[:, margin:-margin, margin:-margin]


def _box(x: Tensor, radius: int) -> Tensor:
    """Mean over a square of 2 ``radius`` + 1, where it is whole; by sums of shifted copies, much faster than pooling."""
    for dimension in (2, 1):
        size = x.shape[dimension] - 2 * radius
        total = x.narrow(dimension, 0, size) + x.narrow(dimension, 1, size)
        for shift in range(2, 2 * radius + 1):
            total += x.narrow(dimension, shift, size)
        x = total
    return x.div_((2 * radius + 1) ** 2)


def _guided(guide: Tensor, parts: Sequence[tuple[Tensor, float]], radius: int) -> Tensor:
    """Fit each part of a picture by a straight line of the guide around each pixel, and sum what that gives.

    Args:
        guide: (1, h, w).
        parts: (C, h, w) each, and which contrast of the guide is ignored in it.

    Returns:
        (C, h - 4 ``radius``, w - 4 ``radius``).
    """
    seen = torch.cat([part for part, _ in parts])
    averages = _box(torch.cat((guide, guide * guide, seen, guide * seen)), radius)
    mean, square, average, mixed = averages.split((1, 1, len(seen), len(seen)))
    covariance, variance = mixed - mean * average, (square - mean * mean).clamp_(min=0)
    sizes = [len(part) for part, _ in parts]
    slopes = [
        shared / (variance + noise**2) for shared, (_, noise) in zip(covariance.split(sizes), parts, strict=True)
    ]
    offsets = [own - slope * mean for own, slope in zip(average.split(sizes), slopes, strict=True)]
    slope, offset = _box(torch.cat((sum(slopes[1:], slopes[0]), sum(offsets[1:], offsets[0]))), radius).chunk(2)
    return torch.addcmul(offset, slope, _without_margin(guide, 2 * radius))
