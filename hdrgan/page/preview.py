"""Pictures for a screen: bounded and 8-bit, so that a page shows them at once while full sizes are made on demand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from hdrgan.files.write import save_jpeg, save_png


def fit(height: int, width: int, max_side: int) -> tuple[int, int]:
    """Shrink (height, width) in proportion until neither side is above ``max_side``; never enlarge.

    >>> fit(3000, 4000, 2048)
    (1536, 2048)
    """
    if max_side < 1:
        raise ValueError(f"max_side must be at least 1 pixel, got {max_side}")
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
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    height, width = fit(pixels.shape[0], pixels.shape[1], max_side)
    if (height, width) == pixels.shape[:2]:
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0))


def screen_radiance(radiance: np.ndarray, max_side: int) -> np.ndarray:
    """Reduce radiance by averaging light, so that a small lamp keeps its energy: (H, W, C) to (h, w, C) float32."""
    height, width = fit(radiance.shape[0], radiance.shape[1], max_side)
    if (height, width) == radiance.shape[:2]:
        return radiance
    planes = [
        Image.fromarray(np.ascontiguousarray(radiance[..., channel], dtype=np.float32)).resize(
            (width, height), Image.Resampling.BOX
        )
        for channel in range(radiance.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in planes], axis=-1)


def save_frames(
    folder: Path, stem: str, exposures: Sequence[np.ndarray], evs: Sequence[float], max_side: int
) -> list[Path]:
    """Write exposures as lossless previews ``<stem>_ev-4.png`` to ``<stem>_ev+4.png``; the paths in the same order."""
    paths = []
    for pixels, ev in zip(exposures, evs, strict=True):
        path = folder / f"{stem}_ev{ev:+g}.png"
        save_png(path, screen_pixels(pixels, max_side))
        paths.append(path)
    return paths


def save_view(path: Path, pixels: np.ndarray, max_side: int) -> Path:
    """Write one picture (H, W, 3), sRGB encoded, as a bounded JPEG that every browser can show."""
    save_jpeg(path, screen_pixels(pixels, max_side), quality=90)
    return path
