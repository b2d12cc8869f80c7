"""What the conditional GAN is trained on, and exposures that a loss can be taken of."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.radiometry import decode, encode


def discriminator_loss(real_logits: Tensor, fake_logits: Tensor) -> Tensor:
    """Half the sum of the two binary cross-entropies: real brackets are real, generated ones are not."""
    real = F.binary_cross_entropy_with_logits(real_logits, torch.ones_like(real_logits))
    fake = F.binary_cross_entropy_with_logits(fake_logits, torch.zeros_like(fake_logits))
    return (real + fake) / 2


def generator_adversarial_loss(fake_logits: Tensor) -> Tensor:
    """Binary cross-entropy of generated brackets against 'real' (non-saturating)."""
    return F.binary_cross_entropy_with_logits(fake_logits, torch.ones_like(fake_logits))


def bracket_from_radiance(radiance: Tensor, inverse_response: Tensor, evs: Sequence[float]) -> Tensor:
    """Render radiance (B, 3, H, W) at each EV with its curve: (B, len(evs), 3, H, W) encoded, differentiable.

    The curve is resampled once on an even grid of sqrt(radiance), where every response is smooth, so that each pixel is
    a table look-up rather than a search; the difference to `expose` stays below half an 8-bit step.
    """
    grid = torch.linspace(0, 1, 2048, device=radiance.device).expand(inverse_response.shape[0], -1)
    response = encode(grid.square(), inverse_response)  # (B, 2048)
    return torch.stack([decode((radiance * 2.0**ev).clamp(1e-8, 1).sqrt(), response) for ev in evs], 1)
