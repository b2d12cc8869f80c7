"""What a photo betrays of the curve that its camera bent the light with, and the head that reads the evidence.

One photo does not determine its response. It does leave traces: light mixes linearly across an edge, so the middle of
a bent edge is off centre (Lin et al. 2004); sensor noise has a known relation to light, so its strength at each code
follows the slope of the curve (Matsushita and Lin 2007); compression tells a camera's file from a render. The head
weighs the traces and answers with the curve that is least wrong on average, which is more cautious than the likeliest.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan.radiometry import CURVE_SAMPLES, LUMA_WEIGHTS, srgb_curve

_CODES = 32  # bins of the histograms
_LEVELS = 16  # bins of intensity in which noise and texture are measured
_ENDS = 8  # bins of each end of an edge
_BANDS = 7  # diagonal bands of the 8 x 8 cosine transform, the mean left out
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
_STILL = (0.25, 0.75, 1.5, 3.0)  # steps of 1/255 below which a pixel counts as free of noise

EVIDENCE = 3 * _CODES + (2 + len(_STILL)) * _LEVELS + 2 + 2 * _BANDS + 2 * _ENDS**2 + _LEVELS + len(_QUANTILES) + 7
_SMALLEST = 16  # pixels; below that there is no second 8 x 8 block to compare with


def _sums(values: Tensor, index: Tensor, bins: int) -> Tensor:
    """(B, N) values added up in the bins of (B, N) index: (B, bins)."""
    return torch.zeros(values.shape[0], bins, dtype=values.dtype, device=values.device).scatter_add_(1, index, values)


def _bins(position: Tensor, bins: int) -> Tensor:
    return (position * bins).long().clamp(0, bins - 1)


def response_evidence(tiles: Tensor) -> Tensor:
    """Measure the traces of the response curve.

    Args:
        tiles: (B, T, 3, H, W) encoded in [0, 1]: T pieces of each photo at its own resolution, cut on its 8 x 8 grid.
            Tiles below 16 x 16 are extended by repeating their edges.

    Returns:
        (B, EVIDENCE): histograms; noise, calm and texture by intensity; blockiness; quantisation of cosine
        coefficients; how edges bend and how common they are, by the codes of their two ends; colourfulness by
        intensity; quantiles; clipped shares.

    Raises:
        ValueError: tiles of another shape.
    """
    if tiles.dim() != 5 or tiles.shape[2] != 3:
        raise ValueError(f"tiles must be (B, T, 3, H, W), got {tuple(tiles.shape)}")
    short = [max(0, _SMALLEST - side) for side in tiles.shape[3:]]
    if any(short):
        padded = F.pad(tiles.flatten(0, 1), (0, short[1], 0, short[0]), mode="replicate")
        tiles = padded.reshape(*tiles.shape[:2], *padded.shape[1:])
    batch, count, _, height, width = tiles.shape
    pixels = float(count * height * width)
    luma = (tiles * tiles.new_tensor(LUMA_WEIGHTS).view(3, 1, 1)).sum(2)  # (B, T, H, W)
    found: list[Tensor] = []

    for channel in range(3):
        codes = tiles[:, :, channel].flatten(1)
        share = _sums(torch.ones_like(codes), _bins(codes, _CODES), _CODES) / pixels
        found.append(share.clamp(min=1e-4).log() / 4 + 1)

    found.extend(_noise(tiles))
    found.append(_blockiness(tiles))
    found.append(_quantisation(luma))
    found.extend(_edges(tiles, pixels))

    bright = luma.flatten(1)
    level = _bins(bright, _LEVELS)
    colour = (tiles.amax(2) - tiles.amin(2)).flatten(1)
    common = _sums(torch.ones_like(bright), level, _LEVELS)
    found.append((_sums(colour, level, _LEVELS) + 0.1) / (common + 1) * 2)
    # A quantile of every pixel would sort the photo; an even pick of them says the same.
    some = bright[:, :: max(1, bright.shape[1] // 65536)]
    found.append(torch.quantile(some, some.new_tensor(_QUANTILES), dim=1).T)
    found.append((tiles > 250 / 255).float().mean((1, 3, 4)) * 5)
    found.append((tiles.amin(2) > 250 / 255).float().mean((1, 2, 3))[:, None] * 5)
    found.append((tiles < 3 / 255).float().mean((1, 3, 4)) * 5)
    return torch.cat(found, 1)


def _noise(tiles: Tensor) -> list[Tensor]:
    """By intensity: the response of a filter that is blind to edges and ramps (Immerkaer 1996), and the gradient."""
    batch, count, _, height, width = tiles.shape
    kernel = tiles.new_tensor([[1.0, -2.0, 1.0], [-2.0, 4.0, -2.0], [1.0, -2.0, 1.0]]).view(1, 1, 3, 3)
    second = F.conv2d(tiles.reshape(-1, 1, height, width), kernel).abs().reshape(batch, -1) / 6
    inner = tiles[..., 1:-1, 1:-1].reshape(batch, -1)
    slope = (tiles[..., 1:-1, 2:] - tiles[..., 1:-1, :-2]).abs() + (tiles[..., 2:, 1:-1] - tiles[..., :-2, 1:-1]).abs()
    level = _bins(inner, _LEVELS)
    common = _sums(torch.ones_like(inner), level, _LEVELS)

    def mean(values: Tensor, prior: float, weight: float = 1.0) -> Tensor:
        # An empty bin says nothing: it reads as a few pixels of the prior.
        return (_sums(values, level, _LEVELS) + prior * weight) / (common + weight)

    return [
        (mean(second, 0.01) + 1e-3).log() / 3 + 1,
        *(mean((second < step / 255).to(tiles.dtype), 1 / 3, 3.0) for step in _STILL),
        (mean(slope.reshape(batch, -1), 0.05) + 1e-3).log() / 3 + 1,
    ]


def _blockiness(tiles: Tensor) -> Tensor:
    """Log ratio of small steps across the borders of 8 x 8 blocks and elsewhere, along and across: (B, 2)."""
    ratios = []
    for axis in (4, 3):
        step = tiles.diff(dim=axis).abs().clamp(max=0.05).mean([d for d in (1, 2, 3, 4) if d != axis])  # (B, N)
        border = torch.arange(step.shape[1], device=tiles.device) % 8 == 7
        ratios.append(((step[:, border].mean(1) + 1e-4) / (step[:, ~border].mean(1) + 1e-4)).log())
    return torch.stack(ratios, 1)


def _quantisation(luma: Tensor) -> Tensor:
    """Share of cosine coefficients near zero by band, on the 8 x 8 grid, and how much more than off the grid."""
    batch, count, height, width = luma.shape
    k = torch.arange(8, device=luma.device)
    scale = torch.where(k == 0, 1.0, 2.0).div(8).sqrt()
    transform = scale[:, None] * torch.cos(math.pi * (2 * k[None] + 1) * k[:, None] / 16)  # (8, 8)
    band = ((k[:, None] + k[None]).clamp(max=13) // 2 + 1).clamp(max=_BANDS)
    band[0, 0] = 0
    shares = []
    for shift in (0, 4):
        part = luma[..., shift:, shift:] * 255 - 128
        rows, columns = part.shape[2] // 8, part.shape[3] // 8
        blocks = part[..., : rows * 8, : columns * 8].reshape(batch, count * rows, 8, columns, 8).transpose(2, 3)
        near = ((transform @ blocks @ transform.T).abs() < 1).float().mean((1, 2))  # (B, 8, 8)
        shares.append(torch.stack([near[:, band == b].mean(1) for b in range(1, _BANDS + 1)], 1) * 2)
    on, off = shares
    return torch.cat([on, on - off], 1)


def _edges(tiles: Tensor, pixels: float) -> list[Tensor]:
    """Where between its two neighbours a pixel on an edge lies, by the neighbours' codes; and how common that is."""
    batch = tiles.shape[0]
    place = torch.zeros(batch, _ENDS**2, dtype=tiles.dtype, device=tiles.device)
    common = torch.zeros_like(place)
    for axis in (4, 3):
        size = tiles.shape[axis] - 2
        first, middle, last = (tiles.narrow(axis, start, size) for start in range(3))
        low, high = torch.minimum(first, last), torch.maximum(first, last)
        rise = high - low
        # Only a pixel truly between the two is a mixture of them; what clipped is no mixture at all.
        edge = (rise > 0.1) & (middle > low + 0.02 * rise) & (middle < high - 0.02 * rise) & (high < 0.97)
        weight = edge.to(tiles.dtype)
        where = ((middle - low) / rise.clamp(min=0.05) * weight).reshape(batch, -1)
        ends = (_bins(low, _ENDS) * _ENDS + _bins(high, _ENDS)).reshape(batch, -1)
        place += _sums(where, ends, _ENDS**2)
        common += _sums(weight.reshape(batch, -1), ends, _ENDS**2)
    return [(place + 5) / (common + 10) * 4 - 2, (common / pixels + 1e-4).log() / 4 + 1]


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
