"""The tone curves that the virtual camera draws from: measured ones, their spread in numbers, or the EMoR model.

A curve is an inverse response, (256,) linear values of the 8-bit codes from 0 to 1, one for all channels.
"""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike

import numpy as np

from hdrgan.light.response import camera_shapes, deviating_camera

CODES = np.linspace(0, 1, 256)
_JITTER = 0.3  # standard deviations of `camera_shapes` that a measured curve is varied by


def sigmoid_response(n: float, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """f(H) = (1 + sigma) H^n / (H^n + sigma), the curves of Eilertsen et al. 2017 (HDRCNN), H in [0, 1].

    No measured camera has such a curve; kept to read yardsticks that were rendered with it.
    """
    return lambda light: (1 + sigma) * light**n / (light**n + sigma)


class Responses:
    """Draws the tone curve of a camera.

    Args:
        table: an .npz of measured responses (``irradiance`` (K,), ``response`` (N, K); used are the rows whose
            ``split`` is "train", each as often as ``weight`` says, where it has these) or of the EMoR model (Grossberg
            and Nayar 2004: ``irradiance``, ``f0``, ``h``). None: the mean of measured cameras and its spread
            (`hdrgan.light.response`).

    Raises:
        ValueError: a table of neither kind.
    """

    def __init__(self, table: str | PathLike[str] | None = None):
        self._measured = np.empty((0, 256))
        self._weights = np.empty(0)
        self._emor: tuple[np.ndarray, ...] | None = None
        if table is None:
            return
        with np.load(table, allow_pickle=False) as read:
            if {"irradiance", "response"} <= set(read.files):
                chosen = read["split"] == "train" if "split" in read.files else np.ones(len(read["response"]), bool)
                if not chosen.any():
                    raise ValueError(f"{table} holds no response of the split train")
                curves = read["response"][chosen].astype(np.float64)
                self._measured = np.array([np.interp(CODES, curve, read["irradiance"]) for curve in curves])
                weights = read["weight"][chosen] if "weight" in read.files else np.ones(len(curves))
                self._weights = weights / weights.sum()
            elif {"irradiance", "f0", "h"} <= set(read.files):
                self._emor = tuple(read[key].astype(np.float64) for key in ("irradiance", "f0", "h"))
            else:
                raise ValueError(
                    f"{table} holds no camera responses: expected irradiance and response, "
                    f"or irradiance, f0 and h, found {', '.join(read.files)}"
                )

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """An inverse response (256,) that rises from 0 to 1."""
        if self._emor is not None:
            return _emor_response(rng, *self._emor)
        if not len(self._measured):
            return deviating_camera(rng.normal(size=2).clip(-2.5, 2.5))
        curve = self._measured[rng.choice(len(self._measured), p=self._weights)]
        curve = np.maximum.accumulate((curve * np.exp2(rng.normal(0, _JITTER, 2) @ camera_shapes())).clip(0, 1))
        curve[0], curve[-1] = 0, 1
        return curve


def _emor_response(
    rng: np.random.Generator, irradiance: np.ndarray, mean: np.ndarray, components: np.ndarray
) -> np.ndarray:
    while True:
        weights = rng.normal(0, (1.5, 0.8, 0.4, 0.25, 0.15))
        curve = mean + weights @ components[:5]
        if (np.diff(curve) > 0).all() and curve[0] > -0.02 and curve[-1] < 1.02:
            inverse = np.interp(CODES, curve.clip(0, 1), irradiance)
            inverse[0], inverse[-1] = 0, 1
            return np.asarray(inverse)
