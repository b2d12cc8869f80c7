"""Metrics, each under its exact name: PSNR, SSIM, PU21-PSNR, mu-law PSNR, stops RMSE.

Pure functions on torch tensors, computed in double precision (SSIM in single); a figure is a scalar tensor. Every PSNR
documents its peak and its encoding; what is encoded (``srgb``) and what is linear (``radiance``, or ``nits`` for cd/m²)
is told by the argument's name. Colour pictures have their channels at dimension -3: (..., 3, H, W). Of a mask, boolean
(..., 1, H, W), only these pixels count, and None takes all. ValueError: two pictures differ in shape, or a mask leaves
no pixel.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from hdrgan.light.radiometry import luminance, mu_law
from hdrgan.light.well_exposed import well_exposed

DISPLAY_PEAK_NITS = 1000.0
"""Where the 99.9th percentile of a reference is shown, in cd/m²: a bright HDR display."""

DARKEST_NITS = 0.005
"""The lowest luminance that PU21 is defined for, in cd/m²."""

BRACKET_CEILING = 100.0
"""PSNR of equal exposures, in dB: an infinite value would spoil every mean."""

RADIANCE_CEILING = 99.0
"""PSNR of equal radiance, in dB."""

HIGHLIGHT_START = 0.98
"""Code value of the largest channel from which a pixel of the photo counts as a highlight."""

# Parameters of PU21 "banding_glare", Mantiuk and Azimi, "PU21: A novel perceptually uniform encoding for adapting
# existing quality metrics for HDR", PCS 2021.
_PU21_BANDING_GLARE = (
    0.353487901,
    0.3734658629,
    8.277049286e-05,
    0.9062562627,
    0.09150303166,
    0.9099517204,
    596.3148142,
)
_PU21_BRIGHTEST_NITS = 10_000.0
_PU21_PEAK = 256.0


def _exact(values: Tensor) -> Tensor:
    return values.float() if values.device.type == "mps" else values.double()  # MPS has no float64


def _select(values: Tensor, mask: Tensor | None) -> Tensor:
    return values if mask is None else values[mask.expand(values.shape)]


def _quantile(values: Tensor, q: float) -> float:
    return float(np.quantile(values.cpu().numpy(), q))  # `torch.quantile` refuses more than 2^24 values


def psnr_of_error(mean_squared_error: float, peak: float = 1.0, ceiling: float = BRACKET_CEILING) -> float:
    """PSNR in dB of a mean squared error, e.g. one pooled over many pictures; at most ``ceiling``.

    >>> psnr_of_error(0.01)
    20.0
    """
    if mean_squared_error <= 0:
        return ceiling
    return min(ceiling, 10 * math.log10(peak**2 / mean_squared_error))


def psnr(predicted: Tensor, target: Tensor, peak: float = 1.0, ceiling: float = BRACKET_CEILING) -> Tensor:
    """Peak signal-to-noise ratio in dB over all elements, at most ``ceiling`` (equal pictures).

    Args:
        predicted, target: any shape; ``srgb`` pictures in [0, ``peak``].
        peak: the largest possible value.
        ceiling: what equal pictures score, dB.
    """
    _check_shapes(predicted, target)
    figure = peak_signal_noise_ratio(_exact(predicted), _exact(target), data_range=float(peak))
    return figure.clamp(max=ceiling)


def ssim(predicted: Tensor, target: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004: Gaussian window 11 x 11, sigma 1.5), mean over pictures and channels.

    In [-1, 1]; 1 for equal pictures.

    Args:
        predicted, target: (B, C, H, W) in [0, 1]; H and W at least 11.

    Raises:
        ValueError: for pictures smaller than the window, or not four-dimensional.
    """
    _check_shapes(predicted, target)
    if predicted.dim() != 4 or min(predicted.shape[-2:]) < 11:
        raise ValueError(f"ssim needs (B, C, H, W) of at least 11 x 11 pixels, got {tuple(predicted.shape)}")
    # Single precision: in double, its convolutions take ten times as long and change the fifth digit.
    figure = structural_similarity_index_measure(predicted.float(), target.float(), data_range=1.0)
    assert isinstance(figure, Tensor)  # a tuple only where the full map is asked for
    return figure


def pu21_encode(nits: Tensor) -> Tensor:
    """Encode luminance so that equal steps look equally large: PU21, fit "banding_glare" (Mantiuk and Azimi 2021).

    Args:
        nits: absolute luminance or linear RGB shown on a display, cd/m²; clamped to [0.005, 10000].

    Returns:
        Perceptually uniform values, shaped like ``nits``: 256 at 100 cd/m², about 595 at 10000 cd/m².
    """
    p1, p2, p3, p4, p5, p6, p7 = _PU21_BANDING_GLARE
    powered = _exact(nits).clamp(DARKEST_NITS, _PU21_BRIGHTEST_NITS) ** p4
    return (p7 * (((p1 + p2 * powered) / (1 + p3 * powered)) ** p5 - p6)).clamp(min=0)


def pu21_psnr(predicted_nits: Tensor, reference_nits: Tensor, mask: Tensor | None = None) -> Tensor:
    """PSNR in dB of PU21-encoded light, peak 256 (the code of a 100 cd/m² white), at most 99 dB.

    Args:
        predicted_nits, reference_nits: (..., 3, H, W) linear light on the display, cd/m².
        mask: (..., 1, H, W), or None.
    """
    _check_shapes(predicted_nits, reference_nits, mask)
    return psnr(
        _select(pu21_encode(predicted_nits), mask),
        _select(pu21_encode(reference_nits), mask),
        peak=_PU21_PEAK,
        ceiling=RADIANCE_CEILING,
    )


def mu_psnr(predicted: Tensor, reference: Tensor, mask: Tensor | None = None) -> Tensor:
    """PSNR in dB of relative radiance compressed by `mu_law` with its mu of 5000, peak 1, at most 99 dB.

    Args:
        predicted, reference: (..., 3, H, W) linear, 1.0 = the brightest radiance that counts.
        mask: (..., 1, H, W), or None.
    """
    _check_shapes(predicted, reference, mask)
    return psnr(
        _select(mu_law(_exact(predicted)), mask),
        _select(mu_law(_exact(reference)), mask),
        ceiling=RADIANCE_CEILING,
    )


def stops_rmse(predicted: Tensor, reference: Tensor, mask: Tensor | None = None, floor: float = 5e-6) -> Tensor:
    """Root mean square error of log2 luminance, in stops; 1 is a factor of two.

    Args:
        predicted, reference: (..., 3, H, W) linear radiance, both on one scale.
        mask: (..., 1, H, W), or None.
        floor: darker channels are raised to this value, in the unit of the arguments, so that logarithms are finite.
    """
    _check_shapes(predicted, reference, mask)
    error = torch.log2(luminance(_exact(predicted).clamp(min=floor)) / luminance(_exact(reference).clamp(min=floor)))
    return _select(error, mask).square().mean().sqrt()


def align_exposure(predicted: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """The one scale that brings predicted radiance onto the reference: a Huber-robust mean of the log luminance ratio.

    Ratios further than half a natural logarithm (0.72 stops) from the mean count by their distance only, so that a
    few wrong pixels do not move the scale (iteratively reweighted, 20 rounds from the median).

    Args:
        predicted: (..., 3, H, W) linear radiance on any scale.
        reference: the same shape, on the wanted scale.
        mask: (..., 1, H, W) boolean: well-exposed pixels of the photo.

    Returns:
        (..., 1, 1, 1) scales, one a picture; 1 where no pixel can be trusted.
    """
    _check_shapes(predicted, reference)
    leading = predicted.shape[:-3]
    p = luminance(_exact(predicted)).reshape(-1, *predicted.shape[-2:])
    r = luminance(_exact(reference)).reshape(-1, *predicted.shape[-2:])
    trusted = mask.expand(*leading, 1, *predicted.shape[-2:]).reshape(p.shape) & (p > 1e-9) & (r > 1e-9)
    scales = []
    for one_p, one_r, one_mask in zip(p, r, trusted, strict=True):
        ratio = one_r[one_mask].log() - one_p[one_mask].log()
        if not ratio.numel():
            scales.append(ratio.new_tensor(1.0))
            continue
        centre = ratio.new_tensor(_quantile(ratio, 0.5))
        for _ in range(20):
            weight = 0.5 / (ratio - centre).abs().clamp(min=0.5)
            centre = (weight * ratio).sum() / weight.sum()
        scales.append(centre.exp())
    return torch.stack(scales).reshape(*leading, 1, 1, 1)


def highlights(srgb: Tensor) -> Tensor:
    """Pixels of the photo that are clipped or nearly so: (..., 3, H, W) encoded to a boolean (..., 1, H, W)."""
    return srgb.amax(-3, keepdim=True) >= HIGHLIGHT_START


def trusted_pixels(srgb: Tensor) -> Tensor:
    """The `well_exposed` pixels of a photo; where those are less than 1 %, dark ones count as well.

    (3, H, W) encoded to a boolean (1, H, W).
    """
    both = well_exposed(srgb)
    return both if both.double().mean() >= 0.01 else srgb.amax(-3, keepdim=True) < 0.90


def score_radiance(predicted: Tensor, reference: Tensor, srgb: Tensor) -> dict[str, float]:
    """Score one predicted HDR picture the way the yardstick does.

    The reference is shown with its 99.9th percentile (largest channel) at 1000 cd/m²; the prediction is brought onto
    it with `align_exposure` over the `trusted_pixels`; both are clipped to [0.005, 1000] cd/m².

    Args:
        predicted: (3, H, W) linear radiance on any scale; NaN counts as black, negative values as 0.
        reference: (3, H, W) linear radiance, 1.0 = the photo's white.
        srgb: (3, H, W) the photo, encoded, [0, 1].

    Returns:
        ``pu21`` and ``mu``: PU21-PSNR and mu-law PSNR, dB; ``keep_stops``: `stops_rmse` of well-exposed pixels; and,
        where the photo has `highlights`, ``pu21_hi`` (dB) and ``hi_stops`` (stops) of those pixels alone.
    """
    _check_shapes(predicted, reference)
    _check_shapes(predicted, srgb)
    predicted = _exact(predicted).nan_to_num().clamp(min=0)
    reference = _exact(reference)
    trusted, clipped = trusted_pixels(_exact(srgb)), highlights(_exact(srgb))
    display = DISPLAY_PEAK_NITS / max(_quantile(reference.amax(-3), 0.999), 1e-9)
    scale = align_exposure(predicted, reference * display, trusted)
    reference_nits = (reference * display).clamp(DARKEST_NITS, DISPLAY_PEAK_NITS)
    predicted_nits = (predicted * scale).clamp(DARKEST_NITS, DISPLAY_PEAK_NITS)
    figures = {
        "pu21": float(pu21_psnr(predicted_nits, reference_nits)),
        "mu": float(mu_psnr(predicted_nits / DISPLAY_PEAK_NITS, reference_nits / DISPLAY_PEAK_NITS)),
    }
    if trusted.any():
        figures["keep_stops"] = float(stops_rmse(predicted_nits, reference_nits, trusted, floor=DARKEST_NITS))
    if clipped.any():
        figures["pu21_hi"] = float(pu21_psnr(predicted_nits, reference_nits, clipped))
        figures["hi_stops"] = float(stops_rmse(predicted_nits, reference_nits, clipped, floor=DARKEST_NITS))
    return figures


def _check_shapes(predicted: Tensor, target: Tensor, mask: Tensor | None = None) -> None:
    if predicted.shape != target.shape:
        raise ValueError(f"predicted {tuple(predicted.shape)} and target {tuple(target.shape)} differ in shape")
    if mask is not None and not mask.any():
        raise ValueError("the mask leaves no pixel to score")
