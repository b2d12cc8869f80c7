"""BracketGenerator: the published HDR-GAN generator, one photo to five exposures."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from hdrgan.light.evs import NETWORK_EVS
from hdrgan.models.pretrained import PretrainedModel


class BracketGenerator(
    nn.Module,
    PretrainedModel,
    library_name="hdrgan",
    license="mit",
    pipeline_tag="image-to-image",
    tags=["hdr", "exposure-bracket", "gan"],
):
    """The generator of HDR-GAN, layer for layer: 280,847 parameters at the defaults.

    Args:
        evs: stops of the exposures relative to the photo, ascending.
        width: channels after the first convolution, >= 1.
        output: "sigmoid" for networks trained here. "tanh" is what the published checkpoints were trained with; the
            negative half of its range, which no picture has, is cut off at 0.

    Input: srgb (B, 3, H, W) encoded, [0, 1]; H and W multiples of `size_multiple`.
    Output: bracket (B, len(evs), 3, H, W) encoded, [0, 1], in the order of ``evs``.

    >>> BracketGenerator(width=8)(torch.rand(1, 3, 16, 24)).shape
    torch.Size([1, 5, 3, 16, 24])
    """

    size_multiple = 4
    minimum_size = 4

    def __init__(self, evs: Sequence[float] = NETWORK_EVS, width: int = 64, output: str = "sigmoid") -> None:
        super().__init__()
        self.evs = tuple(float(ev) for ev in evs)  # config.json hands a list back
        self.width = operator.index(width)
        self.output = output
        if not self.evs or not all(map(math.isfinite, self.evs)) or sorted(set(self.evs)) != list(self.evs):
            raise ValueError(f"evs must be ascending finite stops without repeats, got {tuple(evs)}")
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {width}")
        if output not in ("sigmoid", "tanh"):
            raise ValueError(f'output must be "sigmoid" or "tanh", got {output!r}')
        self.encoder = nn.Sequential(
            nn.Conv2d(3, self.width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(self.width, 2 * self.width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(2 * self.width, self.width, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(self.width, 3 * len(self.evs), 4, stride=2, padding=1),
        )

    def logits(self, srgb: Tensor) -> Tensor:
        """The bracket before its activation: srgb (B, 3, H, W) to (B, N, 3, H, W), unbounded.

        Raises:
            ValueError: the shape is not (B, 3, H, W) with H and W positive multiples of `size_multiple`.
        """
        if srgb.dim() != 4 or srgb.shape[1] != 3:
            raise ValueError(f"srgb must be (B, 3, H, W), got {tuple(srgb.shape)}")
        height, width = srgb.shape[-2:]
        if height % self.size_multiple or width % self.size_multiple or not height or not width:
            raise ValueError(
                f"height and width must be positive multiples of {self.size_multiple}, got {height}x{width}"
            )
        features = self.encoder(srgb.to(cast(nn.Conv2d, self.encoder[0]).weight.dtype))  # (B, 2 * width, H / 4, W / 4)
        exposures: Tensor = self.decoder(features)  # (B, N * 3, H, W)
        return torch.unflatten(exposures, 1, (len(self.evs), 3)).to(srgb.dtype)  # (B, N, 3, H, W)

    def forward(self, srgb: Tensor) -> Tensor:
        """Draw the exposures: srgb (B, 3, H, W) to bracket (B, N, 3, H, W), both encoded in [0, 1]; see `logits`."""
        logits = self.logits(srgb)
        if self.output == "sigmoid":
            return torch.sigmoid(logits)
        bracket = torch.tanh(logits)
        # Cut off at 0 without cutting off the gradient, so that a converted checkpoint can be trained further.
        return bracket - bracket.detach().clamp(max=0)
