"""Anchor relative light, such as EIN's, to the photo: the one scale that brings it onto the photo's own light."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from hdrgan.light.cancellation import check_cancelled
from hdrgan.light.radiometry import decode, luminance
from hdrgan.light.well_exposed import well_exposed

_LEAST = 1e-6  # luminance below which a ratio says nothing


def anchor(parts: Iterable[tuple[Tensor, Tensor]], inverse_response: Tensor) -> Tensor:
    """The scale that brings relative radiance onto a photo's, by its well exposed pixels: exp(median log ratio).

    Args:
        parts: strips of one photo: srgb (1, 3, h, W) encoded, and the relative radiance (1, 3, h, W) there.
        inverse_response: (K,) that the photo is read with.

    Returns:
        A scalar; 1 where no pixel can be trusted.
    """
    ratios = []
    for srgb, relative in parts:
        check_cancelled()
        ratios.append(_log_ratios(relative[0], decode(srgb, inverse_response)[0], well_exposed(srgb)[0]))
    every = torch.cat(ratios)
    return every.median().exp() if every.numel() else torch.ones(())


def match_exposure(predicted: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """The one scale that brings predicted radiance onto the reference: exp(median log luminance ratio) where masked.

    Args:
        predicted: (B, 3, H, W) relative radiance.
        reference: (B, 3, H, W) radiance on the wanted scale.
        mask: (B, 1, H, W) boolean, pixels to trust.

    Returns:
        (B, 1, 1, 1) scale; 1 where no pixel can be trusted.
    """
    scales = []
    for p, r, m in zip(predicted, reference, mask, strict=True):
        ratio = _log_ratios(p, r, m)
        scales.append(ratio.median().exp() if ratio.numel() else p.new_tensor(1.0))
    return torch.stack(scales).view(-1, 1, 1, 1)


def _log_ratios(predicted: Tensor, reference: Tensor, trusted: Tensor) -> Tensor:
    """Log of reference over predicted luminance, of (3, H, W) each, at the pixels of (1, H, W) that are trusted."""
    p, r = luminance(predicted), luminance(reference)
    trusted = trusted & (p > _LEAST) & (r > _LEAST)
    return torch.log(r[trusted]) - torch.log(p[trusted])
