"""Which pixels count as well exposed: neither near black nor near white, so that what they show can be relied on."""

from __future__ import annotations

from torch import Tensor


def well_exposed(srgb: Tensor) -> Tensor:
    """Pixels that the photo shows reliably: largest channel below 0.90, smallest above 0.05.

    (..., 3, H, W) encoded to a boolean (..., 1, H, W).
    """
    return (srgb.amax(-3, keepdim=True) < 0.90) & (srgb.amin(-3, keepdim=True) > 0.05)
