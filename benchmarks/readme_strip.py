"""Draw the strip on the first screen of the README: a photo, before and after, its HDR light, its five exposures.

python -m benchmarks.readme_strip

The photo is one of the examples, so nothing outside the repository is needed. Above: the photo; the photo left of a
line and the finished picture right of it; the light, tone-mapped two stops darker so that what is above white is seen.
Below: the exposures. Background and captions are the strip's own: it looks the same on a light page and on a dark one.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdrgan import Pipeline, Result
from hdrgan.light.tonemap import tone_map
from hdrgan.models.finding import WEIGHTS_NAME, locate
from hdrgan.models.weights_file import sha256_of

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 1600
ASPECT = 1.9  # width over height of every picture: two rows of it are low enough for a first screen
DARKER = -2.0  # stops added to the light before it is tone-mapped
GAP, CAPTION, TEXT, LINE = 10, 31, 22, 4  # pixels at WIDTH
BACKGROUND, INK = "#24292f", "#f0f3f6"

Captioned = tuple[str, Image.Image]


def plain(caption: str) -> str:
    """A caption of an exposure in the characters that Pillow's own font has."""
    return caption.replace("\N{MINUS SIGN}", "-").replace("\N{MULTIPLICATION SIGN} ", " times ")


def cropped(pixels: np.ndarray) -> Image.Image:
    """The middle of a picture, (H, W, 3) uint8, in the strip's aspect."""
    picture = Image.fromarray(np.asarray(pixels))
    width = min(picture.width, round(picture.height * ASPECT))
    height = min(picture.height, round(picture.width / ASPECT))
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))


def before_after(photo: Image.Image, finished: Image.Image, line: int) -> Image.Image:
    """The left half of one picture and the right half of the other, which has its size, with a line between them."""
    both, middle = photo.copy(), photo.width // 2
    both.paste(finished.crop((middle, 0, *finished.size)), (middle, 0))
    left = middle - line // 2
    ImageDraw.Draw(both).rectangle((left, 0, left + line - 1, both.height), fill="white")
    return both


def strip(result: Result, width: int = WIDTH) -> Image.Image:
    """All pictures of a result, of an 8-bit photo, in two captioned rows."""
    gap, caption, text, line = (max(1, round(size * width / WIDTH)) for size in (GAP, CAPTION, TEXT, LINE))
    photo, finished = cropped(result.photo.pixels), cropped(result.finished())
    thick = max(1, round(line * photo.width / (width / 3)))  # it is reduced with the picture
    rows: tuple[Sequence[Captioned], ...] = (
        (
            ("the photo", photo),
            ("before | after: finished", before_after(photo, finished, thick)),
            (f"HDR light, tone-mapped {-DARKER:g} stops darker", cropped(tone_map(result.radiance, DARKER))),
        ),
        [(plain(said), cropped(shot)) for said, shot in zip(result.captions, result.exposures, strict=True)],
    )
    widths = [(width - (len(row) + 1) * gap) / len(row) for row in rows]
    heights = [round(each / ASPECT) for each in widths]
    figure = Image.new("RGB", (width, gap + sum(heights) + len(rows) * caption), BACKGROUND)
    draw, font = ImageDraw.Draw(figure), ImageFont.load_default(text)
    top = gap
    for row, each, height in zip(rows, widths, heights, strict=True):
        for k, (said, picture) in enumerate(row):
            left = round(gap + k * (each + gap))
            figure.paste(picture.resize((round(each), height), Image.Resampling.LANCZOS), (left, top))
            # The divider of before and after stands in the middle, and so does the bar in its caption.
            shift = draw.textlength(said.split("|")[0] + "|", font) if "|" in said else draw.textlength(said, font) / 2
            draw.text((left + each / 2 - shift, top + height + caption / 2), said, fill=INK, font=font, anchor="lm")
        top += height + caption
    return figure


def main() -> None:
    """Draw and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photo", type=Path, default=ROOT / "examples/sunset.jpg", help="(default: %(default)s)")
    parser.add_argument("--model", default="radiance", help="name, folder or Hub repository (default: %(default)s)")
    parser.add_argument("--width", type=int, default=WIDTH, help="in pixels (default: %(default)s)")
    parser.add_argument("--output", type=Path, default=ROOT / "docs/strip.jpg", help="(default: %(default)s)")
    args = parser.parse_args()
    figure = strip(Pipeline.from_pretrained(args.model)(args.photo), args.width)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    # Whoever shows the strip can tell whether these are the weights that drew it.
    comment = f"weights {sha256_of(locate(args.model) / WEIGHTS_NAME)}"
    figure.save(args.output, quality=90, optimize=True, progressive=True, comment=comment)


if __name__ == "__main__":
    main()
