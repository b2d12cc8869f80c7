"""A bracket on disk to pictures and exposures: from EXIF, from a list of times, or from stops."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from hdrgan.files import colour
from hdrgan.files.exif import EXIF_POINTER, EXPOSURE_TIME, MAKE, MODEL, SENSITIVITY, SOFTWARE
from hdrgan.files.photo import PhotoError, load_photo
from hdrgan.light.response_fit import CalibrationError

PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".bmp", ".tif", ".tiff", ".heic", ".heif"}
_LONG_SIDE = 1200  # pixels, to which shots are brought for a calibration
_F_NUMBER = 33437
_MOST_SHOTS = 30
_RENDERING = {"CustomRendered": 41985, "SceneCaptureType": 41990, "Contrast": 41992, "Saturation": 41993}
# What cameras write, as they write it, for exact steps of a third or a half of a stop.
_NOMINAL_SECONDS = (
    *(
        1 / n
        for n in (8000, 6400, 6000, 5000, 4000, 3200, 3000, 2500, 2000, 1600, 1500, 1250, 1000, 800, 750, 640, 500)
    ),
    *(
        1 / n
        for n in (400, 350, 320, 250, 200, 180, 160, 125, 100, 90, 80, 60, 50, 45, 40, 30, 25, 20, 15, 13, 10, 8, 6, 5)
    ),
    *(1 / n for n in (4, 3, 2.5, 2, 1.6, 1.3)),
    *(0.3, 0.4, 0.6, 0.7, 0.8, 1, 1.3, 1.5, 1.6, 2, 2.5, 3, 3.2, 4, 5, 6, 8, 10, 13, 15, 20, 25, 30),
)
_NOMINAL_STOPS = np.log2(_NOMINAL_SECONDS)
_HALVES = {1 / 6000, 1 / 3000, 1 / 1500, 1 / 750, 1 / 350, 1 / 180, 1 / 90, 1 / 45, 0.7, 1.5}


@dataclass(frozen=True)
class Shot:
    """One shot of a bracket.

    Args:
        path: its file.
        pixels: (h, w, 3) uint8 sRGB, reduced to at most 1200 pixels a side.
        ev: stops of exposure: log2 of seconds times sensitivity over the square of the aperture.
        make, model: of the camera, by EXIF; "" where it does not say.
        rendering: see `rendering_of`.
    """

    path: Path
    pixels: np.ndarray
    ev: float
    make: str
    model: str
    rendering: Mapping[str, str] = field(default_factory=dict)


def read_stack(
    paths: Sequence[Path], *, seconds: Mapping[str, float] | None = None, evs: Sequence[float] | None = None
) -> list[Shot]:
    """Read the shots of a bracket.

    Args:
        paths: its files.
        seconds: exposure time by file name; None takes EXIF.
        evs: stops in the order of ``paths``; they count before all else.

    Raises:
        CalibrationError: too few or too many files, a shot without an exposure, or one that is no photo.
    """
    if not 2 <= len(paths) <= _MOST_SHOTS:
        raise CalibrationError(f"A bracket has 2 to {_MOST_SHOTS} shots; {len(paths)} were given.")
    if evs is not None and len(evs) != len(paths):
        raise CalibrationError(f"{len(evs)} exposures were given for {len(paths)} shots; give one for each.")
    shots = []
    for k, path in enumerate(paths):
        try:
            photo = load_photo(path)
        except (PhotoError, OSError) as error:
            raise CalibrationError(f"{path.name}: {error}") from error
        if evs is not None:
            ev: float | None = float(evs[k])
        elif seconds is not None:
            ev = math.log2(seconds[path.name]) if path.name in seconds else None
        else:
            ev = exposure_of(photo.exif)
        if ev is None:
            what = "The list of times does not name it" if seconds is not None else "Its EXIF has no exposure time"
            raise CalibrationError(f"{path.name}: {what}; give --times FILE, or --evs in the order of the files.")
        make, model = camera_of(photo.exif)
        shots.append(Shot(path, reduced(photo.pixels), ev, make, model, rendering_of(photo.exif)))
    return shots


def pictures_in(folder: Path) -> list[Path]:
    """The photos of a folder, by name."""
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in PICTURES)


def camera_of(exif: Image.Exif | None) -> tuple[str, str]:
    """Make and model as EXIF states them, without padding; "" where it does not."""
    if exif is None:
        return "", ""
    make, model = (str(exif.get(tag) or "").replace("\0", "").strip() for tag in (MAKE, MODEL))
    return make, model


def rendering_of(exif: Image.Exif | None) -> dict[str, str]:
    """What EXIF says of the picture style, by the names of its fields, as far as it is stated.

    The style itself stands in the maker notes, of which every maker has his own. Of Software the letters count, since
    the number is that of a release.
    """
    if exif is None:
        return {}
    detail = exif.get_ifd(EXIF_POINTER)
    stated = {name: str(detail[tag]) for name, tag in _RENDERING.items() if isinstance(detail.get(tag), int)}
    software = re.sub(r"[^a-z]+|\bver(sion)?\b", " ", str(exif.get(SOFTWARE) or "").lower()).split()
    return stated | ({"Software": " ".join(software)} if software else {})


def exposure_of(exif: Image.Exif | None) -> float | None:
    """Stops of exposure by EXIF: log2 of seconds times sensitivity over the square of the aperture.

    Nominal times become what cameras do: 1/60 is 1/64 of a second. None where no exposure time is stated.
    """
    if exif is None:
        return None
    fields = exif.get_ifd(EXIF_POINTER)
    time, aperture, sensitivity = (_number(fields.get(tag)) for tag in (EXPOSURE_TIME, _F_NUMBER, SENSITIVITY))
    if not time:
        return None
    stops = exact_stops(time)
    if aperture:
        stops -= (
            round(2 * math.log2(aperture) * 6) / 6 if _near_step(2 * math.log2(aperture)) else 2 * math.log2(aperture)
        )
    if sensitivity:
        own = math.log2(sensitivity / 100)
        stops += round(own * 3) / 3 if abs(round(own * 3) / 3 - own) < 0.04 else own
    return stops


def exact_stops(seconds: float) -> float:
    """log2 of an exposure time; of one that is the nominal name of a step, of the step that it is the name of."""
    stops = math.log2(seconds)
    nearest = int(np.argmin(np.abs(_NOMINAL_STOPS - stops)))
    if abs(_NOMINAL_STOPS[nearest] - stops) > 0.005:
        return stops  # phones write what they did
    step = 2 if _NOMINAL_SECONDS[nearest] in _HALVES else 3
    return round(stops * step) / step


def _near_step(stops: float) -> bool:
    return abs(round(stops * 6) / 6 - stops) < 0.06


def _number(value: object) -> float | None:
    if isinstance(value, (tuple, list)):
        value = value[0] if value else None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    return number if math.isfinite(number) and number > 0 else None


def reduced(pixels: np.ndarray) -> np.ndarray:
    """At most 1200 pixels a side in 8 bits: one pixel of many, averaged with three neighbours where there are enough.

    Averages over wide areas would mix codes across edges, and light is no average of codes.
    """
    pixels = colour.to_8_bits(pixels)
    step = -(-max(pixels.shape[:2]) // _LONG_SIDE)
    if step < 4:
        return np.ascontiguousarray(pixels[::step, ::step])
    height, width = ((side - 1) // step * step for side in pixels.shape[:2])
    corners = [pixels[y:height:step, x:width:step].astype(np.uint16) for y in (0, 1) for x in (0, 1)]
    return np.asarray((corners[0] + corners[1] + corners[2] + corners[3] + 2) >> 2, np.uint8)


def read_times(path: Path) -> dict[str, float]:
    """A list of exposure times: a name and seconds a line, as ``IMG_1.jpg 1/60`` or ``IMG_1.jpg 0.0167``; # comments.

    Raises:
        CalibrationError: a line that cannot be read.
    """
    found: dict[str, float] = {}
    for number, line in enumerate(_lines(path), 1):
        parts = line.split("#")[0].split()
        if not parts:
            continue
        try:
            top, _, bottom = parts[1].partition("/")
            seconds = float(top) / float(bottom or 1)
        except (IndexError, ValueError, ZeroDivisionError):
            seconds = 0
        if not 0 < seconds < math.inf:
            raise CalibrationError(
                f"{path.name}, line {number}: expected a file name and seconds, got {line.strip()!r}"
            )
        found[parts[0]] = seconds
    return found


def _lines(path: Path) -> Iterable[str]:
    return path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
