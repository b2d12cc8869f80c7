"""The HDR-GAN layout: ``<Scene>/images/<k>_<0..4>.png``, five exposures of one view from dark to bright.

``evs.json``, a list of five stops with 0 in the middle, may stand beside the pictures, in the scene or in the root; the
nearest one counts, and without one the exposures are at EV -4, -2, 0, 2, 4. Pictures are read at 8 bits.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from hdrgan.data.layout import Fault, FaultyError, visible
from hdrgan.data.scene_cache import scene_key
from hdrgan.files.photo import PhotoError, load_photo
from hdrgan.light.evs import DEFAULT_EVS

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp", ".avif"})
_FRAME = re.compile(r"(?P<name>.+)_(?P<position>[0-4])$")
_BRIGHTNESS_TOLERANCE = 0.5  # of 255: two frames that are all white, or all black, do not contradict their order


@dataclass(frozen=True)
class Bracket:
    """Five exposures of one view: scene, name within it, files from dark to bright, and their stops."""

    scene: str
    name: str
    frames: tuple[Path, ...]
    evs: tuple[float, ...]

    @property
    def where(self) -> str:
        return f"{self.scene}/images/{self.name}"

    @property
    def title(self) -> str:
        return f"{self.scene}/{self.name}"

    @property
    def keys(self) -> dict[str, str]:
        return {"bracket": scene_key(self.frames, "bracket")}

    def read(self) -> dict[str, np.ndarray]:
        """``bracket``: (5, H, W, 3) uint8, encoded; good frames have one size and become brighter."""
        frames, faults = [], []
        for file in self.frames:
            try:
                frames.append(np.asarray(load_photo(file)))
            except (PhotoError, OSError) as error:
                faults.append(Fault(f"{self.scene}/images/{file.name}", str(error)))
        if faults:
            raise FaultyError(*faults)
        sizes = [f"{frame.shape[1]} x {frame.shape[0]}" for frame in frames]
        if len(set(sizes)) > 1:
            raise FaultyError(Fault(self.where, f"mixed sizes: {', '.join(sizes)}"))
        means = [float(frame.mean()) for frame in frames]
        if any(after < before - _BRIGHTNESS_TOLERANCE for before, after in pairwise(means)):
            listed = ", ".join(f"{mean:.1f}" for mean in means)
            says = f"order contradicts brightness: means {listed} of 255 must ascend from _0 to _4"
            raise FaultyError(Fault(self.where, says))
        return {"bracket": np.stack(frames)}


def _read_evs(folders: Sequence[Path]) -> tuple[float, ...]:
    file = next((folder / "evs.json" for folder in folders if (folder / "evs.json").is_file()), None)
    if file is None:
        return DEFAULT_EVS
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file.name} cannot be read: {error}") from error
    numbers = isinstance(content, list) and all(
        isinstance(ev, int | float) and not isinstance(ev, bool) for ev in content
    )
    if not numbers or len(content) != 5 or not all(map(math.isfinite, content)):
        raise ValueError(f"{file.name} must hold a list of five stops, got {json.dumps(content)[:80]}")
    evs = tuple(float(ev) for ev in content)
    if list(evs) != sorted(set(evs)) or evs[2] != 0:
        raise ValueError(f"{file.name} must ascend with 0 in the middle, got {list(evs)}")
    return evs


def scan(root: Path) -> tuple[list[Bracket], list[Fault]]:
    """List the brackets of a folder by their names alone, and what is wrong with those names."""
    brackets: list[Bracket] = []
    faults: list[Fault] = []
    for scene in sorted(path for path in root.iterdir() if path.is_dir() and visible(path)):
        images = scene / "images"
        if not images.is_dir():
            faults.append(Fault(scene.name, "has no folder images/"))
            continue
        try:
            evs = _read_evs((images, scene, root))
        except ValueError as error:
            faults.append(Fault(scene.name, str(error)))
            continue
        frames: dict[str, dict[int, list[Path]]] = defaultdict(lambda: defaultdict(list))
        for file in sorted(images.iterdir()):
            if file.suffix.lower() not in PICTURE_SUFFIXES or not visible(file):
                continue
            match = _FRAME.match(file.stem)
            if match is None:
                faults.append(Fault(f"{scene.name}/images/{file.name}", "is not named <k>_<0..4>"))
            else:
                frames[match["name"]][int(match["position"])].append(file)
        if not frames:
            faults.append(Fault(f"{scene.name}/images", "holds no picture named <k>_<0..4>"))
        for name, positions in frames.items():
            title = f"{scene.name}/images/{name}"
            missing = [f"{name}_{k}" for k in range(5) if k not in positions]
            twice = [f"{name}_{k}" for k, files in positions.items() if len(files) > 1]
            if missing:
                faults.append(Fault(title, f"{len(positions)} of 5 exposures, missing {', '.join(missing)}"))
            elif twice:
                faults.append(Fault(title, f"more than one file for {', '.join(twice)}"))
            else:
                brackets.append(Bracket(scene.name, name, tuple(positions[k][0] for k in range(5)), evs))
    return brackets, faults
