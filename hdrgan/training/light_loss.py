"""The loss of light above white: stops, exposures, and energy.

No single measure makes pictures right. A logarithm for each pixel learns medians: skies are right and lamps are lost.
The codes of darker exposures are what people look at. The energy of neighbourhoods, in linear light, is what a lamp
gives to a room; where in its neighbourhood the lamp is matters less.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.radiometry import encode
from hdrgan.light.response import mean_camera
from hdrgan.light.srgb import LUMINANCE_WEIGHTS
from hdrgan.models.radiance_generator import Light

EXPOSURES = (-2.0, -4.0)
"""Stops of the darker exposures that are compared."""

_SIDES = (8, 32, 128)  # pixels of the squares whose energy is compared; the whole picture is too
_LEAST_AREA = 64.0  # clipped pixels below which a photo counts for less than half
_LEAST_ERROR = 2e-3  # squared error of codes, 27 dB, below which nobody sees a difference
_WEIGHTS = {"stops": 1.0, "exposures": 0.35, "energy": 0.4}


def _luminance(light: Tensor) -> Tensor:
    return (light * light.new_tensor(LUMINANCE_WEIGHTS).view(1, 3, 1, 1)).sum(1, keepdim=True)


def light_losses(light: Light, mask: Tensor, stops: Tensor, known: Tensor) -> dict[str, Tensor]:
    """The terms of the loss.

    Args:
        light: what the network answers, (B, 3, H, W).
        mask: (B, 3, H, W) how surely each channel clipped.
        stops: (B, 3, H, W) log2 of the true light where it is above white, else 0.
        known: (B, 1, H, W) 1 where the truth is known, else 0.

    Returns:
        stops: error in stops, of each channel and of luminance. exposures: logarithm of the squared error of the codes
        at `EXPOSURES`, through the mean camera. energy: error of the logarithm of clipped light in squares. Scalars,
        means over photos, so that a batch in two halves teaches what it teaches as a whole.
    """
    above = light.above_white(mask).clamp(min=2**-8)
    weight = mask.amax(1, keepdim=True) * known
    area = weight.sum((1, 2, 3))  # (B,)
    # A photo with hardly any clipped pixels says little, so it counts for less.
    photo_weight = area / (area + _LEAST_AREA)
    true = torch.exp2(stops)
    bright, truly = _luminance(above), _luminance(true)

    def mean(error: Tensor) -> Tensor:
        """Mean over the clipped part of each photo: (B,)."""
        return (weight * error).mean(1).sum((1, 2)) / area.clamp(min=1e-3)

    by_stops = mean(F.smooth_l1_loss(above.log2(), stops, beta=2.0, reduction="none"))
    by_stops = by_stops + mean(F.smooth_l1_loss(bright.log2(), truly.log2(), beta=2.0, reduction="none"))

    curve = torch.as_tensor(np.asarray(mean_camera(), np.float32), device=stops.device)
    by_exposures = torch.zeros_like(area)
    for ev in EXPOSURES:
        squared = mean((encode(above * 2.0**ev, curve) - encode(true * 2.0**ev, curve)) ** 2)
        by_exposures = by_exposures + torch.log1p(squared / _LEAST_ERROR) / len(EXPOSURES)

    by_energy = torch.zeros_like(area)
    sides = [side for side in _SIDES if side <= min(stops.shape[2:])]
    for side in (*sides, 0):
        ours, theirs, covered = (
            F.avg_pool2d(plane, side) if side else plane.mean((2, 3), keepdim=True)
            for plane in (weight * bright, weight * truly, weight)
        )
        share = covered.clamp(min=1e-6)
        error = F.smooth_l1_loss(
            (ours / share).clamp(min=2**-8).log2(),
            (theirs / share).clamp(min=2**-8).log2(),
            beta=1.0,
            reduction="none",
        )
        counted = (covered > (0.1 if side else 1e-6)) * share.sqrt()
        by_energy = by_energy + (counted * error).sum((1, 2, 3)) / counted.sum((1, 2, 3)).clamp(min=1e-3) / (
            len(sides) + 1
        )
    terms = {"stops": by_stops, "exposures": by_exposures, "energy": by_energy}
    return {name: (photo_weight * term).mean() for name, term in terms.items()}


def weighted(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The terms of `light_losses`, each times its weight: their sum is the loss."""
    return {name: _WEIGHTS[name] * value for name, value in terms.items()}
