"""Calibrations of cameras as files: written by ``hdrgan calibrate``, and found again by what a photo's EXIF says.

::

    {"format": 1, "kind": "hdrgan camera calibration", "make": "NIKON CORPORATION", "model": "NIKON D90", "style": "",
     "response": [0.0, …, 1.0], "codes_seen": 231, "error_stops": 0.05, …, "made": "2025-01-01T00:00:00+00:00"}
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from hdrgan.files.atomic import write_atomic
from hdrgan.light.calibration import Calibrated
from hdrgan.version import __version__

KIND = "hdrgan camera calibration"
log = logging.getLogger(__name__)


class CalibrationFileError(ValueError):
    """A file that is no calibration; the message is one plain sentence."""


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """The measured response of one camera and picture style.

    Args:
        response: (256,) float64 linear values of the codes, ascending from 0 to 1.
        make, model: as EXIF states them; "" where unknown.
        style: the picture style, in the user's words; may be "".
        path: the file that it was read from.
        facts: what else the file says: errors, codes seen, shots.
    """

    response: np.ndarray
    make: str = ""
    model: str = ""
    style: str = ""
    path: Path | None = None
    facts: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """Camera and style in a few words."""
        camera = self.model if self.model.startswith(self.make.split(" ")[0]) else f"{self.make} {self.model}"
        return ", ".join(part for part in (camera.strip(), self.style) if part) or "a camera"

    def is_of(self, rendering: Mapping[str, str]) -> bool:
        """Whether nothing that `hdrgan.files.stack.rendering_of` says of a photo differs from what it said here."""
        own = (self.facts or {}).get("rendering")
        return not isinstance(own, dict) or all(own.get(name, value) == value for name, value in rendering.items())


def camera_folder() -> Path:
    """Where calibrations are looked for: ``~/.config/hdrgan/cameras``, or below ``$XDG_CONFIG_HOME``."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return Path(home) / "hdrgan" / "cameras"


def default_path(make: str, model: str, style: str) -> Path:
    """The file in `camera_folder` for a camera and style."""
    name = "-".join(part for part in (make, model, style) if part) or "camera"
    return camera_folder() / f"{re.sub(r'[^0-9A-Za-z]+', '-', name).strip('-').lower() or 'camera'}.json"


def write_calibration(
    path: Path,
    calibrated: Calibrated,
    *,
    make: str,
    model: str,
    style: str,
    rendering: Mapping[str, str],
    stacks: list[dict[str, Any]],
) -> None:
    """Write a calibration; its folder is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "format": 1,
        "kind": KIND,
        "make": make,
        "model": model,
        "style": style,
        "rendering": dict(rendering),
        "response": [float(f"{value:.6g}") for value in calibrated.response],
        "codes_seen": int(np.count_nonzero(calibrated.seen)),
        "error_stops": _rounded(calibrated.error),
        "mean_camera_error_stops": _rounded(calibrated.mean_error),
        "srgb_error_stops": _rounded(calibrated.srgb_error),
        "held_out": calibrated.held_out,
        "stacks": stacks,
        "hdrgan": __version__,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_atomic(path, (json.dumps(content, indent=1) + "\n").encode())


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def read_calibration(path: Path) -> CameraCalibration:
    """Read a calibration.

    Raises:
        CalibrationFileError: the file is no calibration, or damaged.
        OSError: it cannot be read.
    """
    if path.stat().st_size > 1 << 20:
        raise CalibrationFileError(f"{path} is no camera calibration; make one with 'hdrgan calibrate'.")
    return parse_calibration(path.read_bytes(), path)


def parse_calibration(content: bytes, path: Path) -> CameraCalibration:
    """`read_calibration` of a file's bytes, such as those of an upload; ``path`` names it in errors."""
    try:
        read = json.loads(content)
        response = np.asarray(read["response"], np.float64)
        good = read["kind"] == KIND and read["format"] == 1 and response.shape == (256,)
        make, model, style = (str(read.get(key, ""))[:200] for key in ("make", "model", "style"))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise CalibrationFileError(f"{path} is no camera calibration; make one with 'hdrgan calibrate'.") from error
    if not good or not np.isfinite(response).all() or (np.diff(response) < 0).any():
        raise CalibrationFileError(f"{path} is no camera calibration; make one with 'hdrgan calibrate'.")
    if response[0] != 0 or response[-1] != 1:
        raise CalibrationFileError(f"{path} is damaged: its response does not run from 0 to 1.")
    facts = {key: value for key, value in read.items() if key != "response"}
    return CameraCalibration(response, make, model, style, path, facts)


def find_calibration(
    make: str, model: str, rendering: Mapping[str, str] | None = None
) -> tuple[CameraCalibration | None, int]:
    """The newest calibration in `camera_folder` of a camera, and how many there are.

    Args:
        make, model: as EXIF states them; case does not count.
        rendering: what a photo's EXIF says of its picture style; only calibrations that it does not contradict.
    """
    folder = camera_folder()
    if not model or not folder.is_dir():
        return None, 0
    found: list[CameraCalibration] = []
    for path in sorted(folder.glob("*.json"), key=lambda file: (file.stat().st_mtime, file.name), reverse=True):
        try:
            one = read_calibration(path)
        except (CalibrationFileError, OSError) as error:
            log.warning("left out: %s", error)
            continue
        same = (one.make.casefold(), one.model.casefold()) == (make.casefold(), model.casefold())
        if same and one.is_of(rendering or {}):
            found.append(one)
    return (found[0] if found else None), len(found)
