"""Merge a bracket: from exposures of one scene and their EVs to radiance."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hdrgan.light.radiometry import decode, srgb_curve, trust_ramps


def merge(frames: Tensor, evs: Sequence[float], inverse_response: Tensor | None = None) -> Tensor:
    """Merge exposures in linear light (Debevec and Malik 1997, weights after Robertson et al. 2003).

    Each frame measures radiance as decode(frame) / 2^ev. Its weight is a hat over the encoded value, times the light
    that it received, since a longer exposure counts more photons. The darkest frame is trusted up to its white and the
    brightest down to its black, because no other frame has better data. Where frames agree, the result is exact.

    Args:
        frames: (N, 3, H, W) encoded in [0, 1].
        evs: N stops relative to the photo.
        inverse_response: (K,) of the frames; sRGB when it is not given.

    Returns:
        (3, H, W) radiance >= 0, 1.0 = white at EV 0.
    """
    curve = srgb_curve(frames.device) if inverse_response is None else inverse_response
    darkest, brightest = min(range(len(evs)), key=lambda k: evs[k]), max(range(len(evs)), key=lambda k: evs[k])
    total, weights = torch.zeros_like(frames[0]), torch.zeros_like(frames[0])
    for k, (frame, ev) in enumerate(zip(frames, evs, strict=True)):
        light = decode(frame[None], curve)[0] / 2.0**ev
        black, white = trust_ramps(frame)
        trust = torch.ones_like(frame)
        if k != brightest:
            trust = trust * black
        if k != darkest:
            trust = trust * white
        weight = trust * 2.0**ev
        total += weight * light
        weights += weight
    # Where every frame is at an end of its range, the darkest one still bounds the light.
    fallback = decode(frames[darkest][None], curve)[0] / 2.0 ** evs[darkest]
    return torch.where(weights > 1e-6, total / weights.clamp(min=1e-6), fallback)
