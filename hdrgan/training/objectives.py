"""What each network is trained to lower, and the same error measured on whole photos."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan.data.batch import Batch, merge_brackets, render
from hdrgan.evaluation.scores import Prediction, radiance_l1
from hdrgan.light.anchoring import match_exposure
from hdrgan.light.radiometry import decode, encode, mu_law
from hdrgan.light.well_exposed import well_exposed
from hdrgan.models.radiance_generator import CLIPPED, Light, clip_mask
from hdrgan.training.light_loss import light_losses, weighted

EIN_HEADROOM = 32.0  # EIN's output 1.0 stands for 5 stops above the photo's white

Objective = Callable[[nn.Module, Batch], tuple[Tensor | None, dict[str, Tensor]]]


def make_objective(model: str, device: torch.device, *, l1_weight: float, adversarial_weight: float) -> Objective:
    """A function that runs the generator on a batch: (bracket for the discriminator or None, weighted loss terms).

    Args:
        model: which of the three networks.
        device: where the loss has its own network, if it has one.
        l1_weight: of the L1; 0 leaves it out of the radiance network's terms.
        adversarial_weight: whether there is a discriminator: above 0, the radiance network makes a bracket for it.

    Returns:
        The function; its bracket is (B, N, 3, H, W) encoded, [0, 1].
    """

    def bracket_objective(generator: nn.Module, batch: Batch) -> tuple[Tensor | None, dict[str, Tensor]]:
        fake = generator(batch.srgb)  # (B, N, 3, H, W)
        return fake, {"l1": l1_weight * F.l1_loss(fake, batch.bracket)}

    def radiance_objective(generator: nn.Module, batch: Batch) -> tuple[Tensor | None, dict[str, Tensor]]:
        # The true curve is given, so that errors in guessing it do not reach the light.
        output = generator(batch.srgb, batch.inverse_response)
        mask = clip_mask(batch.srgb, *CLIPPED)
        known = torch.ones_like(mask[:, :1])
        stops = batch.radiance.clamp(min=1).log2()
        terms = weighted(light_losses(Light(output.gain, output.compact), mask, stops, known))
        if not (l1_weight or adversarial_weight):
            return None, terms
        photo = batch.evs.index(0.0)
        others = bracket_from_radiance(output.radiance, batch.inverse_response, [ev for ev in batch.evs if ev])
        # The exposure at EV 0 is the photo itself, in the real bracket and in this one.
        fake = torch.cat([others[:, :photo], batch.srgb[:, None], others[:, photo:]], 1)  # (B, N, 3, H, W)
        if l1_weight:
            terms["l1"] = l1_weight * F.l1_loss(fake, batch.bracket)
        return fake, terms

    if model != "ein":
        return bracket_objective if model == "bracket" else radiance_objective

    # It brings the feature network of its loss, which the others have no use for.
    from hdrgan.training.ein_loss import EINLoss

    compare = EINLoss(l1_weight=l1_weight).to(device)

    def ein_objective(generator: nn.Module, batch: Batch) -> tuple[Tensor | None, dict[str, Tensor]]:
        return None, compare(generator(batch.srgb), relative(batch.radiance))

    return ein_objective


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


def relative(radiance: Tensor) -> Tensor:
    """Radiance (1.0 = white) as EIN predicts it: linear in [0, 1], cut off `EIN_HEADROOM` times above white."""
    return (radiance / EIN_HEADROOM).clamp(0, 1)


def predict(model: str, generator: nn.Module, batch: Batch) -> tuple[Prediction, float]:
    """What a network makes of photos, and its L1 in the domain that it is trained in; see `trained_l1`."""
    srgb = batch.srgb
    output = generator(srgb, batch.inverse_response) if model == "radiance" else generator(srgb)
    if model == "bracket":
        prediction = Prediction(output, merge_brackets(output, batch.evs, batch.inverse_response))
    elif model == "radiance":
        bracket = render(output.radiance, srgb, batch.evs, batch.inverse_response)
        prediction = Prediction(bracket, output.radiance)
    else:
        radiance = output * match_exposure(output, decode(srgb, batch.inverse_response), well_exposed(srgb))
        prediction = Prediction(render(radiance, srgb, batch.evs, batch.inverse_response), radiance)
        # EIN is trained on a scale of its own, before it is anchored to the photo.
        return prediction, trained_l1(model, Prediction(prediction.bracket, output * EIN_HEADROOM), batch)
    return prediction, trained_l1(model, prediction, batch)


def trained_l1(model: str, prediction: Prediction, batch: Batch) -> float:
    """Mean absolute error as a network is trained to lower it.

    Encoded exposures for bracket, stops of radiance for radiance, mu-law relative radiance for ein.
    """
    if model == "bracket":
        return float((prediction.bracket - batch.bracket).abs().mean())
    if model == "radiance":
        return radiance_l1(prediction.radiance, batch.radiance)
    return float((mu_law(relative(prediction.radiance)) - mu_law(relative(batch.radiance))).abs().mean())
