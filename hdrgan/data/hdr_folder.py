"""Any folder of .hdr and .exr scenes: views of them, photographed again by the virtual camera in every epoch.

Panoramas (2:1) are projected to rectilinear views, other pictures are cropped. A table ``scenes.tsv`` in the folder
or the one above (columns file, split, site) is read: only scenes of the splits "train" and "validation" are used, and
scenes of one site are never on both sides of the validation. Where the table names scenes for validation, these and no
others are held out.
"""

from __future__ import annotations

import csv
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hdrgan.data.augment import item_rng, reduced, vary_light
from hdrgan.data.camera import VirtualCamera
from hdrgan.data.layout import Fault, FaultyError, radiance_files, reason, validation_scenes
from hdrgan.data.panorama import random_views
from hdrgan.data.scene_cache import SceneCache, scene_key
from hdrgan.files.radiance import RadianceFileError, load_radiance

SCENE_TABLE = "scenes.tsv"
VALIDATION = "validation"  # split of the table whose scenes are held out of training
_VALIDATION_EPOCH = 2**31  # no training epoch is ever this late
_DIMMEST_PERCENTILE = 80  # must hold light: the virtual camera makes one above it white
_BRIGHTEST = 6e4  # half precision ends at 65504


@dataclass(frozen=True)
class Scene:
    """One HDR file: name relative to the root, path, site, and what a table says of validation and of its licence.

    views, size: for training, how many views are drawn of it and their side in pixels.
    """

    name: str
    path: Path
    site: str
    for_validation: bool = False
    licence: str = ""
    views: int = 0
    size: int = 0

    @property
    def where(self) -> str:
        return self.name

    @property
    def title(self) -> str:
        return Path(self.name).stem

    @property
    def keys(self) -> dict[str, str]:
        return {"views": scene_key([self.path], "views", self.name, self.views, self.size)}

    def read(self) -> dict[str, np.ndarray]:
        """``views``: (V, size, size, 3) float16, each on a scale of its own; V <= ``views``: dark ones are left out."""
        # The views of a scene depend on nothing but its name, so that runs with other seeds share them.
        rng = np.random.default_rng((zlib.crc32(self.name.encode()), self.views, self.size))
        views = []
        for view in random_views(self.light(), self.views, self.size, rng):
            reference = float(np.percentile(view.max(-1), 90))
            if reference > 0:
                half = np.minimum(view / reference, _BRIGHTEST).astype(np.float16)
                if np.percentile(half.max(-1), _DIMMEST_PERCENTILE) > 0:
                    views.append(half)
        if not views:
            raise FaultyError(Fault(self.name, "holds no light"))
        return {"views": np.stack(views)}

    def light(self) -> np.ndarray:
        """(H, W, 3) float32 linear; FaultyError where the file cannot be used, or is black."""
        try:
            radiance = load_radiance(self.path)
        except (RadianceFileError, OSError) as error:
            raise FaultyError(Fault(self.name, reason(error, self.path))) from error
        if not radiance.any():
            raise FaultyError(Fault(self.name, "holds no light"))
        return radiance


def scan(root: Path, splits: Collection[str] = ("train", VALIDATION)) -> tuple[list[Scene], list[Fault], int]:
    """List the scenes of a folder.

    Args:
        root: the folder.
        splits: which rows of ``scenes.tsv`` to use, where there is one; files that it does not name are used.

    Returns:
        Scenes, faults, and how many files the table keeps out.
    """
    table = next((f / SCENE_TABLE for f in (root, root.parent) if (f / SCENE_TABLE).is_file()), None)
    rows: dict[Path, dict[str, str]] = {}
    faults: list[Fault] = []
    if table is not None:
        with table.open(newline="", encoding="utf-8") as lines:
            reader = csv.DictReader(lines, delimiter="\t")
            if reader.fieldnames is None or not {"file", "split"} <= set(reader.fieldnames):
                return [], [Fault(table.name, "missing column file or split")], 0
            rows = {(table.parent / row["file"]).resolve(): row for row in reader}
        faults = [
            Fault(row["file"], f"named in {table.name}, but missing")
            for path, row in rows.items()
            if row["split"] in splits and path.is_relative_to(root.resolve()) and not path.is_file()
        ]
    scenes, kept_out = [], 0
    for path in radiance_files(root):
        row = rows.get(path.resolve(), {})
        if row and row["split"] not in splits:
            kept_out += 1
            continue
        name = str(path.relative_to(root))
        site = row.get("site") or str(Path(name).with_suffix(""))
        licence = (row.get("licence") or row.get("license") or "").strip()
        scenes.append(Scene(name, path, site, row.get("split") == VALIDATION, licence))
    return scenes, faults, kept_out


def held_out_sites(scenes: Sequence[Scene], share: float) -> set[str]:
    """Sites to validate on: those that the table names, or else a share of them by the hash of their names."""
    named = {scene.site for scene in scenes if scene.for_validation}
    return named or validation_scenes((scene.site for scene in scenes), share)


class HdrFolder(Dataset[dict[str, Tensor]]):
    """Photographs of views; index with (epoch, index).

    Items are ``{"srgb": (size, size, 3) uint8, "radiance": (size, size, 3) float32, "inverse_response": (256,)}``. The
    part of a view that is photographed is chosen and varied again in every epoch; see `vary_light`.

    Args:
        scenes: entries that passed `SceneCache.examine`, each with as many ``views`` of one ``size``.
        crop_size: side of the photos, at most that of a view; equal sides train on whole views.
        seed: of the camera and of what is varied.
        cache: where rendered views are kept.
        responses: camera responses for `VirtualCamera`, or None.
    """

    def __init__(
        self,
        scenes: Sequence[Scene],
        *,
        crop_size: int,
        seed: int,
        cache: SceneCache,
        responses: Path | None = None,
    ):
        self.scenes, self.crop_size, self.seed, self.cache = list(scenes), crop_size, seed, cache
        self.camera = VirtualCamera(responses)
        self._last: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return sum(scene.views for scene in self.scenes)

    def _view(self, index: int) -> np.ndarray:
        number, view = divmod(index, self.scenes[0].views)
        if self._last is None or self._last[0] != number:
            self._last = number, self.cache.arrays_of(self.scenes[number])["views"]
        views = self._last[1]
        return np.asarray(views[view % len(views)], dtype=np.float32)

    def _shoot(self, light: np.ndarray, rng: np.random.Generator) -> dict[str, Tensor]:
        shot = self.camera.shoot(light, rng)
        return {
            "srgb": torch.from_numpy(np.array(shot.srgb)),
            "radiance": torch.from_numpy(shot.radiance),
            "inverse_response": torch.from_numpy(shot.inverse_response),
        }

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = place
        rng = item_rng(self.seed, epoch, index)
        view = self._view(index)
        try:
            return self._shoot(vary_light(view, self.crop_size, rng), rng)
        except ValueError:  # a dark corner; of the whole view it is known that it holds light
            return self._shoot(reduced(view, self.crop_size), rng)

    def whole(self, index: int) -> dict[str, Tensor]:
        """A whole view in the same photograph every time, for validation."""
        return self._shoot(self._view(index), item_rng(0, _VALIDATION_EPOCH, index))

    def title(self, index: int) -> str:
        """Name of an item on sheets."""
        number, view = divmod(index, self.scenes[0].views)
        return f"{self.scenes[number].title}/{view}"
