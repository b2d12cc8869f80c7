"""Radiance and exposures of a whole photo, at the speed of a table and in the memory of a strip.

A sample that the photo measured depends on its code alone: its light and each of its exposures are tables with as many
entries as there are codes. Only samples that clipped are computed one by one, in strips, on all cores.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from hdrgan.light.parallel import each
from hdrgan.light.quiet import near_white, rolled_off, without_noise
from hdrgan.light.shrink import shrunk
from hdrgan.light.srgb import largest_channel

STRIP_SAMPLES = 1 << 19
"""Samples in one strip: few enough for the cache of a core, enough to outweigh the cost of starting a thread."""

_KEPT_SAMPLES = 32_000_000  # clipped samples of a photo whose light is kept between exposures: 8 bytes each
_DARKEST = -24.0  # stops below white from which on there is nothing but black, in 16 bits and with any curve
_STEPS = {255: 1024, 65535: 8192}  # a stop is some 80 codes of 8 bits at most, and 20,000 of 16


class Camera:
    """The inverse of a sampled response: light to codes, by a table over the logarithm of light.

    Args:
        inverse_response: (K,) float32 ascending light of the codes 0 to peak, evenly spaced.
        peak: largest code: 255 or 65535.
    """

    def __init__(self, inverse_response: np.ndarray, peak: int):
        self._steps = _STEPS[peak]
        middles = (np.arange(-_DARKEST * self._steps) + 0.5) / self._steps + _DARKEST
        codes = np.interp(np.exp2(middles), inverse_response, np.linspace(0, peak, len(inverse_response)))
        codes[0] = 0  # stands for everything darker as well
        # One more, for white and everything brighter.
        self._table = np.append(codes, peak).round().astype(np.uint8 if peak == 255 else np.uint16)

    def expose(self, stops: np.ndarray, ev: float) -> np.ndarray:
        """Codes of light given in stops relative to white, ``ev`` stops brighter than the photo; of the same shape."""
        position = (stops + np.float32(ev - _DARKEST)) * np.float32(self._steps)
        codes: np.ndarray = np.take(self._table, position.astype(np.intp), mode="clip")
        return codes


def stops_of(light: np.ndarray) -> np.ndarray:
    """Stops of linear light relative to white, as float32; black is given a number that is dark enough."""
    # A logarithm and an exponential to the base e are several times faster than those to the base 2.
    stops: np.ndarray = np.log(np.maximum(light, np.float32(2.0**-60))) * np.float32(1 / np.log(2))
    return stops


def light_of(stops: np.ndarray) -> np.ndarray:
    """Undo `stops_of`."""
    light: np.ndarray = np.exp(stops * np.float32(np.log(2)))
    return light


@dataclass(frozen=True)
class StoredLight:
    """Light that is held in memory, pixel by pixel.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes of the photo whose light it is.
        response: (256,) float32, as in `hdrgan.result.Result`.
        stored_radiance: (H, W, 3) float32.
        stored_invented: (H, W) float32.
    """

    pixels: np.ndarray
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
        return _drawn(self.pixels, self.stored_radiance, ev, self.response)


class RaisedLight:
    """Light of a photo whose measured samples are linearised, and whose clipped ones are raised by a smooth gain.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes of the photo whose light it is.
        response: (256,) float32 inverse response, ascending from 0 to 1.
        factor: (h, w, 3) float32 by which the light of a clipped channel is multiplied; of any size, stretched
            bilinearly, in linear light, so that small lamps keep their energy. Or a function that computes it, called
            once, when clipped light is first asked for.
        clip_mask: from encoded values (N,) float32 in [0, 1] to how surely they have clipped, ascending; what it gives
            0 counts as measured.
        photographed: whether what nearly clipped has the noise of a camera and its JPEG, which is to be taken out.
        noisy: whether noise is to be taken out of shadows in brighter exposures.
        wrapped: whether the photo's left edge continues its right one.
    """

    def __init__(
        self,
        pixels: np.ndarray,
        response: np.ndarray,
        factor: np.ndarray | Callable[[], np.ndarray],
        clip_mask: Callable[[np.ndarray], np.ndarray],
        *,
        photographed: bool = False,
        noisy: bool = False,
        wrapped: bool = False,
    ):
        self._noisy, self._wrapped = noisy, wrapped
        peak = peak_of(pixels)
        self.pixels, self.response = pixels, response

        def tables(most: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            codes = np.arange(most + 1, dtype=np.float32) / np.float32(most)
            linear = np.interp(codes, np.linspace(0, 1, len(response)), response).astype(np.float32)
            return linear, stops_of(linear), clip_mask(codes).astype(np.float32)

        self._linear, self._stops, self._mask = tables(peak)
        # Where nothing clipped, nothing near white is touched. In a panorama the step that JPEG leaves where it closes
        # would stand out, and its light gains nothing.
        calm = photographed and not wrapped and pixels.max(initial=0) == peak
        self._fine = tables(65535)[1:] if calm else None  # of codes that are means of others
        self._first = int(np.argmax(self._mask > 0)) if self._mask[-1] > 0 else peak + 1  # code that counts as clipped
        self._factor = factor
        self._strips = list(strips(*pixels.shape[:2]))
        self._counts: list[int] | None = None  # clipped samples of each strip
        self._kept: dict[bool, dict[int, tuple[np.ndarray, np.ndarray]]] = {}
        self._quiet: np.ndarray | None = None
        # What brighter exposures need is computed beside what darker ones need.
        self._locks = {"clipped": threading.Lock(), "quiet": threading.Lock()}

    def __getstate__(self) -> dict[str, Any]:
        """What goes to another process: a lock cannot, and what is kept can be made there as well."""
        return {**self.__dict__, "_factor": self.factor(), "_kept": {}, "_locks": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= {**state, "_locks": {"clipped": threading.Lock(), "quiet": threading.Lock()}}

    def factor(self) -> np.ndarray:
        """(h, w, 3) float32 by which the light of a clipped channel is multiplied."""
        with self._locks["clipped"]:
            if callable(self._factor):
                self._factor = self._factor()
            return self._factor

    def radiance(self) -> np.ndarray:
        """(H, W, 3) float32, a new array at every call."""
        radiance = look_up(self._linear, self.pixels)

        def lift(rows: slice, at: np.ndarray, stops: np.ndarray) -> None:
            radiance[rows].reshape(-1)[at] = light_of(stops)

        self._for_clipped(lift, calm=self._fine is not None)
        return radiance

    def invented(self) -> np.ndarray:
        """(H, W) float32, a new array at every call."""
        invented = np.zeros(self.pixels.shape[:2], np.float32)

        def mark(rows: slice, at: np.ndarray, stops: np.ndarray) -> None:
            pixel, share = self._made_up(rows, at, stops)
            invented[rows].reshape(-1)[pixel] = share

        self._for_clipped(mark)
        return invented

    def _made_up(self, rows: slice, at: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which pixels of a strip have clipped samples, and what share of their light is invented."""
        if not at.size:
            return at, np.empty(0, np.float32)
        gain = stops - self._stops[self.pixels[rows].reshape(-1)[at]]
        pixel = at // 3
        first = np.flatnonzero(np.diff(pixel, prepend=-1))  # where the samples of another pixel begin
        most = np.maximum(np.maximum.reduceat(gain, first), 0)
        return pixel[first], 1 - light_of(-most)

    def clipped_share(self, height: int, width: int) -> np.ndarray:
        """How much of each place of a smaller picture clipped: (height, width, 3) float32; it needs no network."""
        import torch

        # The few codes between measured and clipped count as they would at a gain of two stops.
        shares = 255 * self._linear * (4**self._mask - 1) / 3
        levels = look_up(shares.round().astype(np.uint8), self.pixels)
        return shrunk(torch.from_numpy(levels), height, width) / np.float32(255)

    def reduced(self, pixels: np.ndarray, share: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Radiance and invented share at a smaller size, without those of all pixels.

        How much of each place clipped is averaged, and raised there, so that a small lamp keeps its energy. The rest is
        that of the small picture's codes.

        Args:
            pixels: (h, w, 3) uint8 codes of the photo, reduced; neither side is larger than the photo's.
            share: what `clipped_share` gives for that size, where that was done already.

        Returns:
            (h, w, 3) and (h, w) float32.
        """
        low, narrow = pixels.shape[:2]
        share = self.clipped_share(low, narrow) if share is None else share
        stretch = _Stretch(self.factor(), low, narrow)
        linear = np.interp(np.linspace(0, 1, peak_of(pixels) + 1), np.linspace(0, 1, len(self.response)), self.response)
        radiance, invented = look_up(linear.astype(np.float32), pixels), np.zeros((low, narrow), np.float32)

        def lift(rows: slice) -> None:
            clipped = share[rows].reshape(-1)
            at = np.flatnonzero(clipped)
            factor, made_up = stretch(rows, at), np.zeros_like(clipped)
            radiance[rows].reshape(-1)[at] += clipped[at] * (factor - 1)
            made_up[at] = clipped[at] * (1 - 1 / np.maximum(factor, 1))
            invented[rows] = largest_channel(made_up.reshape(share[rows].shape))

        each(lift, strips(low, narrow))
        return radiance, invented

    def exposure(self, ev: float) -> np.ndarray:
        """(H, W, 3) codes like the photo's, ``ev`` stops brighter; a new array at every call."""
        peak = peak_of(self.pixels)
        camera = Camera(self.response, peak)
        table = camera.expose(self._stops, ev)
        frame = self._brightened(camera, ev) if ev > 0 and self._noisy else look_up(table, self.pixels)

        def lift(rows: slice, at: np.ndarray, stops: np.ndarray) -> None:
            frame[rows].reshape(-1)[at] = camera.expose(stops, ev)

        # In a bright exposure all that clipped is white, however bright it is.
        if self._first <= peak and table[self._first] < peak:
            self._for_clipped(lift, calm=self._fine is not None)
        return frame

    def _brightened(self, camera: Camera, ev: float) -> np.ndarray:
        """What did not clip, ``ev`` stops brighter, without its noise."""
        with self._locks["quiet"]:
            if self._quiet is None:
                self._quiet = without_noise(self.pixels, self._wrapped)
        quiet = self._quiet
        codes = np.linspace(0, 1, 65536)
        light = np.interp(codes, np.linspace(0, 1, len(self.response)), self.response).astype(np.float32)
        frame = look_up(camera.expose(stops_of(light), ev), quiet)
        gained = light * np.float32(2.0**ev)

        def roll_off(rows: slice) -> None:
            over = largest_channel(gained[quiet[rows]] > 1)
            if over.any():
                frame[rows][over] = camera.expose(stops_of(rolled_off(gained[quiet[rows][over]])), 0.0)

        each(roll_off, self._strips)
        return frame

    def _for_clipped(self, work: Callable[[slice, np.ndarray, np.ndarray], None], *, calm: bool = False) -> None:
        """Call ``work(rows, at, stops)`` for each strip with clipped samples: where they are, and their light.

        ``calm`` takes the noise out of it, that of what nearly clipped.
        """
        if self._first > peak_of(self.pixels):
            return
        stretch = _Stretch(self.factor(), *self.pixels.shape[:2])
        with self._locks["clipped"]:
            if self._counts is None:
                self._counts = each(self._count, self._strips)
            some = [index for index, count in enumerate(self._counts) if count]
            if calm not in self._kept and sum(self._counts) <= _KEPT_SAMPLES:
                stops = each(lambda index: self._clipped(self._strips[index], stretch, calm), some)
                self._kept[calm] = dict(zip(some, stops, strict=True))
        kept = self._kept.get(calm)

        def do(index: int) -> None:
            rows = self._strips[index]
            work(rows, *(kept[index] if kept is not None else self._clipped(rows, stretch, calm)))

        each(do, some)

    def _count(self, rows: slice) -> int:
        return int(np.count_nonzero(self.pixels[rows] >= self._first))

    def _clipped(self, rows: slice, stretch: _Stretch, calm: bool) -> tuple[np.ndarray, np.ndarray]:
        """Where in the flattened strip samples clipped (int32), and the stops of their light (float32)."""
        samples = self.pixels[rows].reshape(-1)
        at = np.flatnonzero(samples >= self._first)
        codes, stops, mask = samples[at], self._stops, self._mask
        if calm and self._fine is not None and at.size:  # which is there whenever calm is asked for
            codes, (stops, mask) = near_white(self.pixels, rows, at), self._fine
        return at.astype(np.int32), stops[codes] + mask[codes] * stops_of(stretch(rows, at))


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
    """For each of ``large`` positions its two neighbours among ``small``, and the weight of the second."""
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

    def __getitem__(self, index: int | slice) -> np.ndarray | tuple[np.ndarray, ...]:
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
    pixels: np.ndarray,
    radiance: np.ndarray,
    evs: Sequence[float],
    inverse_response: np.ndarray,
    *,
    keep_photo: bool = True,
) -> tuple[np.ndarray, ...]:
    """Draw exposures of radiance with a camera's curve.

    Args:
        pixels: (H, W, 3) codes of the photo: they give the number of bits, and themselves at EV 0 unless ``keep_photo``
            is off.
        radiance: (H, W, 3) float32, 1.0 = white.
        evs: stops.
        inverse_response: (256,) as in `hdrgan.result.Result`.

    Returns:
        One (H, W, 3) uint8 or uint16 array per EV.
    """
    return tuple(pixels if keep_photo and ev == 0 else _drawn(pixels, radiance, ev, inverse_response) for ev in evs)


def _drawn(pixels: np.ndarray, radiance: np.ndarray, ev: float, inverse_response: np.ndarray) -> np.ndarray:
    camera = Camera(inverse_response, peak_of(pixels))
    frame = np.empty_like(pixels)

    def draw(rows: slice) -> None:
        frame[rows] = camera.expose(stops_of(radiance[rows]), ev)

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

    # Machine integers take eight times the room; smaller parts spend their time on the interpreter's lock.
    step = STRIP_SAMPLES // 2
    each(fill, [slice(start, start + step) for start in range(0, len(source), step)])
    return found


def strips(height: int, width: int) -> Iterator[slice]:
    """Rows of a picture with three channels, cut into parts of about `STRIP_SAMPLES`."""
    rows = max(1, STRIP_SAMPLES // (3 * width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def peak_of(pixels: np.ndarray) -> int:
    """The largest code of uint8 or uint16 pixels: 255 or 65535."""
    return int(np.iinfo(pixels.dtype).max)
