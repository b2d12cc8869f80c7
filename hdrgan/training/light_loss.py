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

_SIDES = (16, 64, 256)  # pixels of the squares whose energy is compared; the whole picture is too
_LEAST_AREA = 64.0  # clipped pixels below which a photo counts for less than half
_LEAST_ERROR = 2e-3  # squared error of codes, 27 dB, below which nobody sees a difference
_REACH = 8  # pixels from what did not clip to where the rim ends, in which halos are seen
_WEIGHTS = {"stops": 1.0, "exposures": 0.35, "rims": 0.25, "energy": 0.4}


def _luminance(light: Tensor) -> Tensor:
    """Of (N, 3): (N, 1)."""
    return (light * light.new_tensor(LUMINANCE_WEIGHTS)).sum(1, keepdim=True)


def near(shares: Tensor, reach: int) -> Tensor:
    """The largest of (B, 1, H, W) within ``reach`` rows and columns of each pixel."""
    side = 2 * reach + 1
    wide = F.max_pool2d(shares, (1, side), 1, (0, reach))
    largest: Tensor = F.max_pool2d(wide, (side, 1), 1, (reach, 0))
    return largest


def light_losses(light: Light, mask: Tensor, stops: Tensor, known: Tensor) -> dict[str, Tensor]:
    """The terms of the loss.

    Args:
        light: what the network answers, (B, 3, H, W).
        mask: (B, 3, H, W) how surely each channel clipped.
        stops: (B, 3, H, W) log2 of the true light where it is above white, else 0.
        known: (B, 1, H, W) 1 where the truth is known, else 0.

    Returns:
        stops: error in stops, of each channel and of luminance. exposures: logarithm of the squared error of the codes
        at `EXPOSURES`, through the mean camera. rims: the same, near what did not clip. energy: error of the logarithm
        of clipped light in squares. Scalars, means over photos, so that a batch in two halves teaches what it teaches
        as a whole.
    """
    height, width = stops.shape[2:]
    weight = mask.amax(1, keepdim=True) * known
    area = weight.sum((1, 2, 3))  # (B,)
    # A photo with hardly any clipped pixels says little, so it counts for less.
    photo_weight = area / (area + _LEAST_AREA)
    # Most of a photo did not clip: from here on, (N, 3) and (N, 1) of what did.
    where = (weight.flatten() > 1e-3).nonzero()[:, 0]

    def planes_of(values: Tensor) -> Tensor:
        return weight.new_zeros(weight.numel()).index_copy(0, where, values.flatten()).view_as(weight)

    def of_clipped(planes: Tensor) -> Tensor:
        return planes.permute(0, 2, 3, 1).reshape(-1, planes.shape[1]).index_select(0, where)

    share, clipped, true_stops = of_clipped(weight), of_clipped(mask), of_clipped(stops)
    chosen = Light(of_clipped(light.gain), of_clipped(light.compact))
    above = chosen.above_white(clipped).clamp(min=2**-8)
    true = torch.exp2(true_stops)
    bright, truly = _luminance(above), _luminance(true)
    rim = share * of_clipped(near(1 - mask.amax(1, keepdim=True), _REACH))
    rim_area = planes_of(rim).sum((1, 2, 3)).clamp(min=1e-3)

    def mean(error: Tensor, weights: Tensor, areas: Tensor) -> Tensor:
        """Mean over the clipped part of each photo: (B,). Summed in its place: adding by index waits for others."""
        return planes_of((weights * error).mean(1)).sum((1, 2, 3)) / areas.clamp(min=1e-3)

    by_stops = mean(F.smooth_l1_loss(above.log2(), true_stops, beta=2.0, reduction="none"), share, area)
    error = F.smooth_l1_loss(bright.log2(), truly.log2(), beta=2.0, reduction="none")
    by_stops = by_stops + mean(error, share, area)

    curve = torch.as_tensor(np.asarray(mean_camera(), np.float32), device=stops.device)
    by_exposures, by_rims = torch.zeros_like(area), torch.zeros_like(area)
    for ev in EXPOSURES:
        ours, theirs = (encode((x * 2.0**ev)[None], curve)[0] for x in (above, true))
        squared = (ours - theirs) ** 2
        by_exposures = by_exposures + torch.log1p(mean(squared, share, area) / _LEAST_ERROR) / len(EXPOSURES)
        by_rims = by_rims + torch.log1p(mean(squared, rim, rim_area) / _LEAST_ERROR) / len(EXPOSURES)

    by_energy = torch.zeros_like(area)
    sides = [side for side in _SIDES if side <= min(height, width)]
    planes = [planes_of(values) for values in (share * bright, share * truly, share)]
    for side in (*sides, 0):
        ours, theirs, covered = (
            F.avg_pool2d(plane, side) if side else plane.mean((2, 3), keepdim=True) for plane in planes
        )
        part = covered.clamp(min=1e-6)
        error = F.smooth_l1_loss(
            (ours / part).clamp(min=2**-8).log2(), (theirs / part).clamp(min=2**-8).log2(), beta=1.0, reduction="none"
        )
        counted = (covered > (0.1 if side else 1e-6)) * part.sqrt()
        by_energy = by_energy + (counted * error).sum((1, 2, 3)) / counted.sum((1, 2, 3)).clamp(min=1e-3) / (
            len(sides) + 1
        )
    terms = {"stops": by_stops, "exposures": by_exposures, "rims": by_rims, "energy": by_energy}
    return {name: (photo_weight * term).mean() for name, term in terms.items()}


def weighted(terms: dict[str, Tensor]) -> dict[str, Tensor]:
    """The terms of `light_losses`, each times its weight: their sum is the loss."""
    return {name: _WEIGHTS[name] * value for name, value in terms.items()}
