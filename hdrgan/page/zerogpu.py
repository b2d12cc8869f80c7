"""A graphics card for the seconds that a network works: ZeroGPU, hardware that Spaces of the Hugging Face Hub can have.

What is decorated with `spaces.GPU` runs there in a forked process that holds the card; arguments and results travel
pickled. Where the package `spaces` is missing, or the hardware is another, everything stays in this process.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from hdrgan.files.photo import Photo
from hdrgan.files.response_choice import Response
from hdrgan.light.parallel import forget_threads
from hdrgan.result import Result

try:
    import spaces  # before any pipeline is loaded: there it lets torch see a card that this process does not hold
except ImportError:
    spaces = None

_SECONDS, _SECONDS_A_MEGAPIXEL, _MOST_SECONDS = 15.0, 0.5, 60.0
_MAIN = os.getpid()


class Compute(Protocol):
    """From a model's name and what it is asked for to a result."""

    def __call__(self, model: str, photo: Photo, evs: Sequence[float], response: Response) -> Result: ...


def on_gpu(compute: Compute) -> Compute:
    """Let ``compute`` borrow a card for each call, where there is one to borrow; elsewhere ``compute`` itself."""
    if spaces is None:
        return compute

    def borrowed(model: str, photo: Photo, evs: Sequence[float], response: Response) -> Result:
        if os.getpid() != _MAIN:
            forget_threads()
        return compute(model, photo, evs, response)

    decorate: Callable[..., Any] = spaces.GPU
    decorated: Compute = decorate(borrowed, duration=gpu_seconds)
    return decorated


def gpu_seconds(model: str, photo: Photo, evs: Sequence[float], response: Response) -> float:
    """Seconds to ask for: whoever asks for few waits less, and what is not used is not counted."""
    return min(_MOST_SECONDS, _SECONDS + _SECONDS_A_MEGAPIXEL * photo.width * photo.height / 1e6)
