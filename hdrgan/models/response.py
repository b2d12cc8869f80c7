"""The head that reads what a photo betrays of its camera's response, and the curve that it answers with.

It weighs the measurements of `hdrgan.models.evidence` and answers with the curve that is least wrong on average, which
is more cautious than the likeliest.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan.light.radiometry import CURVE_SAMPLES, srgb_curve
from hdrgan.models.evidence import EVIDENCE


class _Reader(nn.Module):
    """One opinion: scaled evidence (B, EVIDENCE) to log-slopes (B, knots)."""

    def __init__(self, knots: int, width: int, dropout: float):
        super().__init__()
        last = nn.Linear(width, knots)
        self.layers = nn.Sequential(
            nn.Dropout(dropout / 2),
            nn.Linear(EVIDENCE, width),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout),
            nn.Linear(width, width),
            nn.LeakyReLU(0.1),
            nn.Dropout(dropout),
            last,
        )
        # How surely the photo is a render, which no camera bent: a plain question that deserves neurons of its own.
        self.render = nn.Sequential(
            nn.Dropout(dropout / 3), nn.Linear(EVIDENCE, width // 4), nn.LeakyReLU(0.1), nn.Linear(width // 4, 1)
        )
        with torch.no_grad():
            # The untrained reader answers sRGB.
            last.weight.mul_(0.1)
            last.bias.zero_()

    def forward(self, scaled: Tensor) -> Tensor:
        bend: Tensor = self.layers(scaled) * torch.sigmoid(-self.render(scaled))
        return bend


class ResponseHead(nn.Module):
    """Evidence (B, EVIDENCE) to log-slopes of the inverse response relative to sRGB's (B, knots).

    Args:
        knots: degrees of freedom of the curve.
        width: of the hidden layers, at least 4.
        readers: opinions that are averaged. Scenes are few, so that chance decides much of what one alone learns.
        dropout: share of hidden values left out in training: evidence is many, scenes are few. 0 keeps training
            the same for any number of processes.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, knots: int, width: int, readers: int = 4, dropout: float = 0.0):
        super().__init__()
        # Of each measurement over the training photos; set by training, kept with the weights.
        self.register_buffer("mean", torch.zeros(EVIDENCE))
        self.register_buffer("deviation", torch.ones(EVIDENCE))
        self.readers = nn.ModuleList(_Reader(knots, width, dropout) for _ in range(readers))

    @torch.no_grad()
    def calibrate(self, evidence: Tensor) -> None:
        """Learn what is common from measurements (N, EVIDENCE) of training photos, N >= 2, before training."""
        self.mean.copy_(evidence.mean(0))
        # What never varies in training tells nothing, and must not become loud when it does elsewhere.
        self.deviation.copy_(evidence.std(0) + 0.05)

    def scaled(self, evidence: Tensor) -> Tensor:
        """Evidence in units of what was common in training."""
        # What is unlike any seen in training must not drag the curve to the ends of the world.
        return ((evidence - self.mean) / self.deviation).clamp(-4, 4)

    def forward(self, evidence: Tensor) -> Tensor:
        """(B, EVIDENCE) to (B, knots)."""
        scaled = self.scaled(evidence)
        return torch.stack([reader(scaled) for reader in self.readers]).mean(0)


def inverse_response(logits: Tensor) -> Tensor:
    """Curves around sRGB: (B, knots) log-slopes relative to sRGB's to (B, 256), ascending from 0 to 1."""
    base = srgb_curve(logits.device).diff()  # (255,)
    bend = F.interpolate(logits[:, None], size=CURVE_SAMPLES - 1, mode="linear", align_corners=True)[:, 0]
    steps = base * torch.exp(3 * torch.tanh(bend / 3))
    curve = torch.cumsum(steps / steps.sum(1, keepdim=True), 1)
    # The rounding of a cumulative sum must not leave white at 0.9999.
    return torch.cat([torch.zeros_like(curve[:, :1]), curve[:, :-1], torch.ones_like(curve[:, :1])], 1).clamp(0, 1)
