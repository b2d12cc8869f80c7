"""A bracket: exposures of one scene with their EVs, and the radiance that they agree on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hdrgan.light.radiometry import decode, srgb_curve, trust_ramps


@dataclass(frozen=True)
class Bracket:
    """Exposures of one scene.

    Attributes:
        frames: (N, 3, H, W) encoded in [0, 1].
        evs: N stops relative to the photo, ascending.
        inverse_response: (K,) sampled inverse of the curve that encoded the frames; None is sRGB.

    Raises:
        ValueError: frames and EVs do not match, or EVs do not ascend.
    """

    frames: Tensor
    evs: tuple[float, ...]
    inverse_response: Tensor | None = None

    def __post_init__(self) -> None:
        if self.frames.dim() != 4 or self.frames.shape[1] != 3:
            raise ValueError(f"frames must be (N, 3, H, W), got {tuple(self.frames.shape)}")
        if len(self.evs) != len(self.frames):
            raise ValueError(f"{len(self.frames)} frames need as many EVs, got {self.evs}")
        if any(b <= a for a, b in zip(self.evs, self.evs[1:], strict=False)):
            raise ValueError(f"evs must ascend, got {self.evs}")

    def merge(self) -> Tensor:
        """Radiance (3, H, W) >= 0, 1.0 = white at EV 0; see `merge`."""
        return merge(self.frames, self.evs, self.inverse_response)


def merge(frames: Tensor, evs: Sequence[float], inverse_response: Tensor | None = None) -> Tensor:
    """Merge exposures in linear light (Debevec and Malik 1997, weights after Robertson et al. 2003).

    Each frame says radiance = decode(frame) / 2^ev. Frames are weighted by a hat over the encoded value, times the
    light that they received, since a longer exposure counts more photons. The darkest frame is trusted up to its
    white and the brightest down to its black, because no other frame knows better. Where frames agree the weights
    do not matter and the answer is exact.

    Args:
        frames: (N, 3, H, W) encoded in [0, 1].
        evs: N stops relative to the photo.
        inverse_response: (K,) sampled inverse response; None is sRGB.

    Returns:
        (3, H, W) radiance >= 0, 1.0 = white at EV 0.
    """
    curve = srgb_curve(frames.device) if inverse_response is None else inverse_response
    darkest, brightest = min(range(len(evs)), key=lambda k: evs[k]), max(range(len(evs)), key=lambda k: evs[k])
    total = torch.zeros_like(frames[0])
    weights = torch.zeros_like(frames[0])
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
