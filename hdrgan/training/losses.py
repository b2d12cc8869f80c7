"""What the RadianceGenerator and the conditional GAN are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.radiometry import decode, encode, luminance

if TYPE_CHECKING:
    from hdrgan.models.radiance_generator import RadianceOutput


_LAMP_SIDES = (16, 64)  # pixels


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


def _rms(error: Tensor, weight: Tensor | None = None) -> Tensor:
    """Root mean square per picture, then the mean: every photo counts the same, bright or dark."""
    if weight is None:
        return (error.square().flatten(1).mean(1) + 1e-6).sqrt().mean()
    weighted = (error.square() * weight).flatten(1).sum(1) / weight.expand_as(error).flatten(1).sum(1).clamp(min=1)
    return (weighted + 1e-6).sqrt().mean()


def _tint(radiance: Tensor) -> Tensor:
    """log2 of each channel over luminance, (B, 3, H, W); next to nothing has no colour."""
    floor = 2**-6
    return torch.log2(radiance + floor) - torch.log2(luminance(radiance) + floor)


def _lamps(predicted: Tensor, truth: Tensor, clipped: Tensor, side: int) -> Tensor:
    """Compare the brightest light in squares of ``side`` pixels, where something in them clipped.

    Most of what the sun gives to a scene comes from a few pixels, for which an error counted pixel by pixel has no
    voice: it would be content with a sun three times as bright as paper. Nor has the mean of a square a voice for them
    before they outshine the rest of it. What is brightest is asked for by name.

    Args:
        predicted, truth: (B, 3, H, W) radiance.
        clipped: (B, 1, H, W), 1 where a channel clipped.
        side: of the squares.

    Returns:
        Scalar: mean over the squares with clipped pixels, each counted by the share of them, then over pictures.
    """
    share = F.avg_pool2d(clipped, side, ceil_mode=True)
    most = [F.max_pool2d(luminance(x).clamp(max=1e5) * clipped, side, ceil_mode=True) for x in (predicted, truth)]
    # What is left of a square without clipped pixels is multiplied by nought.
    error = torch.log2((most[0] + 1e-3) / (most[1] + 1e-3)) * (share > 0)
    huber = F.huber_loss(error, torch.zeros_like(error), reduction="none", delta=2.0)
    weight = share.sqrt()
    return ((huber * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp(min=1e-3)).mean()


def perceptual_code(relative: Tensor) -> Tensor:
    """A smooth stand-in for PU21 on [0, 1] of a 1000 cd/m2 peak: log-like in lights, linear in darks, about 0 to 1."""
    return torch.log1p(500 * relative.clamp(0, 1)) / 6.2166


def code_shares(srgb: Tensor, codes: int = 256) -> Tensor:
    """Share of each code among the samples of a photo: (B, 3, H, W) in [0, 1] to (B, codes)."""
    index = (srgb.detach().float().flatten(1) * (codes - 1)).round().long().clamp(0, codes - 1)
    ones = torch.ones_like(index, dtype=torch.float32)
    return torch.zeros(len(index), codes, device=srgb.device).scatter_add_(1, index, ones) / index.shape[1]


def response_loss(
    inverse_response: Tensor,
    truth: Tensor,
    *,
    shares: Tensor,
    evs: Sequence[float] = (-4.0, -2.0, 2.0, 4.0),
    light_weight: float = 0.003,
) -> Tensor:
    """How wrong a curve makes the exposures of a photo, and its light, before anything else goes wrong.

    Every code of the photo is taken to light and drawn again at each EV, each curve with its own; the differences are
    weighted by how many samples have the code. Squared differences make the mean of what is possible the best answer:
    with absolute ones the network would bet on the likeliest curve, and a lost bet costs more than caution.

    Args:
        inverse_response: (B, 256) estimated.
        truth: (B, 256).
        shares: (B, 256) from `code_shares`.
        evs: stops.
        light_weight: of the squared difference of log2 light.

    Returns:
        Scalar: mean squared difference of exposures over ``evs``, and the weighted one of light.
    """
    drawn = bracket_from_radiance(inverse_response[:, None, :, None], inverse_response, evs)  # (B, N, 1, 256, 1)
    real = bracket_from_radiance(truth[:, None, :, None], truth, evs)
    exposures = ((drawn - real).square()[:, :, 0, :, 0].mean(1) * shares).sum(1).mean()
    floor = 2**-8
    light = (torch.log2(inverse_response + floor) - torch.log2(truth + floor)).square()
    return exposures + light_weight * (light * shares).sum(1).mean()


def radiance_loss(
    output: RadianceOutput,
    radiance: Tensor,
    inverse_response: Tensor,
    srgb: Tensor,
    *,
    evs: Sequence[float] = (-4.0, -2.0, 2.0, 4.0),
    log_weight: float = 1.0,
    highlight_weight: float = 1.0,
    colour_weight: float = 1.0,
    lamp_weight: float = 0.5,
    perceptual_weight: float = 4.0,
    bracket_weight: float = 4.0,
    response_weight: float = 10.0,
) -> dict[str, Tensor]:
    """Compare predicted light with the truth in the ways it will be looked at.

    Args:
        output: what the generator made of ``srgb``.
        radiance: (B, 3, H, W) truth, 1.0 = the photo's white.
        inverse_response: (B, 256) the curve that the photo was made with.
        srgb: (B, 3, H, W) the photo; says which pixels clipped.
        evs: exposures at which brackets are compared.
        log_weight: of the mean absolute difference in log2 radiance.
        highlight_weight: of the Huber difference in log2 luminance over clipped pixels alone.
        colour_weight: of the mean absolute difference in log2 of each channel over luminance, over clipped pixels.
        lamp_weight: of the Huber difference in log2 of the brightest light in a clipped place; see `_lamps`.
        perceptual_weight: of the RMS difference in a perceptual code at a 1000 cd/m2 peak, all pixels and clipped ones.
        bracket_weight: of the RMS difference of exposures, each drawn with its own curve.
        response_weight: of `response_loss`, the only term that the curve learns from.

    Returns:
        Each term, weighted, by name; ``loss`` is their sum.
    """
    # A bare bulb or the sun is thousands of times white: past the brightest thousandth nobody can see a difference.
    peak = torch.quantile(radiance.amax(1).flatten(1)[:, ::4], 0.999, dim=1).clamp(min=1.0).view(-1, 1, 1, 1)
    truth = torch.minimum(radiance, 4 * peak)
    predicted = torch.minimum(output.radiance, 8 * peak)
    clipped = (srgb.amax(1, keepdim=True) >= 0.98).float()  # (B, 1, H, W)

    floor = 2**-9
    log_error = torch.log2(predicted + floor) - torch.log2(truth + floor)
    bright_error = torch.log2(luminance(predicted) + floor) - torch.log2(luminance(truth).clamp(max=1e9) + floor)
    huber = F.huber_loss(bright_error, torch.zeros_like(bright_error), reduction="none", delta=2.0)
    share = clipped.flatten(1).sum(1)
    highlight = ((huber * clipped).flatten(1).sum(1) / share.clamp(min=1)).mean()
    tint = _tint(predicted) - _tint(truth)
    colour = ((tint.abs() * clipped).flatten(1).sum(1) / (3 * share).clamp(min=1)).mean()
    lamps = torch.stack([_lamps(output.radiance, radiance, clipped, side) for side in _LAMP_SIDES]).mean()
    code_error = perceptual_code(predicted / peak) - perceptual_code(truth / peak)
    # A quarter of the pixels, of a new phase each time, tells the bracket's error as well as all of them.
    row, column = torch.randint(0, 2, (2,)).tolist()
    some = (..., slice(row, None, 2), slice(column, None, 2))
    drawn = bracket_from_radiance(output.radiance[some], output.inverse_response.detach(), evs)
    real = bracket_from_radiance(radiance[some], inverse_response, evs)
    exposures = torch.stack([_rms(drawn[:, k] - real[:, k]) for k in range(len(evs))]).mean()
    terms = {
        "log": log_weight * log_error.abs().mean(),
        "highlight": highlight_weight * highlight,
        "colour": colour_weight * colour,
        "lamps": lamp_weight * lamps,
        "perceptual": perceptual_weight * (_rms(code_error) + 0.5 * _rms(code_error, clipped)),
        "bracket": bracket_weight * exposures,
        "response": response_weight
        * response_loss(output.inverse_response, inverse_response, shares=code_shares(srgb), evs=evs),
    }
    return {"loss": torch.stack(list(terms.values())).sum(), **terms}
