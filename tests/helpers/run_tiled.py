"""The result of a network over a photo of any size in one piece, which the package makes in strips."""

from __future__ import annotations

import torch
from torch import Tensor

from hdrgan.light.tiling import Network, tiled_strips


def run_tiled(network: Network, srgb: Tensor, **options) -> Tensor:
    """(1, …, H, W) float32 on the CPU; arguments and errors as in `tiled_strips`."""
    strips = [strip for _, strip in tiled_strips(network, srgb, **options)]
    return strips[0] if len(strips) == 1 else torch.cat(strips, -2)
