"""One finished picture from a photo's light: the photo, with its blown parts exposed as a darker frame shows them.

Exposure fusion (Mertens, Kautz and Van Reeth, 2007) picks for every place the exposure that shows it best, and blends
the choices so that no seam is seen. The choice here is a map of local exposure in stops, never above zero: it is zero
where the photo recorded the light, so that blacks are not lifted and contrast is not spent where nothing was lost. It
follows edges (guided filter; He, Sun and Tang, 2013), so that no halo surrounds a silhouette, and it is found at a
small size, so that a large photo costs one pass over its light.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hdrgan.light.parallel import each
from hdrgan.light.rendering import Camera, peak_of, stops_of, strips
from hdrgan.light.srgb import largest_channel

LONGEST = 512
"""Longest side, in pixels, at which the local exposure is chosen."""

HEADROOM = 0.2
"""Stops below white at which a large bright surface is shown, so that structure in it has room above."""

_REACH = 1 / 24  # radius of the neighbourhood that decides an exposure, relative to the longest side
_EDGE = 0.5  # stops of difference from which two surfaces are exposed apart
_DARKEST, _BRIGHTEST = -4.0, 8.0  # stops between which light takes part in the choice
_SURE = 0.2  # invented share from which a pixel is exposed as its neighbourhood; below, it stays closer to the photo
_SUN = (2.0, 4.0)  # stops above white between which a surface is shown white, as suns and lamps are
_DAZZLING = (2.5, 5.0)  # stops above white between which what the photo shows white loses its invented colour
_WHITE = (0.9, 1.0)  # codes, as a share of the largest, between which a pixel's darkest channel counts as white
_SHOULDER = 0.3  # stops below white from which brighter light is compressed instead of clipped


@dataclass(frozen=True)
class _Plan:
    """The base of log light as a local linear function of it: ``slope * stops + offset``, both (h, w)."""

    slope: np.ndarray
    offset: np.ndarray


def finish(pixels: np.ndarray, radiance: np.ndarray, invented: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Expose each place so that its light is seen.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes of the photo.
        radiance: (H, W, 3) float32 linear light, 1.0 = the photo's white.
        invented: (H, W) float32 in [0, 1], share of the light that the photo did not record.
        response: (256,) float32 inverse response of the photo's camera.

    Returns:
        (H, W, 3) codes like the photo's: never above them, and equal to them where ``invented`` is 0.

    Raises:
        ValueError: the sizes differ.
    """
    if radiance.shape != pixels.shape or invented.shape != pixels.shape[:2]:
        raise ValueError(
            f"photo, light and invented share must have one size, got {pixels.shape}, {radiance.shape}, "
            f"{invented.shape}"
        )
    picture = pixels.copy()
    if not invented.any():
        return picture
    plan = _plan(radiance)
    camera = Camera(response, peak_of(pixels))

    def draw(rows: slice) -> None:
        share = invented[rows].reshape(-1)
        at = np.flatnonzero(share)  # few pixels as a rule, and nothing is done to the others
        if not at.size:
            return
        stops = stops_of(radiance[rows].reshape(-1, 3)[at])
        slope, offset = (_stretched(field, rows, pixels.shape[:2], at) for field in (plan.slope, plan.offset))
        brightest = largest_channel(stops)
        # A sun is white to the eye as on film; a sign of which a channel was measured keeps the colour that was seen.
        codes = pixels[rows].reshape(-1, 3)[at]
        lowest = codes.min(-1) / np.float32(peak_of(pixels))
        white = _smooth(_along(brightest, *_DAZZLING)) * _smooth(_along(lowest, *_WHITE))
        stops += (brightest[:, None] - stops) * white[:, None]
        moved = _local_exposure(brightest, slope, offset) * _smooth(share[at] / np.float32(_SURE))
        moved += _shoulder(brightest + moved) - (brightest + moved)
        picture[rows].reshape(-1, 3)[at] = np.minimum(camera.expose(stops + moved[:, None], 0.0), codes)

    each(draw, strips(*pixels.shape[:2]))
    return picture


def _local_exposure(stops: np.ndarray, slope: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Stops, at most 0, by which the surface that a pixel belongs to is shown darker than in the photo."""
    base = np.maximum(slope * np.clip(stops, _DARKEST, _BRIGHTEST) + offset, 0)
    ordinary = np.clip((_SUN[1] - base) / (_SUN[1] - _SUN[0]), 0, 1)
    darker: np.ndarray = -(base + np.float32(HEADROOM) * (1 - np.exp(-2 * base)) * ordinary)
    return darker


def _shoulder(stops: np.ndarray) -> np.ndarray:
    """Bring light above `_SHOULDER` stops below white under white: the identity below, ascending towards 0 above."""
    above = np.maximum(stops + np.float32(_SHOULDER), 0)
    bent: np.ndarray = np.minimum(stops, -np.float32(_SHOULDER)) + np.float32(_SHOULDER) * (
        1 - np.exp(-above / np.float32(_SHOULDER))
    )
    return bent


def _plan(radiance: np.ndarray) -> _Plan:
    """Smooth log light within surfaces, at a small size."""
    every = max(1, -(-max(radiance.shape[:2]) // LONGEST))
    stops = np.clip(stops_of(_reduced(radiance, every).max(-1)), _DARKEST, _BRIGHTEST)
    radius = max(1, round(max(stops.shape) * _REACH))
    mean = _box(stops, radius)
    variance = np.maximum(_box(stops * stops, radius) - mean * mean, 0)
    slope = variance / (variance + np.float32(_EDGE**2))
    return _Plan(_box(slope, radius), _box(mean - slope * mean, radius))


def _reduced(radiance: np.ndarray, every: int) -> np.ndarray:
    """Average of blocks of ``every`` x ``every`` pixels; rows and columns left over at the end are not seen."""
    if every == 1:
        return radiance
    height, width = (max(1, side // every) for side in radiance.shape[:2])
    down, across = (min(every, side) for side in radiance.shape[:2])
    reduced = np.empty((height, width, 3), np.float32)

    def average(rows: slice) -> None:
        block = radiance[rows.start * down : rows.stop * down, : width * across]
        lines = block.reshape(-1, down, width * across * 3).mean(1)
        reduced[rows] = lines.reshape(-1, width, across, 3).mean(2)

    each(average, (slice(top, min(top + 16, height)) for top in range(0, height, 16)))
    return reduced


def _box(field: np.ndarray, radius: int) -> np.ndarray:
    """Mean over the part of a square of 2 ``radius`` + 1 that is in the picture, along both axes."""
    for axis in (0, 1):
        size = field.shape[axis]
        total = np.concatenate(
            [np.zeros_like(field.take([0], axis), np.float64), np.cumsum(field, axis, dtype=np.float64)], axis
        )
        first = np.maximum(np.arange(size) - radius, 0)
        last = np.minimum(np.arange(size) + radius + 1, size)
        count = (last - first).reshape((-1, 1) if axis == 0 else (1, -1))
        field = ((total.take(last, axis) - total.take(first, axis)) / count).astype(np.float32)
    return field


def _stretched(field: np.ndarray, rows: slice, size: tuple[int, int], at: np.ndarray) -> np.ndarray:
    """A small field brought to ``size``, bilinearly: its values at positions ``at`` of some flattened rows."""
    top, bottom, down = _between(len(field), size[0], rows)
    left, right, across = _between(field.shape[1], size[1], slice(0, size[1]))
    upper = field[top] + (field[bottom] - field[top]) * down[:, None]
    row, column = np.divmod(at, size[1])
    stretched: np.ndarray = upper[row, left[column]]
    stretched += (upper[row, right[column]] - stretched) * across[column]
    return stretched


def _between(small: int, large: int, part: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    position = ((np.arange(part.start, part.stop) + 0.5) * (small / large) - 0.5).clip(0, small - 1)
    below = position.astype(np.intp)
    return below, np.minimum(below + 1, small - 1), (position - below).astype(np.float32)


def _along(value: np.ndarray, first: float, last: float) -> np.ndarray:
    """How far a value has come from ``first``, 0, to ``last``, 1."""
    return (value - np.float32(first)) / np.float32(last - first)


def _smooth(share: np.ndarray) -> np.ndarray:
    """Smooth step from 0 at 0 to 1 at 1."""
    t = np.clip(share, 0, 1)
    smooth: np.ndarray = t * t * (3 - 2 * t)
    return smooth
