"""Bring a field that is known in some places to the others, so that enlarging it mixes in nothing unknown."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

_LEAST = 1e-3  # weight at which a place believes its neighbourhood as much as itself


def extended(field: Tensor, weight: Tensor, levels: int = -1) -> Tensor:
    """Let places without weight take the weighted mean of the nearest ones that have some.

    Light above white is known where the photo clipped. Enlarged as it is, it would fall towards the edge of the clipped
    region, where it meets places that know nothing: a dark halo around every silhouette.

    Args:
        field: (B, C, H, W).
        weight: (B, C, H, W) or (B, 1, H, W) in [0, 1], how much each place knows.
        levels: how often the field is halved to look further, at most, until a side is one; negative: no limit.

    Returns:
        (B, C, H, W): the field where the weight is well above 0.001, and the mean of its surroundings where it is less.
    """
    weight = weight.expand_as(field)
    if levels == 0 or min(field.shape[-2:]) < 2:
        mean = (field * weight).sum((2, 3), keepdim=True) / weight.sum((2, 3), keepdim=True).clamp(min=1e-9)
        return (field * weight + mean * _LEAST) / (weight + _LEAST)
    known = F.avg_pool2d(weight, 2, ceil_mode=True)
    coarse = F.avg_pool2d(field * weight, 2, ceil_mode=True) / known.clamp(min=1e-9)
    # A coarse place is trusted as soon as any of its pixels is.
    around = extended(coarse, (4 * known).clamp(max=1), levels - 1)
    around = F.interpolate(around, size=field.shape[-2:], mode="bilinear", align_corners=False)
    return (field * weight + around * _LEAST) / (weight + _LEAST)
