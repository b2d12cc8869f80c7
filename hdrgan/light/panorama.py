"""Whether a picture is a panorama that closes around the viewer."""

from __future__ import annotations

import numpy as np

_RATIO = 0.01  # how far width / height may be from 2
_LEAST_HEIGHT = 64  # pixels; of smaller pictures the edges tell too little


def is_wrapped(pixels: np.ndarray) -> bool:
    """Whether (H, W, 3) codes are equirectangular: twice as wide as high, and the left edge continues the right one.

    The step across the seam is compared with the steps between the columns on both sides of it, and with what any two
    distant columns differ by.
    """
    height, width = pixels.shape[:2]
    if abs(width / max(height, 1) - 2) > _RATIO or height < _LEAST_HEIGHT:
        return False
    columns = pixels[:, [-3, -2, -1, 0, 1, 2, width // 3, 2 * width // 3]].astype(np.float32)  # (H, 8, 3)

    def step(first: int, second: int) -> float:
        return float(np.abs(columns[:, first] - columns[:, second]).mean())

    beside = max(step(k, k + 1) for k in (0, 1, 3, 4))
    apart = min(step(2, 6), step(2, 7), step(3, 6), step(3, 7))
    return step(2, 3) <= 2 * beside + 0.5 and step(2, 3) < 0.5 * apart
