"""A stand-in for a network: answers at once and counts its calls, for tests of the page around it."""

from __future__ import annotations

import numpy as np

from hdrgan.result import Result


class FakePipeline:
    """Every exposure is the photo, and the brightest pixels count as invented."""

    model_name = "fake"

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.calls: list[tuple[tuple[float, ...], str]] = []

    def set_threads(self) -> None:
        pass

    def __call__(self, photo, evs=(-4.0, -2.0, 0.0, 2.0, 4.0), response="auto", *, wait=True) -> Result:
        self.calls.append((tuple(evs), response))
        if self.error:
            raise self.error
        radiance = (np.asarray(photo) / np.float32(255)) ** np.float32(2.2)
        invented = (np.asarray(photo).max(-1) == 255).astype(np.float32)
        curve = np.linspace(0, 1, 256, dtype=np.float32) ** np.float32(2.2)
        return Result(photo, tuple(photo.pixels for _ in evs), tuple(evs), radiance, invented, curve)
