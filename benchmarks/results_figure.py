"""Draw the results figure of README and card: photos of the yardstick, what the network makes of them, and the truth.

python -m benchmarks.results_figure BENCH --output docs/results.jpg

BENCH is what `hdrgan evaluate` scores: a folder with index.csv. Views are taken evenly from its camera photos, so that
nobody chose them. Of each: the photo, the exposures and the tone-mapped light as generated; below, the error of the
light in stops after one scale for all channels, the true exposures, and the true light tone-mapped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from hdrgan import Pipeline
from hdrgan.evaluation.metrics import align_exposure, well_exposed
from hdrgan.evaluation.scenes import View, yardstick_views
from hdrgan.light.radiometry import luminance
from hdrgan.light.tonemap import tone_map, white_point
from hdrgan.models.pretrained import WEIGHTS_NAME, locate, sha256_of

ROOT = Path(__file__).resolve().parent.parent
EVS = (-4.0, -2.0, 2.0, 4.0)
CELL, CAPTION, GAP = 150, 18, 4
WORST = 2.0  # stops at which the error map is fully red or blue


def error_map(predicted: np.ndarray, truth: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: black where the luminance is right, red where it is too bright, blue where too dark."""
    mine, real = (torch.from_numpy(np.ascontiguousarray(x, np.float64)).permute(2, 0, 1) for x in (predicted, truth))
    srgb = torch.from_numpy(photo / 255.0).permute(2, 0, 1)
    scale = align_exposure(mine, real, well_exposed(srgb))
    stops = torch.log2((luminance(mine) * scale).clamp(min=1e-4)) - torch.log2(luminance(real).clamp(min=1e-4))
    level = (stops[0] / WORST).clamp(-1, 1)
    colours = torch.stack([level.clamp(min=0), torch.zeros_like(level), (-level).clamp(min=0)], -1)
    return (colours * 255).round().to(torch.uint8).numpy()


def cells(view: View, pipe: Pipeline) -> list[list[tuple[str, np.ndarray]]]:
    """Two rows of captioned pictures."""
    result = pipe(view.photo, evs=EVS)
    truth = view.radiance.permute(1, 2, 0).numpy()
    white = white_point(truth)  # for both, so that they can be compared
    real = [(picture.permute(1, 2, 0).numpy() * 255).round().astype(np.uint8) for picture in view.exposures.values()]
    ours = [(f"EV {ev:+g}", shot) for ev, shot in zip(EVS, result.exposures, strict=True)]
    refs = [(f"true EV {ev:+g}", shot) for ev, shot in zip(EVS, real, strict=True)]
    return [
        [("the photo", view.photo.pixels), *ours, ("its light", tone_map(result.radiance, white=white))],
        [
            (f"error, ±{WORST:g} stops", error_map(result.radiance, truth, view.photo.pixels)),
            *refs,
            ("true light", tone_map(truth.astype(np.float32), white=white)),
        ],
    ]


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("bench", type=Path, help="folder with index.csv, as hdrgan evaluate takes")
    parser.add_argument("--model", default="radiance", help="name, folder or Hub repository (default: %(default)s)")
    parser.add_argument("--views", type=int, default=6, help="rows of the figure (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/results.jpg", help="(default: %(default)s)")
    args = parser.parse_args()
    views = [view for view in yardstick_views(args.bench, EVS) if view.condition == "camera"]
    chosen = [views[int((k + 0.5) * len(views) / args.views)] for k in range(min(args.views, len(views)))]
    pipe = Pipeline.from_pretrained(args.model)
    rows = [row for view in chosen for row in cells(view, pipe)]
    font = ImageFont.load_default(12)
    heights = [round(CELL * row[0][1].shape[0] / row[0][1].shape[1]) + CAPTION + GAP for row in rows]
    figure = Image.new("RGB", ((CELL + GAP) * len(rows[0]), sum(heights)), "white")
    draw = ImageDraw.Draw(figure)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for k, (caption, pixels) in enumerate(row):
            left = k * (CELL + GAP)
            draw.text((left + 2, top + 2), caption, fill="black", font=font)
            picture = Image.fromarray(pixels).resize((CELL, height - CAPTION - GAP), Image.Resampling.LANCZOS)
            figure.paste(picture, (left, top + CAPTION))
        top += height
    args.output.parent.mkdir(parents=True, exist_ok=True)
    # Whoever shows the figure can tell whether these are the weights that drew it.
    figure.save(
        args.output, quality=88, optimize=True, comment=f"weights {sha256_of(locate(args.model) / WEIGHTS_NAME)}"
    )


if __name__ == "__main__":
    main()
