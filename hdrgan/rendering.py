"""Radiance and exposures of a whole photo, at the speed of a table and in the memory of a strip.

A sample that the photo measured depends on its code alone: its light and each of its exposures are tables with as many
entries as there are codes. Only samples that clipped are computed one by one, in strips, on all cores.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np

from hdrgan.image_io import Photo
from hdrgan.parallel import each

STRIP_SAMPLES = 1 << 18
"""Samples worked on at a time: what stays in the cache of a core."""

_GRID = 4096


class Camera:
    """A response curve, turned round: light to codes.

    Args:
        inverse_response: (K,) float32 ascending light of the codes 0 to peak, evenly spaced.
        peak: largest code: 255 or 65535.
    """

    def __init__(self, inverse_response: np.ndarray, peak: int):
        codes = np.linspace(0, peak, len(inverse_response), dtype=np.float32)
        # An even grid over the square root of light makes the curve a table; a search per pixel would be ten times
        # slower, and the root spends the grid where the eye looks.
        grid = np.linspace(0, 1, _GRID, dtype=np.float32)
        table = np.interp(grid.astype(np.float64) ** 2, inverse_response, codes)
        self._fine = np.append(table, table[-1]).astype(np.float32)
        self._dtype = np.uint8 if peak == 255 else np.uint16

    def expose(self, root: np.ndarray, ev: float) -> np.ndarray:
        """Codes of light whose square root is ``root``, ``ev`` stops brighter than the photo; shaped like it."""
        position = np.minimum(root * np.float32(2.0 ** (ev / 2)), 1) * np.float32(_GRID - 1)
        below = position.astype(np.int32)
        position -= below
        low = self._fine[below]
        codes: np.ndarray = (low + (self._fine[below + 1] - low) * position + np.float32(0.5)).astype(self._dtype)
        return codes


@dataclass(frozen=True)
class StoredLight:
    """Light that lies in memory pixel by pixel.

    Args:
        photo: whose light it is.
        response: (256,) float32, as in `hdrgan.pipeline.Result`.
        stored_radiance: (H, W, 3) float32.
        stored_invented: (H, W) float32.
    """

    photo: Photo
    response: np.ndarray
    stored_radiance: np.ndarray
    stored_invented: np.ndarray

    def radiance(self) -> np.ndarray:
        """(H, W, 3) float32."""
        return self.stored_radiance

    def invented(self) -> np.ndarray:
        """(H, W) float32."""
        return self.stored_invented

    def exposure(self, ev: float) -> np.ndarray:
        """(H, W, 3) codes like the photo's, ``ev`` stops brighter."""
        return _drawn(self.photo, self.stored_radiance, ev, self.response)


@dataclass(frozen=True)
class RaisedLight:
    """Light of a photo whose measured samples are linearised, and whose clipped ones are raised by a smooth gain.

    Args:
        photo: whose light it is.
        response: (256,) float32 inverse response, ascending from 0 to 1.
        gain: (h, w, 3) float32 stops by which a clipped channel is raised, >= 0; of any size, stretched bilinearly.
        clip_mask: from encoded values (N,) float32 in [0, 1] to how surely they have clipped, ascending; what it gives
            0 counts as measured.
    """

    photo: Photo
    response: np.ndarray
    gain: np.ndarray
    clip_mask: Callable[[np.ndarray], np.ndarray]
    _mask: np.ndarray = field(init=False, repr=False)
    _linear: np.ndarray = field(init=False, repr=False)
    _first: int = field(init=False, repr=False)
    _stretch: _Stretch = field(init=False, repr=False)

    def __post_init__(self) -> None:
        peak = peak_of(self.photo)
        codes = np.arange(peak + 1, dtype=np.float32) / np.float32(peak)
        mask = self.clip_mask(codes).astype(np.float32)
        tables = {
            "_mask": mask,
            "_linear": np.interp(codes, np.linspace(0, 1, len(self.response)), self.response).astype(np.float32),
            "_first": int(np.argmax(mask > 0)) if mask[-1] > 0 else peak + 1,
            "_stretch": _Stretch(self.gain, self.photo.height, self.photo.width),
        }
        for name, value in tables.items():
            object.__setattr__(self, name, value)

    def radiance(self) -> np.ndarray:
        """(H, W, 3) float32, made anew at every call."""
        radiance = look_up(self._linear, self.photo.pixels)

        def lift(rows: slice) -> None:
            at, codes, log_gain = self._clipped(rows)
            radiance[rows].reshape(-1)[at] = self._linear[codes] * np.exp2(log_gain)

        each(lift, strips(self.photo.height, self.photo.width))
        return radiance

    def invented(self) -> np.ndarray:
        """(H, W) float32, made anew at every call."""
        invented = np.zeros(self.photo.pixels.shape[:2], np.float32)

        def mark(rows: slice) -> None:
            at, _, log_gain = self._clipped(rows)
            if at.size:
                pixel = at // 3
                first = np.flatnonzero(np.diff(pixel, prepend=-1))  # where the samples of another pixel begin
                most = np.maximum.reduceat(log_gain, first)
                invented[rows].reshape(-1)[pixel[first]] = 1 - np.exp2(-most)

        each(mark, strips(self.photo.height, self.photo.width))
        return invented

    def exposure(self, ev: float) -> np.ndarray:
        """(H, W, 3) codes like the photo's, ``ev`` stops brighter; made anew at every call."""
        peak = peak_of(self.photo)
        camera = Camera(self.response, peak)
        root = np.sqrt(self._linear)
        table = camera.expose(root, ev)
        frame = look_up(table, self.photo.pixels)
        if self._first > peak or table[self._first] == peak:
            return frame  # all that clipped is white in this exposure, however bright it is

        def lift(rows: slice) -> None:
            at, codes, log_gain = self._clipped(rows)
            frame[rows].reshape(-1)[at] = camera.expose(root[codes] * np.exp2(log_gain / 2), ev)

        each(lift, strips(self.photo.height, self.photo.width))
        return frame

    def _clipped(self, rows: slice) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Where in the flattened strip samples clipped, their codes, and the stops by which they are raised."""
        samples = self.photo.pixels[rows].reshape(-1)
        at = np.flatnonzero(samples >= self._first)
        codes = samples[at]
        return at, codes, self._mask[codes] * self._stretch(rows, at)


class _Stretch:
    """A small field (h, w, 3) seen at any samples of a large picture (H, W, 3), interpolated bilinearly.

    Pixel centres are aligned as in ``torch.nn.functional.interpolate(mode="bilinear", align_corners=False)``.
    """

    def __init__(self, small: np.ndarray, height: int, width: int):
        self._small = np.ascontiguousarray(small, np.float32).reshape(len(small), -1)  # (h, w * 3)
        self._width = width
        self._top, self._bottom, self._down = _neighbours(len(small), height)
        left, right, across = _neighbours(small.shape[1], width)
        channels = np.arange(3)
        self._left, self._right = ((3 * side[:, None] + channels).reshape(-1) for side in (left, right))
        self._across = np.repeat(across, 3)

    def __call__(self, rows: slice, at: np.ndarray) -> np.ndarray:
        """Values at the ascending sample positions ``at`` of the flattened ``rows``."""
        if not at.size:
            return np.empty(0, np.float32)
        upper, lower = self._small[self._top[rows]], self._small[self._bottom[rows]]
        upper += (lower - upper) * self._down[rows, None]  # (rows, w * 3)
        length = 3 * self._width
        starts = np.arange(len(upper) + 1) * length
        row = np.repeat(np.arange(len(upper)), np.diff(np.searchsorted(at, starts)))
        column = at - row * length
        row *= upper.shape[1]
        flat = upper.reshape(-1)
        values: np.ndarray = flat[row + self._left[column]]
        values += (flat[row + self._right[column]] - values) * self._across[column]
        return values


def _neighbours(small: int, large: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """For each of ``large`` positions the two of ``small`` that it lies between, and how far it is to the second."""
    position = ((np.arange(large) + 0.5) * (small / large) - 0.5).clip(0, small - 1)
    below = position.astype(np.intp)
    return below, np.minimum(below + 1, small - 1), (position - below).astype(np.float32)


class Exposures(Sequence[np.ndarray]):
    """Exposures that are drawn when first looked at and kept from then on: a tuple of (H, W, 3) arrays to its user.

    Args:
        evs: stops.
        draw: from an EV to an exposure.
    """

    def __init__(self, evs: Sequence[float], draw: Callable[[float], np.ndarray]):
        self._evs, self._draw = tuple(evs), draw
        self._kept: dict[int, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self._evs)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[np.ndarray, ...]: ...

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return tuple(self[k] for k in range(*index.indices(len(self))))
        place = range(len(self))[index]
        if place not in self._kept:
            self._kept[place] = self._draw(self._evs[place])
        return self._kept[place]

    def passing(self, index: int) -> np.ndarray:
        """One exposure, drawn and not kept, unless it is there already."""
        return self._kept[index] if index in self._kept else self._draw(self._evs[index])


def render(
    photo: Photo, radiance: np.ndarray, evs: Sequence[float], inverse_response: np.ndarray, *, keep_photo: bool = True
) -> tuple[np.ndarray, ...]:
    """Draw exposures of radiance with a camera's curve.

    Args:
        photo: gives the number of bits, and itself at EV 0 unless ``keep_photo`` is off.
        radiance: (H, W, 3) float32, 1.0 = white.
        evs: stops.
        inverse_response: (256,) as in `hdrgan.pipeline.Result`.

    Returns:
        One (H, W, 3) uint8 or uint16 array per EV.
    """
    return tuple(
        photo.pixels if keep_photo and ev == 0 else _drawn(photo, radiance, ev, inverse_response) for ev in evs
    )


def _drawn(photo: Photo, radiance: np.ndarray, ev: float, inverse_response: np.ndarray) -> np.ndarray:
    camera = Camera(inverse_response, peak_of(photo))
    frame = np.empty_like(photo.pixels)

    def draw(rows: slice) -> None:
        frame[rows] = camera.expose(np.sqrt(radiance[rows]), ev)

    each(draw, strips(*frame.shape[:2]))
    return frame


def look_up(table: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """``table[codes]`` on all cores, without a copy of ``codes`` in machine integers.

    Args:
        table: (256,) or (65536,), as many entries as ``codes`` has values.
        codes: uint8 or uint16, contiguous, of any shape.

    Returns:
        An array like ``codes`` with the type of ``table``.
    """
    found = np.empty(codes.shape, table.dtype)
    source, target = codes.reshape(-1), found.reshape(-1)
    whole = source.size
    if codes.dtype == np.uint8:
        # Two 8-bit codes at a time: half the look-ups, in a table that still fits the cache.
        pairs = np.arange(1 << 16, dtype=np.uint16).view(np.uint8)
        even = whole - whole % 2
        target[even:] = table[source[even:]]
        table = table[pairs].view(f"u{2 * table.itemsize}")
        source, target = source[:even].view(np.uint16), target[:even].view(table.dtype)

    def fill(part: slice) -> None:
        np.take(table, source[part].astype(np.intp), out=target[part], mode="clip")

    step = STRIP_SAMPLES // 2
    each(fill, [slice(start, start + step) for start in range(0, len(source), step)])
    return found


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of a picture with three channels, cut into parts of about `STRIP_SAMPLES`."""
    rows = max(1, STRIP_SAMPLES // (3 * width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def peak_of(photo: Photo) -> int:
    """The largest code of a photo: 255 or 65535."""
    return 255 if photo.bits == 8 else 65535
