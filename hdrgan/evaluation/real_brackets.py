"""Real brackets as a test: what a system makes of one shot, beside the shots that the same camera took of the scene.

A folder holds ``index.csv`` (id, stack, clipped, evs), ``in/<id>.jpg`` and ``truth/<id>_ev<EV>.jpg``. Hands and wind
move between shots, so no system reaches an infinite PSNR; *curve*, the photo through the mean of measured cameras with
no network at all, is what every network has to beat.
"""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hdrgan.data.layout import DatasetError, Fault
from hdrgan.files.calibrations import CameraCalibration
from hdrgan.files.photo import Photo, PhotoError, load_photo
from hdrgan.files.stack import reduced
from hdrgan.light.calibration import Bracket, CalibrationError, calibrate
from hdrgan.light.response import mean_camera

CONDITION = "real brackets"
OWN_CALIBRATION = "own calibration"
REAL_FIGURES = {
    "all": "PSNR in dB of each EV, peak 1, encoded, mean over the photos",
    "blown": "the same of the pixels that clipped in the photo; EVs below 0",
    "rim": "the same of clipped pixels within 8 pixels of what did not clip, where halos are",
    "range": "stops from the 5th to the 95th percentile of blown light, ours minus the camera's; 0 is best",
}
_COLUMNS = {"id", "stack", "evs"}
_BLOWN = 0.98  # code of the largest channel
_FEWEST_BLOWN = 200
_WORST = 1e-6  # mean squared error of equal pictures
# A step of a distance along a row or column, and along a diagonal (Borgefors 1986), and how far the rim reaches.
_STRAIGHT, _DIAGONAL, _REACH = 0.955, 1.3693, 8.0
_CODES = np.linspace(0, 1, 256)


@dataclass(frozen=True)
class RealBracket:
    """A shot and those that the same camera took at other exposures.

    Args:
        title: what to call it.
        photo: the shot.
        others: the other shots by EV relative to it.
        stack: all shots that there are of the scene, each with its exposure in stops.
    """

    title: str
    photo: Photo
    others: Mapping[float, Photo]
    stack: Sequence[tuple[float, Photo]]

    def own_calibration(self, ev: float) -> CameraCalibration | None:
        """The camera's response by the shots of the stack but that which ``ev`` is scored against; None if refused."""
        shots = [(stops, photo) for stops, photo in self.stack if photo is not self.others[ev]]
        pictures, stops = [reduced(photo.pixels) for _, photo in shots], [stops for stops, _ in shots]
        try:
            response = calibrate([Bracket(pictures, stops, [f"{one:+g} EV" for one in stops])]).response
        except CalibrationError:
            return None
        return CameraCalibration(response)


def is_real_brackets(folder: Path) -> bool:
    """Whether a folder's ``index.csv`` is one of real brackets."""
    try:
        with (folder / "index.csv").open(newline="", encoding="utf-8") as lines:
            return set(csv.DictReader(lines).fieldnames or ()) >= _COLUMNS
    except (OSError, UnicodeDecodeError):
        return False


def read_index(folder: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Name and EVs of every shot.

    Raises:
        DatasetError: the table names no shot, or its EVs are no whole stops.
    """
    with (folder / "index.csv").open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    try:
        found = [(row["id"], tuple(sorted(int(ev) for ev in row["evs"].split()))) for row in rows]
    except (ValueError, AttributeError) as error:
        raise DatasetError(f"{folder / 'index.csv'} has EVs that are no whole stops") from error
    if not found:
        raise DatasetError(f"{folder / 'index.csv'} names no shot")
    return found


def real_brackets(folder: Path, rows: list[tuple[str, tuple[int, ...]]]) -> Iterator[RealBracket]:
    """Read the shots of a folder one by one.

    Raises:
        DatasetError: a file is missing or damaged, or has another size than its shot.
    """
    for name, evs in rows:
        try:
            photo = load_photo(folder / "in" / f"{name}.jpg")
            others = {float(ev): load_photo(folder / "truth" / f"{name}_ev{ev:+d}.jpg") for ev in evs}
        except (PhotoError, OSError) as error:
            raise DatasetError(f"{folder} cannot be scored", [Fault(name, str(error))]) from error
        if any(other.pixels.shape != photo.pixels.shape for other in others.values()):
            raise DatasetError(f"{folder} cannot be scored", [Fault(name, "its shots have different sizes")])
        yield RealBracket(name, photo, others, [(0.0, photo), *others.items()])


class RealTally:
    """Figures of one system on real brackets."""

    def __init__(self) -> None:
        self._figures: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in REAL_FIGURES}

    def add(self, photo: np.ndarray, ev: float, predicted: np.ndarray, truth: np.ndarray) -> None:
        """Score one exposure: all (H, W, 3) encoded in [0, 1]."""
        error = (predicted - truth) ** 2
        key = f"{ev:+g}"
        self._figures["all"][key].append(_psnr(error))
        blown = photo.max(-1) >= _BLOWN
        if ev >= 0 or np.count_nonzero(blown) <= _FEWEST_BLOWN:
            return
        self._figures["blown"][key].append(_psnr(error[blown]))
        self._figures["rim"][key].append(_psnr(error[rim_of(blown)]))
        self._figures["range"][key].append(_spread(predicted, blown) - _spread(truth, blown))

    def figures(self) -> dict[str, Any]:
        """Means by EV of each of `REAL_FIGURES` that was scored."""
        return {
            name: {
                ev: round(float(np.mean(values)), 4) for ev, values in sorted(by_ev.items(), key=lambda i: float(i[0]))
            }
            for name, by_ev in self._figures.items()
            if by_ev
        }


def _psnr(squared: np.ndarray) -> float:
    return float(-10 * np.log10(max(float(squared.mean()) if squared.size else 0.0, _WORST)))


def _spread(encoded: np.ndarray, blown: np.ndarray) -> float:
    light = np.interp(encoded[blown], _CODES, mean_camera()).mean(-1)
    low, high = np.log2(np.percentile(light, (5, 95)) + 1e-3)
    return float(high - low)


def rim_of(blown: np.ndarray) -> np.ndarray:
    """Blown pixels (H, W) within 8 pixels of one that is not."""
    height, width = blown.shape
    clear = ~blown
    near = np.zeros_like(blown)
    sums = np.pad(clear.cumsum(1), ((0, 0), (1, 0)))
    columns = np.arange(width)
    for down in range(-int(_REACH / _STRAIGHT), int(_REACH / _STRAIGHT) + 1):
        across = max(x for x in range(9) if x == 0 or _length(x, abs(down)) <= _REACH)
        if _length(0, abs(down)) > _REACH:
            continue
        any_there = sums[:, np.minimum(columns + across + 1, width)] > sums[:, np.maximum(columns - across, 0)]
        top, bottom = max(0, -down), height - max(0, down)
        near[top:bottom] |= any_there[top + down : bottom + down]
    return np.asarray(blown & near)


def _length(across: int, down: int) -> float:
    return _STRAIGHT * abs(across - down) + _DIAGONAL * min(across, down)
