"""How a network in training is looked at: figures beside those of doing nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from hdrgan.data.batch import Batch, render
from hdrgan.evaluation.metrics import psnr_of_error, score_radiance, ssim
from hdrgan.evaluation.report import aligned
from hdrgan.light.radiometry import srgb_to_linear

_SSIM_WINDOW = 11


@dataclass(frozen=True)
class Prediction:
    """What a network, or the lack of one, makes of photos.

    bracket: (B, N, 3, H, W) encoded, [0, 1].
    radiance: (B, 3, H, W) linear, 1.0 = the photo's white.
    """

    bracket: Tensor
    radiance: Tensor


def identity(batch: Batch) -> Prediction:
    """The baseline that every network must beat: the photo taken for sRGB and linearised, nothing invented."""
    radiance = srgb_to_linear(batch.srgb)
    return Prediction(render(radiance, batch.srgb, batch.evs), radiance)


def score(prediction: Prediction, batch: Batch) -> dict[str, Any]:
    """Compare one photo's prediction (B = 1) with the truth.

    Returns:
        ``bracket_l1`` (of encoded values), ``radiance_l1`` (stops), mean squared error and SSIM by EV, and, where the
        data set knows the radiance, the figures of `hdrgan.evaluation.metrics.score_radiance`.
    """
    shots = ((ev, prediction.bracket[:, k].clamp(0, 1), batch.bracket[:, k]) for k, ev in enumerate(batch.evs))
    known = batch.radiance_is_known
    return {
        "bracket_l1": float((prediction.bracket - batch.bracket).abs().mean()),
        "radiance_l1": radiance_l1(prediction.radiance, batch.radiance),
        **score_exposures(shots),
        "radiance": score_radiance(prediction.radiance[0], batch.radiance[0], batch.srgb[0]) if known else {},
    }


def score_exposures(shots: Iterable[tuple[float, Tensor, Tensor]]) -> dict[str, dict[float, float]]:
    """``squared`` errors and ``ssim`` by EV of (EV, predicted, true) exposures, each (1, 3, H, W) encoded in [0, 1]."""
    squared, similar = {}, {}
    for ev, predicted, reference in shots:
        squared[ev] = float((predicted.double() - reference.double()).square().mean())
        if min(predicted.shape[-2:]) >= _SSIM_WINDOW:
            similar[ev] = float(ssim(predicted, reference))
    return {"squared": squared, "ssim": similar}


def radiance_l1(predicted: Tensor, reference: Tensor, floor: float = 2**-9, ceiling: float = 2**7) -> float:
    """Mean absolute difference of radiance in stops, clamped to [floor, ceiling] times white."""
    return float((predicted.clamp(floor, ceiling).log2() - reference.clamp(floor, ceiling).log2()).abs().mean())


def summarise(scores: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Figures of all photos from the `score` of each, and ``l1`` where the caller added it.

    Returns:
        Means, and ``bracket_psnr`` (dB, squared errors pooled) and ``bracket_ssim`` by EV as ``-4``, ``+0``, ``+2``:
        the figures of an evaluation, with the two L1 besides.
    """
    figures: dict[str, Any] = {"views": len(scores)}
    for name in [name for name in ("l1", "bracket_l1", "radiance_l1") if name in scores[0]]:
        figures[name] = float(np.mean([one[name] for one in scores]))
    for name in dict.fromkeys(name for one in scores for name in one["radiance"]):
        figures[name] = float(np.mean([one["radiance"][name] for one in scores if name in one["radiance"]]))
    for name, source in (("bracket_psnr", "squared"), ("bracket_ssim", "ssim")):
        evs = dict.fromkeys(ev for one in scores for ev in one[source])
        by_ev = {ev: float(np.mean([one[source][ev] for one in scores if ev in one[source]])) for ev in evs}
        figures[name] = {f"{ev:+g}": psnr_of_error(v) if source == "squared" else v for ev, v in by_ev.items()}
    return figures


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """What `summarise` gave, by system, as aligned text: three blocks with one system a row."""
    shown = [
        (name, title, digits)
        for name, title, digits in (
            ("l1", "L1 as trained", 4),
            ("bracket_l1", "L1 exposures", 4),
            ("radiance_l1", "L1 stops", 3),
            ("pu21", "PU21-PSNR", 2),
            ("pu21_hi", "of highlights", 2),
            ("mu", "mu-PSNR", 2),
        )
        if any(name in row for row in figures.values())
    ]
    evs = list(next(iter(figures.values()))["bracket_psnr"])
    blocks = [
        [["", *(title for _, title, _ in shown)]],
        [["PSNR, dB", *(f"EV {ev}" for ev in evs)]],
        [["SSIM", *(f"EV {ev}" for ev in evs)]],
    ]
    for system, row in figures.items():
        blocks[0].append([system, *(f"{row[name]:.{digits}f}" if name in row else "-" for name, _, digits in shown)])
        blocks[1].append([system, *(f"{row['bracket_psnr'][ev]:.2f}" for ev in evs)])
        blocks[2].append([system, *(f"{row['bracket_ssim'][ev]:.3f}" if row["bracket_ssim"] else "-" for ev in evs)])
    first = max(len(line[0]) for block in blocks for line in block)
    return "\n".join(line for block in blocks for line in aligned(block, first))
