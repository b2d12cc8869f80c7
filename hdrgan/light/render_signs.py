"""Whether pixels show that no camera made them: without the traces of JPEG that photos carry through every later file.

Photos reach us through JPEG, whose coefficients are multiples of a step, and stay near them when the file is saved
again as something else. Pictures of a renderer that were never a JPEG have coefficients of any size, and drawings
consist of exactly equal neighbours. A photo that was scaled or cropped after its JPEG has no such steps either; so this
is asked only of lossless files whose origin nothing else tells. ``recipes/render_signs.py`` measures how often it errs.
"""

from __future__ import annotations

import numpy as np

from hdrgan.light.srgb import LUMA_WEIGHTS

_EQUAL = 0.75  # share of neighbours that are exactly equal, from which on a picture was drawn
_GRAIN = 0.002  # the same, below which there is the grain of a sensor
_STEPS = 18.0  # standard deviations; renders of the split train reach 11, JPEGs of photos begin at 29
_FEWEST = 2000  # neighbours that a judgement needs
_BLOCKS = 60  # blocks, and coefficients of a kind, that a judgement needs
_LARGEST = 1024  # pixels a side that are looked at
_LARGEST_STEP = 24
_PLACES = [(u, v) for u in range(6) for v in range(6) if 1 <= u + v <= 7]
_WITNESSES = 5  # places that must show it: fine quality rounds low frequencies by nothing, coarse drops high ones
_K = np.arange(8)
_COSINES = np.cos(np.pi * (2 * _K + 1) * _K[:, None] / 16) * np.where(_K == 0, np.sqrt(1 / 8), 0.5)[:, None]
_WAVES = np.stack([np.outer(_COSINES[u], _COSINES[v]).reshape(-1) for u, v in _PLACES], 1)  # (64, places)


def looks_rendered(pixels: np.ndarray) -> bool:
    """Whether pixels (H, W, 3) uint8 were made by a program, not a camera; in doubt False."""
    # The middle of a large picture, on its grid of blocks.
    top, left = (max(0, (side - _LARGEST) // 2) // 8 * 8 for side in pixels.shape[:2])
    pixels = pixels[top : top + _LARGEST, left : left + _LARGEST]
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
    """How sure it is that the coefficients of 8 x 8 blocks are multiples of some step, in standard deviations.

    The fifth surest of the lower frequencies of luma. None where too few blocks are neither black nor white.
    """
    height, width = (side // 8 * 8 for side in pixels.shape[:2])
    luma = pixels[:height, :width] @ np.array(LUMA_WEIGHTS)
    blocks = luma.reshape(height // 8, 8, width // 8, 8).transpose(0, 2, 1, 3).reshape(-1, 8, 8)
    blocks = blocks[(blocks.max((1, 2)) < 250) & (blocks.min((1, 2)) > 5)]
    if len(blocks) < _BLOCKS:
        return None
    coefficients = blocks.reshape(-1, 64) @ _WAVES
    return sorted(map(_score, coefficients.T), reverse=True)[_WITNESSES - 1]


def _score(coefficients: np.ndarray) -> float:
    best = 0.0
    for step in range(2, _LARGEST_STEP + 1):
        large = coefficients[np.abs(coefficients) > 0.75 * step]  # those near 0 are near a multiple of any step
        if len(large) < _BLOCKS:
            break
        best = max(best, float(np.cos(2 * np.pi / step * large).mean() * np.sqrt(2 * len(large))))
    return best
