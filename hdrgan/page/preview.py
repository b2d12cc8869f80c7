"""Pictures for a screen, drawn at the size at which they are shown; full sizes are made on demand."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from hdrgan.files.photo import Photo, shared_tensor
from hdrgan.files.ultrahdr import save_ultrahdr
from hdrgan.light.fusion import finish
from hdrgan.light.parallel import each
from hdrgan.light.rendering import Exposures, RaisedLight, look_up, render
from hdrgan.light.shrink import shrunk
from hdrgan.result import Result

QUALITY = 86
"""JPEG quality of previews."""

STRIPE = 7
"""Width, in pixels, of the stripes that mark invented light."""


def fit(height: int, width: int, max_side: int) -> tuple[int, int]:
    """Shrink (height, width) in proportion until neither side is above ``max_side``; never enlarge.

    >>> fit(3000, 4000, 2048)
    (1536, 2048)
    """
    scale = min(1.0, max_side / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def screen_pixels(pixels: np.ndarray, max_side: int) -> np.ndarray:
    """Reduce a picture to what a screen shows.

    Args:
        pixels: (H, W, 3) uint8 or uint16, sRGB encoded.
        max_side: longest side of the answer in pixels.

    Returns:
        (h, w, 3) uint8; the very same pixels where they are 8-bit and fit.
    """
    if pixels.dtype == np.uint16:
        pixels = look_up(((np.arange(65536) * 255 + 32767) // 65535).astype(np.uint8), pixels)
    height, width = fit(pixels.shape[0], pixels.shape[1], max_side)
    if (height, width) == pixels.shape[:2]:
        return pixels
    return shrunk(shared_tensor(pixels), height, width, "bicubic")


def screen_radiance(radiance: np.ndarray, max_side: int) -> np.ndarray:
    """Reduce radiance by averaging light, so that a small lamp keeps its energy: (H, W, C) to (h, w, C) float32."""
    height, width = fit(radiance.shape[0], radiance.shape[1], max_side)
    if (height, width) == radiance.shape[:2]:
        return radiance

    def shrink(channel: int) -> np.ndarray:
        plane = Image.fromarray(np.ascontiguousarray(radiance[..., channel], dtype=np.float32))
        return np.asarray(plane.resize((width, height), Image.Resampling.BOX))

    return np.stack(each(shrink, range(radiance.shape[2])), axis=-1)


def save_preview(path: Path, pixels: np.ndarray) -> Path:
    """Write (H, W, 3) uint8 pixels as JPEG."""
    path.write_bytes(imagecodecs.jpeg8_encode(np.ascontiguousarray(pixels), level=QUALITY, subsampling="420"))
    return path


@dataclass
class Previews:
    """A result as a screen shows it: everything is drawn from light that was reduced once.

    Args:
        result: what to show.
        side: longest side in pixels.
        small, clipped: what `hdrgan.page.sketch.sketch` made of the photo, where that was done already.
    """

    result: Result
    side: int
    small: np.ndarray | None = None
    clipped: np.ndarray | None = None

    @cached_property
    def photo(self) -> np.ndarray:
        """(h, w, 3) uint8."""
        return screen_pixels(self.result.photo.pixels, self.side) if self.small is None else self.small

    @cached_property
    def _reduced(self) -> tuple[np.ndarray, np.ndarray]:
        result = self.result
        if isinstance(result.light, RaisedLight) and self.photo.shape != result.photo.pixels.shape:
            return result.light.reduced(self.photo, self.clipped)
        invented = screen_radiance(result.invented[..., None], self.side)[..., 0]
        return screen_radiance(result.radiance, self.side), invented

    @property
    def radiance(self) -> np.ndarray:
        """(h, w, 3) float32."""
        return self._reduced[0]

    @property
    def invented(self) -> np.ndarray:
        """(h, w) float32."""
        return self._reduced[1]

    def exposures(self) -> list[np.ndarray]:
        """One (h, w, 3) uint8 per EV; the photo's own pixels at EV 0, unless the network generated that too."""
        result = self.result
        if not isinstance(result.exposures, Exposures):
            return each(lambda frame: screen_pixels(frame, self.side), result.exposures)
        return list(render(self.photo, self.radiance, result.evs, result.response))

    def finished(self) -> np.ndarray:
        """(h, w, 3) uint8: see `hdrgan.light.fusion.finish`."""
        return finish(self.photo, self.radiance, self.invented, self.result.response)

    def save_hdr(self, path: Path) -> Path | None:
        """Write the Ultra HDR JPEG that screens with room above white show brighter; None where it is too small."""
        if min(self.photo.shape[:2]) < 8:
            return None
        radiance = np.ascontiguousarray(self.radiance)
        save_ultrahdr(path, Photo(self.photo), radiance, response=self.result.response)
        return path

    def save_marks(self, path: Path, notable: float) -> Path:
        """Write a PNG, transparent but for stripes over invented light; stripes are seen without telling colours."""
        height, width = self.invented.shape
        palette = np.zeros((height, width), np.uint8)
        stripe = np.add.outer(np.arange(height), np.arange(width)) // STRIPE % 2
        palette[self.invented >= notable] = 1
        palette[(self.invented >= notable) & (stripe == 1)] = 2
        image = Image.fromarray(palette, "P")
        image.putpalette([0, 0, 0, 255, 0, 190, 90, 0, 66])
        image.save(path, transparency=bytes([0, 150, 190]), optimize=False, compress_level=3)
        return path
