"""Light on tensors: sRGB, exposure, sampled response curves, masks, mu-law.

Pure functions on torch tensors. ``srgb`` is encoded, in [0, 1]; ``radiance`` is linear, >= 0, 1.0 = the photo's white.
Colour images have their channels at dimension -3: (..., 3, H, W).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.srgb import LUMA_WEIGHTS as LUMA_WEIGHTS  # part of this module's names, like the next
from hdrgan.light.srgb import LUMINANCE_WEIGHTS as LUMINANCE_WEIGHTS

CURVE_SAMPLES = 256
"""Samples of a response curve: one for each 8-bit code value, so that 8-bit pixels are looked up exactly."""


def srgb_to_linear(srgb: Tensor) -> Tensor:
    """Decode sRGB (IEC 61966-2-1): encoded [0, 1] of any shape to linear [0, 1]; values outside are clamped.

    >>> srgb_to_linear(torch.tensor([0.0, 0.5, 1.0]))
    tensor([0.0000, 0.2140, 1.0000])
    """
    srgb = srgb.clamp(0, 1)
    # The clamp before the power keeps the gradient of the branch not taken finite.
    return torch.where(srgb <= 0.04045, srgb / 12.92, ((srgb.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(radiance: Tensor) -> Tensor:
    """Encode linear light as sRGB (IEC 61966-2-1): the inverse of `srgb_to_linear`, clipping at 0 and 1."""
    radiance = radiance.clamp(0, 1)
    return torch.where(
        radiance <= 0.0031308, 12.92 * radiance, 1.055 * radiance.clamp(min=0.0031308) ** (1 / 2.4) - 0.055
    )


def luminance(radiance: Tensor) -> Tensor:
    """Relative luminance (BT.709) of linear (..., 3, H, W), as (..., 1, H, W)."""
    weights = radiance.new_tensor(LUMINANCE_WEIGHTS).view(3, 1, 1)
    return (radiance * weights).sum(-3, keepdim=True)


def srgb_curve(device: torch.device | None = None) -> Tensor:
    """The inverse sRGB response sampled at every 8-bit code value: (256,) linear values from 0 to 1."""
    return srgb_to_linear(torch.linspace(0, 1, CURVE_SAMPLES, device=device))


def decode(srgb: Tensor, inverse_response: Tensor) -> Tensor:
    """Linearise encoded values with a sampled inverse response.

    Args:
        srgb: (B, ...) encoded, [0, 1].
        inverse_response: (B, K) or (K,) linear value of the code k / (K - 1), ascending from 0 to 1.

    Returns:
        (B, ...) linear light in [0, 1], interpolated between samples; differentiable in both arguments.
    """
    batched = inverse_response.expand(srgb.shape[0], -1) if inverse_response.dim() == 1 else inverse_response
    samples = batched.shape[1]
    position = srgb.clamp(0, 1).reshape(srgb.shape[0], -1) * (samples - 1)  # (B, N)
    below = position.detach().floor().clamp(max=samples - 2)
    low = batched.gather(1, below.long())
    high = batched.gather(1, below.long() + 1)
    return torch.lerp(low, high, position - below).reshape(srgb.shape)


def encode(radiance: Tensor, inverse_response: Tensor) -> Tensor:
    """Encode linear light with the response whose inverse is sampled: undoes `decode`, clips at white.

    Args:
        radiance: (B, ...) linear, 1.0 = white.
        inverse_response: (B, K) or (K,), ascending from 0 to 1.

    Returns:
        (B, ...) encoded values in [0, 1].
    """
    batched = inverse_response.expand(radiance.shape[0], -1) if inverse_response.dim() == 1 else inverse_response
    batched = batched.contiguous()
    samples = batched.shape[1]
    flat = radiance.clamp(0, 1).reshape(radiance.shape[0], -1).contiguous()
    above = torch.searchsorted(batched.detach(), flat.detach()).clamp(1, samples - 1)
    low, high = batched.gather(1, above - 1), batched.gather(1, above)
    fraction = ((flat - low) / (high - low).clamp(min=1e-7)).clamp(0, 1)
    return ((above - 1 + fraction) / (samples - 1)).reshape(radiance.shape)


def expose(radiance: Tensor, ev: float | Tensor, inverse_response: Tensor | None = None) -> Tensor:
    """Photograph radiance ``ev`` stops brighter than the photo: response(clip(radiance * 2^ev, 0, 1)).

    Args:
        radiance: (..., 3, H, W) linear, 1.0 = white at EV 0.
        ev: stops; +1 is twice the light.
        inverse_response: sampled curve as in `encode`; None is sRGB.

    Returns:
        Encoded exposure in [0, 1], shaped like ``radiance``.

    >>> round(float(expose(torch.full((3, 1, 1), 0.25), 1.0).mean()), 3)
    0.735
    """
    gained = (radiance * 2.0**ev).clamp(0, 1)
    return linear_to_srgb(gained) if inverse_response is None else encode(gained, inverse_response)


def soft_clip_masks(srgb: Tensor) -> tuple[Tensor, Tensor]:
    """EIN's soft masks of dark and bright pixels: exp(-(grey - c)^2 / 0.01), c = 0 and 1, dilated 3 x 3.

    Source of the shape and of sigma^2 = 0.01: Liu et al. 2025.

    Args:
        srgb: (B, 3, H, W) encoded, [0, 1].

    Returns:
        (under, over), each (B, 1, H, W) in [0, 1].
    """
    # Grey is rounded to 8 bits because the published masks are made from an 8-bit luma picture.
    grey = (srgb * srgb.new_tensor(LUMA_WEIGHTS).view(3, 1, 1)).sum(-3, keepdim=True)
    grey = (grey * 255).round() / 255
    under, over = (torch.exp(-((grey - centre) ** 2) / 0.01) for centre in (0.0, 1.0))
    return F.max_pool2d(under, 3, 1, 1), F.max_pool2d(over, 3, 1, 1)


def mu_law(radiance: Tensor, mu: float = 5000.0) -> Tensor:
    """Compress relative radiance in [0, 1] as log(1 + mu x) / log(1 + mu) (Kalantari and Ramamoorthi 2017)."""
    return torch.log1p(mu * radiance.clamp(min=0)) / torch.log1p(torch.tensor(mu))


def trust_ramps(frame: Tensor) -> tuple[Tensor, Tensor]:
    """How far encoded values can be trusted towards black and towards white: two ramps in [0, 1], shaped like it.

    Both reach 0 within a few 8-bit steps of the end and 1 at 5 % (black) and 85 % (white) of the range.
    """
    return ((frame - 0.008) / 0.042).clamp(0, 1), ((0.985 - frame) / 0.135).clamp(0, 1)
