"""Check a whole data set before training on it, and open what passed."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hdrgan.data import bracket_folder, hdr_folder, pair_folder
from hdrgan.data.bracket_folder import BracketFolder
from hdrgan.data.hdr_folder import HdrFolder
from hdrgan.data.layout import DatasetError, Fault, recognise_layout, validation_scenes
from hdrgan.data.pair_folder import PairFolder
from hdrgan.data.scene_cache import SceneCache
from hdrgan.light.evs import DEFAULT_EVS
from hdrgan.light.parallel import each

PhotoDataset = BracketFolder | PairFolder | HdrFolder


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
        if self.layout == "bracket":
            return BracketFolder(entries, crop_size=settings.crop_size, seed=seed, cache=cache)
        if self.layout == "pairs":
            return PairFolder(entries, crop_size=settings.crop_size, seed=seed, cache=cache)
        return HdrFolder(
            entries,
            views=settings.views,
            view_size=settings.view_size,
            crop_size=settings.crop_size,
            seed=seed,
            cache=cache,
            responses=settings.responses,
        )


def _examine_all(
    entries: list[Any], examine: Callable[[Any], list[Fault]], progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Any, list[Fault]]]:
    done, counting = 0, threading.Lock()

    def examined(entry: Any) -> list[Fault]:
        nonlocal done
        faults = examine(entry)
        with counting:
            done += 1
            if progress is not None:
                progress(done, len(entries))
        return faults

    return zip(entries, each(examined, entries), strict=True)


def survey(
    root: Path,
    settings: ReadSettings,
    cache: SceneCache,
    *,
    layout: str | None = None,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Survey:
    """Read every file of a data set once, fill the cache, and list all that is wrong.

    Args:
        root: the folder.
        settings: how it will be read.
        cache: takes decoded scenes.
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
    entries: list[Any]
    examine: Callable[[Any], list[Fault]]
    kept_back: Collection[str]
    minimum = settings.crop_size
    if layout == "bracket":
        entries, found.faults = bracket_folder.scan(root)
        common = Counter(entry.evs for entry in entries).most_common(1)
        found.evs = common[0][0] if common else DEFAULT_EVS
        kept_back = validation_scenes((entry.scene for entry in entries), settings.validation_share)
        group, examine = "scene", partial(bracket_folder.examine, minimum=minimum, evs=found.evs, cache=cache)
    elif layout == "pairs":
        entries, found.faults = pair_folder.scan(root)
        kept_back, group, examine = {"valid"}, "split", partial(pair_folder.examine, minimum=minimum, cache=cache)
    else:
        entries, found.faults, found.kept_out = hdr_folder.scan(root)
        kept_back = hdr_folder.held_out_sites(entries, settings.validation_share)
        views, size = settings.views, settings.view_size
        group, examine = "site", partial(hdr_folder.examine, views=views, size=size, cache=cache)
    for entry, faults in _examine_all(entries, examine, progress):
        found.faults += faults
        if not faults:
            (found.validation if getattr(entry, group) in kept_back else found.training).append(entry)
    if found.faults and not skip_bad:
        raise DatasetError(f"{root} has {len(found.faults)} faults:", found.faults)
    if not found.training:
        raise DatasetError(f"{root} has nothing good to train on", found.faults)
    return found
