"""Bring the shots of a bracket onto one another: the whole pixels by which a hand moved between them.

Median threshold bitmaps (Ward, "Fast, robust image registration for compositing high dynamic range photographs from
hand-held exposures", 2003): whether a pixel is brighter than the median of its picture hardly depends on the exposure.
"""

from __future__ import annotations

import numpy as np

_UNSURE = 4  # codes around the median in which noise decides
_SMALLEST = 48  # pixels of the shorter side at which the search begins


def offset(moving: np.ndarray, fixed: np.ndarray, most: int = 64) -> tuple[int, int]:
    """By how many pixels (down, right) ``moving`` has to be shifted to stand where ``fixed`` stands.

    Args:
        moving, fixed: (H, W) uint8 grey pictures of one size, of any exposure.
        most: the largest shift that is looked for, in pixels.
    """
    levels = 0
    while (1 << (levels + 1)) <= most and min(fixed.shape) >> (levels + 1) >= _SMALLEST:
        levels += 1
    down = right = 0
    for level in range(levels, -1, -1):
        a, b = (_halved(picture, level) for picture in (moving, fixed))
        # A bright shot has its median in the clipped sky; the same share of pixels is cut off from both.
        share = _share(a, b)
        (bits_a, sure_a), (bits_b, sure_b) = (_bitmap(picture, share) for picture in (a, b))
        down, right = 2 * down, 2 * right
        reach = max(1, -(-most >> levels)) if level == levels else 1  # where the search begins, all of it is tried
        steps = sorted(range(-reach, reach + 1), key=abs)
        tries = [(down + y, right + x) for y in steps for x in steps]
        costs = [_difference(bits_a, sure_a, bits_b, sure_b, y, x) for y, x in tries]
        down, right = tries[int(np.argmin(costs))]
    return down, right


def _halved(picture: np.ndarray, times: int) -> np.ndarray:
    for _ in range(times):
        height, width = (side // 2 * 2 for side in picture.shape)
        parts = picture[:height, :width].astype(np.uint16)
        quads = parts[::2, ::2] + parts[1::2, ::2] + parts[::2, 1::2] + parts[1::2, 1::2]
        picture = (quads >> 2).astype(np.uint8)
    return picture


def _share(a: np.ndarray, b: np.ndarray) -> float:
    """The share of darker pixels at which both pictures are divided: the median, where neither clips there."""
    low: float = max(float(np.mean(picture <= 8)) for picture in (a, b))
    high: float = min(float(np.mean(picture < 247)) for picture in (a, b))
    return float(np.clip(0.5, low + 0.1 * (high - low), high - 0.1 * (high - low))) if high > low else 0.5


def _bitmap(picture: np.ndarray, share: float) -> tuple[np.ndarray, np.ndarray]:
    counts = np.cumsum(np.bincount(picture.reshape(-1), minlength=256))
    threshold = int(np.searchsorted(counts, share * counts[-1]))
    return picture > threshold, np.abs(picture.astype(np.int16) - threshold) > _UNSURE


def _difference(
    bits: np.ndarray, sure: np.ndarray, other: np.ndarray, other_sure: np.ndarray, down: int, right: int
) -> float:
    """Share of pixels that differ once ``bits`` is shifted, of those that are sure in both."""
    mine, theirs = common(bits.shape[0], bits.shape[1], down, right)
    trusted = sure[mine] & other_sure[theirs]
    differ = (bits[mine] ^ other[theirs]) & trusted
    return float(np.count_nonzero(differ)) / max(1, int(np.count_nonzero(trusted)))


def common(height: int, width: int, down: int, right: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Where two pictures of one size overlap, in the moving one and in the fixed one, at a shift of the moving one."""
    rows = slice(max(0, -down), height - max(0, down)), slice(max(0, down), height - max(0, -down))
    columns = slice(max(0, -right), width - max(0, right)), slice(max(0, right), width - max(0, -right))
    return (rows[0], columns[0]), (rows[1], columns[1])
