"""What light above white is judged by while it is learnt: stops, exposures, and energy.

No single measure makes pictures right. A logarithm for each pixel learns medians: skies are right and lamps are lost.
The codes of darker exposures are what people look at. The energy of neighbourhoods, in linear light, is what a lamp
gives to a room; where in its neighbourhood the lamp is matters less.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.radiometry import LUMINANCE_WEIGHTS, encode
from hdrgan.light.response import mean_camera
from hdrgan.models.radiance_generator import Light

EXPOSURES = (-2.0, -4.0)
"""Stops of the darker exposures that are compared."""

_SIDES = (8, 32, 128)  # pixels of the squares whose energy is compared; the whole picture is too
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
        at `EXPOSURES`, through the mean camera. energy: error of the logarithm of clipped light in squares. Scalars.
    """
    above = light.above_white(mask)
    weight = mask.amax(1, keepdim=True) * known
    total = weight.sum().clamp(min=1)
    told = above.clamp(min=2**-8).log2()
    true = torch.exp2(stops)
    bright, truly = _luminance(above).clamp(min=2**-8), _luminance(true)
    by_stops = (weight * F.smooth_l1_loss(told, stops, beta=2.0, reduction="none")).sum() / (3 * total)
    by_stops = (
        by_stops + (weight * F.smooth_l1_loss(bright.log2(), truly.log2(), beta=2.0, reduction="none")).sum() / total
    )

    curve = torch.as_tensor(np.asarray(mean_camera(), np.float32), device=stops.device)
    area = weight.sum((1, 2, 3))
    seen = area > 16  # of fewer pixels the error of an exposure says nothing
    by_exposures = stops.new_zeros(())
    for ev in EXPOSURES:
        error = (encode(above * 2.0**ev, curve) - encode(true * 2.0**ev, curve)) ** 2
        of_photo = (weight * error).sum((1, 2, 3)) / (3 * area).clamp(min=1)
        by_exposures = by_exposures + (torch.log(of_photo + 2e-3) * seen).sum() / seen.sum().clamp(min=1)

    by_energy = stops.new_zeros(())
    sides = [side for side in _SIDES if side <= min(stops.shape[2:])]
    for side in (*sides, 0):
        pooled = [
            F.avg_pool2d(plane, side) if side else plane.mean((2, 3), keepdim=True)
            for plane in (weight * bright, weight * truly, weight)
        ]
        covered = (pooled[2] > (0.1 if side else 1e-3)) * pooled[2].clamp(min=1e-6).sqrt()
        ratio = F.smooth_l1_loss(
            (pooled[0] / pooled[2].clamp(min=1e-6)).clamp(min=2**-8).log2(),
            (pooled[1] / pooled[2].clamp(min=1e-6)).clamp(min=2**-8).log2(),
            beta=1.0,
            reduction="none",
        )
        by_energy = by_energy + (covered * ratio).sum() / covered.sum().clamp(min=1e-3) / (len(sides) + 1)
    return {"stops": by_stops, "exposures": by_exposures / len(EXPOSURES), "energy": by_energy}


def weighted(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The terms of `light_losses`, each times its weight: their sum is the loss."""
    return {name: _WEIGHTS[name] * value for name, value in terms.items()}
