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
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hdrgan.data.augment import Window, item_rng
from hdrgan.data.layout import Fault, visible
from hdrgan.data.scene_cache import SceneCache, scene_key
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
    def title(self) -> str:
        """Its name in messages."""
        return f"{self.scene}/images/{self.name}"


def read_pixels(path: Path) -> np.ndarray:
    """A photo's pixels at 8 bits: (H, W, 3) uint8, encoded."""
    return np.asarray(load_photo(path))


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


def _key(bracket: Bracket) -> str:
    return scene_key(bracket.frames, "bracket")


def examine(bracket: Bracket, minimum: int, evs: Sequence[float], cache: SceneCache) -> list[Fault]:
    """Decode a bracket, keep it in the cache, and list what is wrong with it.

    Args:
        bracket: an entry of `scan`.
        minimum: smallest usable side in pixels.
        evs: the stops that all brackets of the data set must have.
        cache: takes the decoded frames.
    """
    if bracket.evs != tuple(evs):
        return [Fault(bracket.title, f"its EVs {list(bracket.evs)} differ from the {list(evs)} of the others")]
    key = _key(bracket)
    if cache.is_checked(key):
        return []
    frames, faults = [], []
    for file in bracket.frames:
        try:
            frames.append(read_pixels(file))
        except (PhotoError, OSError) as error:
            faults.append(Fault(f"{bracket.scene}/images/{file.name}", str(error)))
    if faults:
        return faults
    sizes = [f"{frame.shape[1]} x {frame.shape[0]}" for frame in frames]
    if len(set(sizes)) > 1:
        return [Fault(bracket.title, f"mixed sizes: {', '.join(sizes)}")]
    if min(frames[0].shape[:2]) < minimum:
        return [Fault(bracket.title, f"{sizes[0]} is smaller than the crop of {minimum} pixels")]
    means = [float(frame.mean()) for frame in frames]
    if any(after < before - _BRIGHTNESS_TOLERANCE for before, after in zip(means, means[1:], strict=False)):
        listed = ", ".join(f"{mean:.1f}" for mean in means)
        return [Fault(bracket.title, f"order contradicts brightness: means {listed} of 255 must ascend from _0 to _4")]
    cache.store(key, np.stack(frames))
    cache.mark_checked(key)
    return []


class BracketFolder(Dataset[dict[str, Tensor]]):
    """Brackets as items ``{"bracket": (5, size, size, 3) uint8}``; index with (epoch, index).

    Args:
        brackets: entries that passed `examine`.
        crop_size: side of the random crops in pixels.
        seed: of crops, flips and turns.
        cache: where decoded brackets are kept.
    """

    def __init__(self, brackets: Sequence[Bracket], *, crop_size: int, seed: int, cache: SceneCache):
        self.brackets, self.crop_size, self.seed, self.cache = list(brackets), crop_size, seed, cache

    def __len__(self) -> int:
        return len(self.brackets)

    def _frames(self, index: int) -> np.ndarray:
        bracket = self.brackets[index]
        kept = self.cache.load(_key(bracket))
        return np.stack([read_pixels(file) for file in bracket.frames]) if kept is None else kept

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = place
        frames = self._frames(index)  # (5, H, W, 3)
        height, width = frames.shape[1:3]
        window = Window.draw(item_rng(self.seed, epoch, index), height, width, self.crop_size)
        return {"bracket": torch.from_numpy(window.cut(frames))}

    def whole(self, index: int) -> dict[str, Tensor]:
        """The whole bracket, for validation."""
        return {"bracket": torch.from_numpy(np.array(self._frames(index)))}

    def title(self, index: int) -> str:
        """Name of an item in messages."""
        return f"{self.brackets[index].scene}/{self.brackets[index].name}"
