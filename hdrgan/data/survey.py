"""Check a whole data set before training on it, and open what passed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any

from hdrgan.data import bracket_folder, hdr_folder, pair_folder
from hdrgan.data.augment import CroppedFolder
from hdrgan.data.hdr_folder import HdrFolder
from hdrgan.data.layout import DatasetError, Fault, recognise_layout, validation_scenes
from hdrgan.data.scene_cache import Entry, SceneCache
from hdrgan.light.evs import DEFAULT_EVS
from hdrgan.light.parallel import each

PhotoDataset = CroppedFolder | HdrFolder


@dataclass(frozen=True)
class ReadSettings:
    """How a data set is read.

    crop_size: side of the training crops in pixels.
    validation_share: share of the scenes to hold out (bracket and hdr; pairs bring their own valid table).
    views, view_size: views of each HDR scene and their side in pixels (hdr).
    responses: file of camera responses for the virtual camera (hdr).
    """

    crop_size: int
    validation_share: float = 0.1
    views: int = 24
    view_size: int = 256
    responses: Path | None = None


@dataclass
class Survey:
    """What a data set holds: layout, good entries for training and validation, stops of its brackets, faults.

    kept_out: HDR scenes that ``scenes.tsv`` reserves for other purposes.
    """

    layout: str
    training: list[Any] = field(default_factory=list)
    validation: list[Any] = field(default_factory=list)
    evs: tuple[float, ...] = DEFAULT_EVS
    faults: list[Fault] = field(default_factory=list)
    kept_out: int = 0

    def open(self, *, validation: bool, settings: ReadSettings, seed: int, cache: SceneCache) -> PhotoDataset:
        """The data set of one side."""
        entries = self.validation if validation else self.training
        if self.layout == "hdr":
            crop, responses = settings.crop_size, settings.responses
            return HdrFolder(entries, crop_size=crop, seed=seed, cache=cache, responses=responses)
        return CroppedFolder(entries, crop_size=settings.crop_size, seed=seed, cache=cache)


def survey(
    root: Path,
    settings: ReadSettings,
    cache: SceneCache,
    *,
    layout: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Survey:
    """Read every file of a data set once, fill the cache, and list all that is wrong.

    Args:
        root, settings, cache: the folder, how it will be read, and what takes decoded scenes.
        layout: one of `LAYOUTS`; None recognises it.
        skip_bad: leave bad entries out rather than refuse.
        progress: called with entries done and entries in all.

    Returns:
        The good entries; ``faults`` is empty unless ``skip_bad``.

    Raises:
        DatasetError: the layout is unknown, something is bad, or nothing good is left to train on.
    """
    layout = layout or recognise_layout(root)
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder")
    found = Survey(layout)
    entries: Sequence[Any]
    if layout == "bracket":
        brackets, found.faults = bracket_folder.scan(root)
        common = Counter(bracket.evs for bracket in brackets).most_common(1)
        found.evs = common[0][0] if common else DEFAULT_EVS
        entries = [bracket for bracket in brackets if bracket.evs == found.evs]
        for odd in (bracket for bracket in brackets if bracket.evs != found.evs):
            says = f"its EVs {list(odd.evs)} differ from the {list(found.evs)} of the others"
            found.faults.append(Fault(odd.where, says))
        group, kept_back = "scene", validation_scenes((one.scene for one in brackets), settings.validation_share)
    elif layout == "pairs":
        entries, found.faults = pair_folder.scan(root)
        group, kept_back = "split", {"valid"}
    else:
        scenes, found.faults, found.kept_out = hdr_folder.scan(root)
        entries = [replace(scene, views=settings.views, size=settings.view_size) for scene in scenes]
        group, kept_back = "site", hdr_folder.held_out_sites(scenes, settings.validation_share)
    counting, done = threading.Lock(), count(1)

    def examine(entry: Entry) -> tuple[Fault, ...]:
        faults = cache.examine(entry, settings.crop_size)
        with counting:
            progress(next(done), len(entries))
        return faults

    for entry, faults in zip(entries, each(examine, entries), strict=True):
        found.faults += faults
        if not faults:
            (found.validation if getattr(entry, group) in kept_back else found.training).append(entry)
    if found.faults and not skip_bad:
        raise DatasetError(f"{root} has {len(found.faults)} faults:", found.faults)
    if not found.training:
        raise DatasetError(f"{root} has nothing good to train on", found.faults)
    return found
