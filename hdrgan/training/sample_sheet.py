"""The picture that a run draws at each validation: what is predicted for a few photos above what is true."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from hdrgan.data.batch import Batch
from hdrgan.evaluation.scores import Prediction
from hdrgan.files.atomic import atomic_path
from hdrgan.training.checkpoints import writing

_TILE = 176  # pixels
_CAPTION = 22  # pixels
_CAPTION_WIDTH = 110  # pixels; "EV +2 reference" at the size that captions are drawn in


def sample_sheet(photos: Sequence[tuple[str, Batch, Prediction]]) -> Image.Image:
    """Draw a sheet: for each photo a row of its predicted exposures and below it the true ones, with their EV.

    Args:
        photos: title, batch of one and prediction, for each photo.
    """
    evs = photos[0][1].evs
    rows: list[list[tuple[str, Image.Image | None]]] = []
    for title, batch, prediction in photos:
        for first, bracket, kind in (
            ((title, _tile(batch.srgb[0])), prediction.bracket[0], "predicted"),
            (("", None), batch.bracket[0], "reference"),
        ):
            tiles = [(f"EV {ev:+g} {kind}", _tile(frame)) for ev, frame in zip(evs, bracket, strict=True)]
            rows.append([first, *tiles])
    font = ImageFont.load_default(13)
    cell = max(_CAPTION_WIDTH, max(tile.width for row in rows for _, tile in row if tile is not None)) + 6
    heights = [_CAPTION + max(tile.height for _, tile in row if tile is not None) + 4 for row in rows]
    sheet = Image.new("RGB", (cell * (len(evs) + 1), sum(heights)), (24, 24, 26))
    draw = ImageDraw.Draw(sheet)
    top = 0
    for row, height in zip(rows, heights, strict=True):
        for k, (caption, tile) in enumerate(row):
            draw.text((cell * k + 3, top + 3), caption[:24], fill="white", font=font)
            if tile is not None:
                sheet.paste(tile, (cell * k + 3, top + _CAPTION))
        top += height
    return sheet


def save_sheet(output: Path, step: int, sheet: Image.Image) -> None:
    """Write the sample sheet of a step.

    Raises:
        CheckpointError: it could not be written.
    """
    path = _sheet_file(output, step)
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        with atomic_path(path) as temporary:
            sheet.save(temporary, "PNG")


def sheet_for_card(output: Path, step: int) -> list[tuple[Path, str]]:
    """The sample sheet of a step with its caption, as a JPEG that is small enough for a card; none if there is none."""
    sheet = _sheet_file(output, step)
    if not sheet.is_file():
        return []
    published = sheet.with_name("sheet.jpg")
    with Image.open(sheet) as picture:
        picture.save(published, quality=88)
    return [(published, "predicted exposures above, true ones below")]


def _sheet_file(output: Path, step: int) -> Path:
    return output / "samples" / f"step_{step:06d}.png"


def _tile(srgb: Tensor) -> Image.Image:
    pixels = (srgb.clamp(0, 1) * 255).round().byte().movedim(0, -1).cpu().numpy()
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((_TILE, _TILE), Image.Resampling.LANCZOS)
    return picture
