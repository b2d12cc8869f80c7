"""Where the results of every photo go, decided before the first one is opened."""

from __future__ import annotations

import os
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from hdrgan.batch.find import InputPhoto
from hdrgan.files.photo import safe_stem


@dataclass(frozen=True, slots=True)
class Planned:
    """A photo and its results.

    Args:
        photo: its path.
        folder: of its results, below the folder that was asked for; "" is that folder itself.
        name: what the names of its results begin with.
        refusal: why it is not done, where its results would get in the way of another photo's.
    """

    photo: str
    folder: str
    name: str
    refusal: str = ""

    @property
    def place(self) -> str:
        """Folder and name in one, unique in the plan."""
        return os.path.join(self.folder, self.name)


def plan(found: Sequence[InputPhoto]) -> list[Planned]:
    """Give the results of each photo names of their own.

    One folder's results keep the structure that its photos have below it; those of several folders keep the folders as
    well; those of photos that are named one by one stand side by side. Where two photos of different folders would
    then share a name, all keep the structure below the folder that is common to them. Photos of one folder whose names
    differ in the suffix alone (``IMG_1.HEIC``, ``IMG_1.JPG``) carry it in the names of their results. What shares a
    name even so is refused.
    """
    photos = _placed(found, _roots(found))
    if any(len({os.path.dirname(photo.photo) for photo in group}) > 1 for group in _shared(photos)):
        everything = [_folder_of(one) for one in found]
        photos = _placed(found, dict.fromkeys({one.root for one in found}, _common(everything)))
    return _changed(_changed(photos, _with_suffix), _refused)


def _with_suffix(one: Planned, group: Sequence[Planned]) -> Planned:
    return replace(one, name=one.name + re.sub(r"[^.\w]", "_", os.path.splitext(one.photo)[1]))


def _refused(one: Planned, group: Sequence[Planned]) -> Planned:
    names = " and ".join(os.path.basename(other.photo) for other in group[:3])
    return replace(one, refusal=f"The results of {names} would have the same names; rename one of them.")


def _folder_of(one: InputPhoto) -> str:
    return os.path.abspath(one.root or os.path.dirname(one.path))


def _common(folders: Iterable[str]) -> str:
    try:
        return os.path.commonpath(list(folders))
    except ValueError:  # several drives
        return ""


def _roots(found: Sequence[InputPhoto]) -> dict[str, str]:
    """For each folder that was named the one from which on its structure is kept."""
    named = {one.root for one in found if one.root}
    common = _common(map(os.path.abspath, named)) if named else ""
    return dict.fromkeys(named, common)


def _placed(found: Sequence[InputPhoto], roots: dict[str, str]) -> list[Planned]:
    folders: dict[tuple[str, str], str] = {}

    def folder_of(one: InputPhoto) -> str:
        parent, root = os.path.dirname(one.path), roots.get(one.root, "")
        if (parent, one.root) not in folders:
            folder = os.path.relpath(os.path.abspath(parent), root) if root else ""
            folders[parent, one.root] = "" if folder == "." else folder
        return folders[parent, one.root]

    return [Planned(one.path, folder_of(one), safe_stem(one.path)) for one in found]


def _shared(photos: Iterable[Planned]) -> list[list[Planned]]:
    """Photos whose results would have the same place."""
    places: dict[str, list[Planned]] = defaultdict(list)
    for photo in photos:
        place = photo.place
        # These file systems take X and x for the same name.
        places[place.casefold() if sys.platform in ("darwin", "win32") else place].append(photo)
    return [group for group in places.values() if len(group) > 1]


def _changed(photos: list[Planned], change: Callable[[Planned, Sequence[Planned]], Planned]) -> list[Planned]:
    """The plan with ``change(photo, group)`` in place of each photo of a group that shares a place."""
    new = {one.photo: change(one, group) for group in _shared(photos) for one in group}
    return [new.get(photo.photo, photo) for photo in photos]
