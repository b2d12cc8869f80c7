"""PatchDiscriminator: the published HDR-GAN critic, judges whether a bracket belongs to a photo, patch by patch."""

from __future__ import annotations

import operator

import torch
from torch import Tensor, nn

from hdrgan.models.pretrained import PretrainedModel


class PatchDiscriminator(
    nn.Module,
    PretrainedModel,
    library_name="hdrgan",
    license="mit",
    tags=["hdr", "exposure-bracket", "gan", "discriminator"],
):
    """The discriminator of HDR-GAN, layer for layer: 151,745 parameters at the defaults; one logit sees 22 x 22 pixels.

    The published network ends in a sigmoid; this one returns what goes into it. It has no normalisation layer, so that
    two forwards before one backward are safe in distributed training.

    Args:
        exposures: pictures in a bracket, >= 1.
        width: channels after the first convolution, >= 1.

    Input: srgb (B, 3, H, W) and bracket (B, exposures, 3, H, W), both encoded; H and W at least `minimum_size`.
    Output: logits (B, 1, H // 4 - 1, W // 4 - 1); above 0 means "real".

    >>> PatchDiscriminator(width=8)(torch.rand(1, 3, 16, 24), torch.rand(1, 5, 3, 16, 24)).shape
    torch.Size([1, 1, 3, 5])
    """

    size_multiple = 1
    minimum_size = 8

    def __init__(self, exposures: int = 5, width: int = 64) -> None:
        super().__init__()
        self.exposures = operator.index(exposures)
        self.width = operator.index(width)
        if self.exposures < 1 or self.width < 1:
            raise ValueError(f"exposures and width must be at least 1, got {exposures} and {width}")
        self.model = nn.Sequential(
            nn.Conv2d(3 + 3 * self.exposures, self.width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(self.width, 2 * self.width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * self.width, 1, 4, stride=1, padding=1),
        )

    def forward(self, srgb: Tensor, bracket: Tensor) -> Tensor:
        """Judge a bracket given its photo: logits (B, 1, H // 4 - 1, W // 4 - 1).

        Raises:
            ValueError: the shapes do not belong together or are below `minimum_size`.
        """
        if srgb.dim() != 4 or srgb.shape[1] != 3 or min(srgb.shape[-2:]) < self.minimum_size:
            raise ValueError(
                f"srgb must be (B, 3, H, W) with H and W at least {self.minimum_size}, got {tuple(srgb.shape)}"
            )
        expected = (srgb.shape[0], self.exposures, 3, *srgb.shape[-2:])
        if tuple(bracket.shape) != expected:
            raise ValueError(f"bracket must be {expected} for this photo, got {tuple(bracket.shape)}")
        logits: Tensor = self.model(torch.cat([srgb, bracket.flatten(1, 2)], 1))  # (B, 3 + 3 * exposures, H, W) in
        return logits
