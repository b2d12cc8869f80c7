"""What a photo betrays of the curve that its camera bent the light with.

One photo does not determine its response. It does leave traces: light mixes linearly across an edge, so the middle of
a bent edge is off centre (Lin et al. 2004); sensor noise has a known relation to light, so its strength at each code
follows the slope of the curve (Matsushita and Lin 2007); shading makes all channels of a surface brighter by the same
factor, so that the codes of a coloured one tell how steep the curve is at one code beside another; compression tells a
camera's file from a render.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.radiometry import LUMA_WEIGHTS

_CODES = 32  # bins of the histograms
_LEVELS = 16  # bins of intensity in which noise and texture are measured
_ENDS = 8  # bins of each end of an edge
_BANDS = 7  # diagonal bands of the 8 x 8 cosine transform, the mean left out
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95)
_STILL = (0.25, 0.75, 1.5, 3.0)  # steps of 1/255 below which a pixel counts as free of noise
_SHADES = 8  # bins of the codes between which the slope of the curve is compared
_SHADED = (2, 4)  # pixels that are averaged before: JPEG keeps little colour of finer detail
_PATCH = 4  # of these averages, the side of what counts as one surface
_SRGB_OFFSET = 0.055  # codes of sRGB rise in proportion to code + 0.055 for each e-fold of light

EVIDENCE = (
    3 * _CODES
    + (2 + len(_STILL)) * _LEVELS
    + 2
    + 2 * _BANDS
    + len(_SHADED) * (_SHADES - 1)
    + 2 * _ENDS**2
    + _LEVELS
    + len(_QUANTILES)
    + 7
)
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
        coefficients; how the slope of the curve changes from code to code, as shading shows it; how edges bend and how
        common they are, by the codes of their two ends; colourfulness by intensity; quantiles; clipped shares.

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
    found.extend(_shading(tiles))
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


def _shading(tiles: Tensor) -> list[Tensor]:
    """How the slope of the curve changes from code to code, relative to sRGB's: (B, _SHADES - 1) for each of _SHADED.

    Light x of a surface that is shaded changes by dx / x, the same in all channels; its codes by x f'(x) times that.
    The contrast of two channels in one patch thus compares g(c) = log(x f'(x)) at their two codes c. Patches that see
    two surfaces err in either direction, so many are combined by least squares, drawn towards sRGB where they are few.
    """
    batch, count, _, height, width = tiles.shape
    planes = tiles.reshape(-1, 3, height, width)
    found = []
    for side in _SHADED:
        averaged = F.avg_pool2d(planes, side)
        mean = F.avg_pool2d(averaged, _PATCH)
        contrast = (F.avg_pool2d(averaged.square(), _PATCH) - mean.square()).clamp(min=1e-10).sqrt()
        high, low = F.max_pool2d(averaged, _PATCH), -F.max_pool2d(-averaged, _PATCH)
        usable = (contrast > 0.5 / 255) & (high < 0.97) & (low > 0.01)
        total = torch.zeros(batch, _SHADES**2, dtype=tiles.dtype, device=tiles.device)
        common = torch.zeros_like(total)
        for a, b in ((0, 1), (0, 2), (1, 2)):
            product = F.avg_pool2d(averaged[:, a] * averaged[:, b], _PATCH) - mean[:, a] * mean[:, b]
            # Channels that do not rise and fall together show noise, or a border between colours.
            together = product > 0.9 * contrast[:, a] * contrast[:, b]
            weight = (together & usable[:, a] & usable[:, b]).to(tiles.dtype)
            # Relative to sRGB, for which g(c) = log(c + 0.055) but for a constant.
            relative = contrast / (mean + _SRGB_OFFSET)
            change = (relative[:, b] / relative[:, a]).log()
            brighter = mean[:, b] > mean[:, a]
            change = torch.where(brighter, change, -change).clamp(-1.5, 1.5) * weight
            lower, upper = torch.minimum(mean[:, a], mean[:, b]), torch.maximum(mean[:, a], mean[:, b])
            ends = (_bins(lower, _SHADES) * _SHADES + _bins(upper, _SHADES)).reshape(batch, -1)
            total += _sums(change.reshape(batch, -1), ends, _SHADES**2)
            common += _sums(weight.reshape(batch, -1), ends, _SHADES**2)
        found.append(_smooth_steps(total, common) * 4)
    return found


def _smooth_steps(total: Tensor, common: Tensor) -> Tensor:
    """Steps of a function over bins, from sums of its differences between bins: weighted least squares, smooth and low.

    Args:
        total: (B, N * N) sum of differences from bin i to bin j > i, at i * N + j; others are left out.
        common: (B, N * N) how many each is the sum of.

    Returns:
        (B, N - 1).
    """
    bins = math.isqrt(total.shape[1])
    steps = torch.arange(bins - 1, device=total.device)
    place = torch.arange(bins * bins, device=total.device)[:, None]
    between = ((place // bins <= steps) & (steps < place % bins)).to(total.dtype)  # (N * N, N - 1)
    bend = torch.eye(bins - 1, dtype=total.dtype, device=total.device).diff(dim=0)
    prior = 20 * bend.T @ bend + 2 * torch.eye(bins - 1, dtype=total.dtype, device=total.device)
    system = (common[:, None] * between.T) @ between + prior  # (B, N - 1, N - 1)
    rows = torch.cat([system, (total @ between)[..., None]], 2)
    # Elimination by hand, since ONNX has no solver; the system is positive definite and needs no pivots.
    for k in range(bins - 1):
        row = rows[:, k : k + 1] / rows[:, k : k + 1, k : k + 1]
        others = (steps != k).to(total.dtype)[:, None]
        rows = rows * others - (rows[:, :, k : k + 1] * others) * row + (1 - others) * row
    return rows[:, :, -1]


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
