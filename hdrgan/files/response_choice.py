"""Which response a photo is read with: the one asked for, or the best that is known of it.

``auto``: a picture that no camera made has the sRGB curve; a photo has the curve of its own camera where that was
calibrated, else that of the mean camera. No network guesses it: a photo does not tell its curve.

Of what a file says of its origin, only what can be trusted counts: a maker, a model or an exposure in EXIF is that of a
camera, the name of a renderer or the palette of a GIF that of a drawing. All else is judged by its pixels.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from hdrgan.files import colour
from hdrgan.files.calibrations import CameraCalibration, find_calibration, read_calibration
from hdrgan.files.exif import SOFTWARE
from hdrgan.files.photo import Photo
from hdrgan.files.stack import camera_of, rendering_of
from hdrgan.light.render_signs import looks_rendered
from hdrgan.light.response import mean_camera
from hdrgan.light.srgb import srgb_response

CHOICES = ("auto", "camera", "srgb", "linear")

Response = str | os.PathLike[str] | CameraCalibration

_DRAWS = re.compile(
    r"\b(blender|cycles|arnold|v-?ray|octane|redshift|corona renderer|unreal|unity|povray|pov-ray|luxcore|renderman|"
    r"screenshot|snipping|matplotlib|inkscape|dall|midjourney|stable diffusion)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, eq=False)
class ChosenResponse:
    """The response that a photo is read with.

    Args:
        curve: (256,) float32 linear values of the codes, from 0 to 1.
        kind: "calibration", "camera" (the mean of measured ones), "srgb", "linear" or "file" (the file itself knows).
        why: one sentence.
        calibration: where there is one.
    """

    curve: np.ndarray
    kind: str
    why: str
    calibration: CameraCalibration | None = None


def choose_response(photo: Photo, response: Response = "auto") -> ChosenResponse:
    """Choose the response of a photo.

    Args:
        photo: the photo.
        response: "auto", "camera", "srgb", "linear", the path of a calibration, or a calibration.

    Raises:
        ValueError: ``response`` is none of these, or the file is no calibration.
        OSError: the file cannot be read.
    """
    if photo.response is not None:
        return ChosenResponse(photo.response, "file", "the curve that the file was developed with")
    if isinstance(response, CameraCalibration):
        return _calibrated(response, f"the calibration of {response.title}")
    if not isinstance(response, str) or response not in CHOICES:
        path = Path(response)
        if isinstance(response, str) and not path.exists() and path.suffix.lower() != ".json":
            raise ValueError(f"response must be one of {', '.join(CHOICES)}, or a calibration's file, got {response!r}")
        calibration = read_calibration(path)
        return _calibrated(calibration, f"the calibration of {calibration.title} in {path.name}")
    if response == "linear":
        return ChosenResponse(np.linspace(0, 1, 256, dtype=np.float32), "linear", "taken for linear light, as asked")
    if response == "srgb":
        return ChosenResponse(srgb(), "srgb", "taken for sRGB, as asked")
    if response == "auto":
        return _automatic(photo)
    return ChosenResponse(mean_camera().astype(np.float32), "camera", "the mean of measured cameras, as asked")


def _automatic(photo: Photo) -> ChosenResponse:
    origin = _origin_of(photo)
    if origin == "drawn":
        return ChosenResponse(srgb(), "srgb", "sRGB: the file says that a program drew it")
    if origin == "unknown" and photo.format != "JPEG" and looks_rendered(colour.to_8_bits(photo.pixels)):
        return ChosenResponse(srgb(), "srgb", "sRGB: it looks rendered or drawn")
    calibration, count = find_calibration(*camera_of(photo.exif), rendering=rendering_of(photo.exif))
    if calibration is not None:
        others = f", the newest of {count}" if count > 1 else ""
        name = calibration.path.name if calibration.path is not None else ""
        return _calibrated(calibration, f"the calibration of {calibration.title} in {name}{others}")
    other, _ = find_calibration(*camera_of(photo.exif))
    why = "" if other is None else f"; the calibration of {other.title} is of another picture style, by EXIF"
    return ChosenResponse(mean_camera().astype(np.float32), "camera", f"the mean of measured cameras{why}")


def _origin_of(photo: Photo) -> Literal["camera", "drawn", "unknown"]:
    """Where a photo comes from, by what its file says."""
    if photo.from_camera:
        return "camera"
    software = str(photo.exif.get(SOFTWARE) or "") if photo.exif is not None else ""
    if _DRAWS.search(software) or photo.format == "GIF":
        return "drawn"
    # Nobody renders to JPEG or HEIC what matters, and every site makes JPEGs of photos: in doubt a photograph.
    return "camera" if photo.format == "HEIC" else "unknown"


def _calibrated(calibration: CameraCalibration, why: str) -> ChosenResponse:
    return ChosenResponse(calibration.response.astype(np.float32), "calibration", why, calibration)


def srgb() -> np.ndarray:
    """The inverse of the sRGB curve at the 256 codes, float32."""
    return srgb_response().astype(np.float32)
