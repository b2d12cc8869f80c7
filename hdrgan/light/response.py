"""The responses that photos are read with: the mean of measured cameras, and how cameras spread around it.

No photo tells its camera's curve: cameras of one model differ as much as models do, by picture style and processing. So
a photograph is read with the mean of measured cameras unless its own curve is known (`hdrgan calibrate`). A render has
the sRGB curve. The numbers were fitted to 48 exposure brackets of 25 sources; ``recipes/camera_curves.py`` makes them.
"""

from __future__ import annotations

import json
from functools import cache
from importlib import resources

import numpy as np


@cache
def _table() -> tuple[np.ndarray, np.ndarray]:
    read = json.loads(resources.files("hdrgan.light").joinpath("camera_curves.json").read_text(encoding="utf-8"))
    mean, shapes = (np.asarray(read[key], np.float64) for key in ("mean", "shapes"))
    mean.setflags(write=False)
    shapes.setflags(write=False)
    return mean, shapes


def mean_camera() -> np.ndarray:
    """The inverse response of the mean camera: (256,) float64 linear values of the 8-bit codes, from 0 to 1."""
    return _table()[0]


def camera_shapes() -> np.ndarray:
    """How cameras deviate from the mean: (2, 256) stops at each code, each row for one standard deviation.

    The first is a common scale of what lies below white (87 % of the spread), the second sets the toe against the
    middle tones (11 %).
    """
    return _table()[1]


def deviating_camera(deviations: np.ndarray) -> np.ndarray:
    """The inverse response of a camera that deviates from the mean.

    Args:
        deviations: (2,) standard deviations along each of `camera_shapes`.

    Returns:
        (256,) float64, ascending from 0 to 1.
    """
    curve = mean_camera() * np.exp2(deviations @ camera_shapes())
    curve = np.maximum.accumulate(curve.clip(0, 1))
    curve[0], curve[-1] = 0, 1
    return curve
