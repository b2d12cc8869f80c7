"""A picture of a response: light in stops below white over the codes, beside the mean camera and sRGB."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hdrgan.files.atomic import atomic_path
from hdrgan.light.response import mean_camera
from hdrgan.light.srgb import srgb_response

_WIDTH, _HEIGHT = 900, 640
_LEFT, _TOP, _RIGHT, _BOTTOM = 70, 30, 30, 60
_DARKEST = -10.0  # stops
_OWN, _MEAN, _SRGB = (20, 90, 200), (210, 100, 20), (130, 130, 130)


def draw_curves(path: Path, response: np.ndarray, seen: np.ndarray, name: str) -> None:
    """Draw a response (256,) as .png; where codes were not ``seen`` (256,) its line is dotted."""
    srgb = srgb_response()
    image = Image.new("RGB", (_WIDTH, _HEIGHT), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(15)

    def at(code: float, stops: float) -> tuple[float, float]:
        x = _LEFT + code / 255 * (_WIDTH - _LEFT - _RIGHT)
        return x, _TOP + stops / _DARKEST * (_HEIGHT - _TOP - _BOTTOM)

    for stops in range(0, int(_DARKEST) - 1, -1):
        draw.line([at(0, stops), at(255, stops)], fill=(225, 225, 225))
        draw.text((_LEFT - 12, at(0, stops)[1]), str(stops), fill="black", font=font, anchor="rm")
    for code in (0, 64, 128, 192, 255):
        draw.line([at(code, 0), at(code, _DARKEST)], fill=(225, 225, 225))
        draw.text((at(code, 0)[0], _HEIGHT - _BOTTOM + 8), str(code), fill="black", font=font, anchor="mt")
    draw.text((_LEFT + 5, 6), "stops below white", fill="black", font=font)
    draw.text((_WIDTH - _RIGHT, _HEIGHT - 18), "code of the photo", fill="black", font=font, anchor="rm")
    for row, (curve, shade, label) in enumerate(
        ((srgb, _SRGB, "sRGB"), (mean_camera(), _MEAN, "mean camera"), (response, _OWN, name))
    ):
        stops_of = np.log2(np.maximum(curve, 2.0**-20))
        for code in range(1, 255):
            dotted = curve is response and not seen[code] and code % 4 < 2
            if stops_of[code] >= _DARKEST and not dotted:
                ends = [at(code, stops_of[code]), at(code + 1, stops_of[code + 1])]
                draw.line(ends, fill=shade, width=3 if curve is response else 2)
        draw.text((_WIDTH - 250, _HEIGHT - 150 + 24 * row), label[:30], fill=shade, font=font)
    with atomic_path(path) as temporary:
        image.save(temporary, "PNG")
