"""Whether pixels show that no camera made them: without the traces of JPEG that photos carry through every later file.

Photos reach us through JPEG, and its blocks of 8 x 8 leave a step at every eighth column and row, also after the file
was saved again as something else. Pictures of a renderer that were never a JPEG have no such steps, and screenshots
and drawings consist of exactly equal neighbours. A photo that was scaled after its JPEG has no steps either; so this
is asked only of lossless files whose origin nothing else tells.
"""

from __future__ import annotations

import numpy as np

_EQUAL = 0.75  # share of neighbours that are exactly equal, from which on a picture was drawn
_GRAIN = 0.002  # the same, below which there is the grain of a sensor
_STEPS = 2.0  # standard deviations of a step at every eighth column or row, below which there is none
_FLAT = 24  # difference of three summed channels beyond which an edge, not a block, is seen
_FEWEST = 2000  # flat places that a judgement needs
_LARGEST = 1024  # pixels a side that are looked at


def looks_rendered(pixels: np.ndarray) -> bool:
    """Whether pixels (H, W, 3) uint8 were made by a program, not a camera; in doubt False."""
    pixels = _middle(pixels)
    equal = equal_neighbours(pixels)
    if equal > _EQUAL:
        return True
    if equal < _GRAIN:
        return False
    steps = block_steps(pixels)
    return steps is not None and steps < _STEPS


def equal_neighbours(pixels: np.ndarray) -> float:
    """Share of horizontal neighbours that are equal to the last bit, of those that are neither black nor white."""
    inside = (pixels.max(-1) < 250) & (pixels.min(-1) > 5)
    equal = (pixels[:, 1:] == pixels[:, :-1]).all(-1)[inside[:, 1:]]
    return float(equal.mean()) if equal.size >= _FEWEST else 0.0


def block_steps(pixels: np.ndarray) -> float | None:
    """How sure it is that steps at every eighth column and row are no chance, in standard deviations.

    None where too little of the picture is flat.
    """
    grey = pixels.sum(-1, dtype=np.int16)
    inside = (pixels.max(-1) < 248) & (pixels.min(-1) > 8)
    scores = [_steps(grey, inside), _steps(grey.T, inside.T)]
    told = [score for score in scores if score is not None]
    return sum(told) / len(told) ** 0.5 if told else None


def _steps(grey: np.ndarray, inside: np.ndarray) -> float | None:
    """The score of columns: how much larger the difference across a border of blocks is than beside it."""
    steps = np.abs(np.diff(grey, axis=1))
    excess = steps[:, 1:-1] - (steps[:, :-2] + steps[:, 2:]) / 2
    flat = (np.maximum(np.maximum(steps[:, :-2], steps[:, 2:]), steps[:, 1:-1]) < _FLAT) & inside[:, 1:-2]
    border = np.arange(excess.shape[1]) % 8 == 6  # between columns 7 and 8
    there, beside = excess[:, border][flat[:, border]], excess[:, ~border][flat[:, ~border]]
    if len(there) < _FEWEST // 8 or len(beside) < _FEWEST:
        return None
    spread = there.var() / len(there) + beside.var() / len(beside)
    return float((there.mean() - beside.mean()) / np.sqrt(spread)) if spread > 0 else None


def _middle(pixels: np.ndarray) -> np.ndarray:
    """The middle of a large picture, on its grid of blocks."""
    top, left = (max(0, (side - _LARGEST) // 2) // 8 * 8 for side in pixels.shape[:2])
    return pixels[top : top + _LARGEST, left : left + _LARGEST]
