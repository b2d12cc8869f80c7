"""Draw the results figure of README and card: real photos, what the network makes of them, and the camera's own shots.

python -m benchmarks.results_figure BRACKETS --output docs/results.jpg

BRACKETS holds ``in/<id>.jpg``, ``truth/<id>_ev<EV>.jpg`` and index.csv. Shots are taken evenly from
it, so that nobody chose them. Of each: the photo and the exposures as generated; below, the shots that the same camera
took darker and brighter, where it took any.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdrgan import Pipeline
from hdrgan.models.finding import WEIGHTS_NAME, locate
from hdrgan.models.weights_file import sha256_of

ROOT = Path(__file__).resolve().parent.parent
EVS = (-4.0, -2.0, 2.0, 4.0)
CELL, CAPTION, GAP = 190, 18, 4

Row = list[tuple[str, Image.Image | None]]


def pair_of_rows(brackets: Path, name: str, pipe: Pipeline) -> tuple[Row, Row]:
    """Captioned pictures: the photo with ours, and the camera's own; None where it took none."""
    photo = brackets / "in" / f"{name}.jpg"
    result = pipe(photo, evs=EVS)
    shots = {ev: brackets / "truth" / f"{name}_ev{ev:+g}.jpg" for ev in EVS}
    ours: Row = [("the photo", Image.open(photo).convert("RGB"))]
    ours += [
        (f"ours, EV {ev:+g}", Image.fromarray(np.asarray(shot))) for ev, shot in zip(EVS, result.exposures, strict=True)
    ]
    own: Row = [("", None)]
    own += [
        (f"the camera, EV {ev:+g}", Image.open(file).convert("RGB")) if file.is_file() else ("", None)
        for ev, file in shots.items()
    ]
    return ours, own


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("brackets", type=Path, help="folder with index.csv, in/ and truth/")
    parser.add_argument("--model", default="radiance", help="name, folder or Hub repository (default: %(default)s)")
    parser.add_argument("--shots", type=int, default=6, help="photos of the figure (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/results.jpg", help="(default: %(default)s)")
    args = parser.parse_args()
    with (args.brackets / "index.csv").open(newline="", encoding="utf-8") as lines:
        names = [row["id"] for row in csv.DictReader(lines)]
    chosen = [names[int((k + 0.5) * len(names) / args.shots)] for k in range(min(args.shots, len(names)))]
    pipe = Pipeline.from_pretrained(args.model)
    rows = [row for name in chosen for row in pair_of_rows(args.brackets, name, pipe)]
    font = ImageFont.load_default(12)
    pictures = [next(picture for _, picture in row if picture is not None) for row in rows]
    heights = [round(CELL * picture.height / picture.width) + CAPTION + GAP for picture in pictures]
    figure = Image.new("RGB", ((CELL + GAP) * len(rows[0]) - GAP, sum(heights)), "white")
    draw = ImageDraw.Draw(figure)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for k, (caption, picture) in enumerate(row):
            if picture is None:
                continue
            left = k * (CELL + GAP)
            draw.text((left + 2, top + 2), caption, fill="black", font=font)
            small = picture.resize((CELL, height - CAPTION - GAP), Image.Resampling.LANCZOS)
            figure.paste(small, (left, top + CAPTION))
        top += height
    args.output.parent.mkdir(parents=True, exist_ok=True)
    # Whoever shows the figure can tell whether these are the weights that drew it.
    figure.save(
        args.output, quality=85, optimize=True, comment=f"weights {sha256_of(locate(args.model) / WEIGHTS_NAME)}"
    )


if __name__ == "__main__":
    main()
