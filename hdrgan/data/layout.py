"""Recognise which of the three data layouts a folder has; the error that lists all faults of a data set."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

LAYOUTS = ("bracket", "pairs", "hdr")
TABLE_SUFFIXES = (".xls", ".xlsx", ".csv")
RADIANCE_SUFFIXES = (".hdr", ".exr")
COLUMNS, SPLITS = ("HDR", "SDR"), ("train", "valid")  # of pairs

_EXPECTED = """expected one of
  bracket: <Scene>/images/<k>_<0..4>.png, five exposures dark to bright, optional evs.json
  pairs:   train_SDR/ train_HDR/ valid_SDR/ valid_HDR/ with train.xls and valid.xls (or .xlsx, .csv)
  hdr:     any folder of .hdr or .exr files"""


@dataclass(frozen=True)
class Fault:
    """One thing wrong with a data set: ``where`` (file, row or scene, relative to its root) and ``what``."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class DatasetError(ValueError):
    """A data set that cannot be trained on; ``faults`` holds every reason and the message has one a line."""

    def __init__(self, message: str, faults: Iterable[Fault] = ()):
        self.faults = tuple(faults)
        super().__init__("\n".join([message, *map(str, self.faults)]))


class FaultyError(ValueError):
    """One bracket, pair or scene that cannot be used; ``faults`` holds every reason."""

    def __init__(self, *faults: Fault):
        self.faults = faults
        super().__init__("\n".join(map(str, faults)))


def reason(error: Exception, path: Path) -> str:
    """The message of an error, without the path that a fault names anyway."""
    return str(error).removeprefix(f"{path}: ")


def visible(path: Path) -> bool:
    """Whether a file or folder is not hidden by a leading dot."""
    return not path.name.startswith(".")


def find_table(root: Path, name: str) -> Path | None:
    """The table ``name`` of a pair folder, whichever of its three formats is there, or None."""
    return next((p for p in (root / f"{name}{suffix}" for suffix in TABLE_SUFFIXES) if p.is_file()), None)


def radiance_files(root: Path) -> list[Path]:
    """Every .hdr and .exr file below ``root``, sorted, without those in hidden folders."""
    return sorted(
        path
        for path in root.rglob("*")
        if path.suffix.lower() in RADIANCE_SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def recognise_layout(root: Path) -> str:
    """Tell which of `LAYOUTS` a folder holds.

    Raises:
        DatasetError: there is no such folder, or it looks like none of the layouts, or like more than one.
    """
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder")
    found = []
    if any((root / f"{split}_{kind}").is_dir() or find_table(root, split) for split in SPLITS for kind in COLUMNS):
        found.append("pairs")
    if any(visible(scene) and (scene / "images").is_dir() for scene in root.iterdir()):
        found.append("bracket")
    if not found and radiance_files(root):
        found.append("hdr")
    if len(found) == 1:
        return found[0]
    if found:
        raise DatasetError(f"{root} looks like the layouts {' and '.join(found)}: say which with --layout")
    raise DatasetError(f"{root} holds no data set that is known here; {_EXPECTED}")


def validation_scenes(scenes: Iterable[str], share: float) -> set[str]:
    """Choose the scenes to hold out, by the hash of their names: adding a scene moves no other one.

    Args:
        scenes: names, in any order.
        share: how many to hold out, in [0, 1); at least one of two or more, unless 0.

    Returns:
        Names of the validation scenes; none where a single scene would leave nothing to train on.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of validation scenes must be in [0, 1), got {share}")
    ordered = sorted(set(scenes), key=lambda name: hashlib.sha256(name.encode()).digest())
    if share == 0 or len(ordered) < 2:
        return set()
    return set(ordered[: min(len(ordered) - 1, math.ceil(share * len(ordered)))])
