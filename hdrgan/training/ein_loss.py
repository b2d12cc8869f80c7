"""The loss of EIN: what a viewer sees of the light (mu-law), how it looks to VGG-19, and its colour.

Liu et al. 2025, doi 10.1145/3763240: with T the mu-law, 10 x multi-scale L1 + 1 x VGG-19 feature distance +
(180 / pi) x (1 - cosine of the angle between the colours).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from httpx2 import HTTPError
from huggingface_hub import hf_hub_download
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from hdrgan.light.radiometry import mu_law

log = logging.getLogger(__name__)

VGG19_REPOSITORY = "timm/vgg19.tv_in1k"
_VGG19_BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 1))  # channels, convolutions; nothing after relu5_1
_IMAGENET_MEAN, _IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class VGG19Features(nn.Sequential):
    """VGG-19 (Simonyan and Zisserman 2015) up to relu5_1, frozen; layer numbers are those of its published weights."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        channels, taps = 3, []
        for block, (width, convolutions) in enumerate(_VGG19_BLOCKS):
            if block:
                layers.append(nn.MaxPool2d(2))
            for _ in range(convolutions):
                layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
                channels = width
            taps.append(len(layers) - 2 * convolutions + 1)
        super().__init__(*layers)
        self.taps = frozenset(taps)
        """Numbers of relu1_1, relu2_1, relu3_1, relu4_1 and relu5_1."""
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> VGG19Features:
        """Stay as it is: a frozen network has nothing to train."""
        return super().train(False)

    def forward(self, picture: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [0, 1], H and W at least 16, to five feature maps, fine to coarse."""
        mean, std = (picture.new_tensor(values).view(3, 1, 1) for values in (_IMAGENET_MEAN, _IMAGENET_STD))
        x = (picture - mean) / std
        features = []
        for number, layer in enumerate(self):
            x = layer(x)
            if number in self.taps:
                features.append(x)
        return features


def load_vgg19(repository: str = VGG19_REPOSITORY) -> VGG19Features | None:
    """Trained VGG-19 features from the Hub (575 MB, cached), or None with a warning where they cannot be had."""
    try:
        path = hf_hub_download(repository, "model.safetensors")
        network = VGG19Features()
        with safe_open(path, framework="pt") as weights:
            network.load_state_dict({name: weights.get_tensor(f"features.{name}") for name in network.state_dict()})
    # The Hub's own errors are OSErrors and ValueErrors, its transport's are not; none is worth ending a run for.
    except (OSError, ValueError, RuntimeError, HTTPError, SafetensorError) as error:
        log.warning(
            "VGG-19 could not be loaded from %s (%s): training goes on without the feature term, so fine texture will "
            "be softer and results are not those of the published loss.",
            repository,
            str(error).splitlines()[0] if str(error) else type(error).__name__,
        )
        return None
    return network


def multi_scale_l1(predicted: Tensor, target: Tensor, weights: Sequence[float] = (1, 1 / 2, 1 / 4)) -> Tensor:
    """Sum over scales, each half the size of the one before, of the weighted mean absolute difference."""
    total = predicted.new_zeros(())
    for scale, weight in enumerate(weights):
        if scale:
            predicted, target = F.avg_pool2d(predicted, 2), F.avg_pool2d(target, 2)
        total = total + weight * F.l1_loss(predicted, target)
    return total


def colour_distance(predicted: Tensor, target: Tensor, epsilon: float = 1e-6) -> Tensor:
    """Mean of 1 - cosine of the angle between the colours of two (B, 3, H, W) pictures.

    A fourth, constant channel of sqrt(``epsilon``) gives black a direction, so that the gradient is finite there.
    """
    dot = (predicted * target).sum(1) + epsilon
    norms = ((predicted.square().sum(1) + epsilon) * (target.square().sum(1) + epsilon)).sqrt()
    return (1 - dot / norms).mean()


class EINLoss(nn.Module):
    """The published loss between relative radiances.

    Args:
        l1_weight: of the multi-scale L1.
        scale_weights: of its scales, full size first, each next half the size.
        feature_weight: of the mean squared distance of VGG-19 features, averaged over five layers; 0 loads no VGG-19.
        colour_weight: of 1 - cosine over channels.
        mu: of the mu-law.
        vgg: features to use; None gets them with `load_vgg19` where ``feature_weight`` is not 0.

    >>> compare = EINLoss(feature_weight=0)
    >>> {name: float(term) for name, term in compare(torch.ones(1, 3, 8, 8), torch.ones(1, 3, 8, 8)).items()}
    {'l1': 0.0, 'colour': 0.0}
    """

    def __init__(
        self,
        *,
        l1_weight: float = 10.0,
        scale_weights: Sequence[float] = (1, 1 / 2, 1 / 4),
        feature_weight: float = 1.0,
        colour_weight: float = 180 / math.pi,
        mu: float = 5000.0,
        vgg: VGG19Features | None = None,
    ) -> None:
        super().__init__()
        if not scale_weights or min(l1_weight, feature_weight, colour_weight, *scale_weights) < 0 or mu <= 0:
            raise ValueError("weights must not be negative, scale_weights not empty, and mu above 0")
        self.l1_weight = l1_weight
        self.scale_weights = tuple(scale_weights)
        self.feature_weight = feature_weight
        self.colour_weight = colour_weight
        self.mu = mu
        self.vgg = (vgg or load_vgg19()) if feature_weight else None

    def forward(self, predicted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """The weighted terms by name, scalars: "l1", "colour" and, with VGG-19, "features"; their sum is the loss.

        Args:
            predicted: (B, 3, H, W) relative radiance, [0, 1].
            target: likewise.
        """
        # Light is compared in float32, whatever the network ran in.
        seen, wanted = (mu_law(radiance.float(), self.mu) for radiance in (predicted, target))
        terms = {
            "l1": self.l1_weight * multi_scale_l1(seen, wanted, self.scale_weights),
            "colour": self.colour_weight * colour_distance(seen, wanted),
        }
        if self.vgg is not None:
            pairs = zip(self.vgg(seen), self.vgg(wanted), strict=True)
            terms["features"] = self.feature_weight * torch.stack([F.mse_loss(p, w) for p, w in pairs]).mean()
        return terms
