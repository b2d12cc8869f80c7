"""The EIN layout: ``train_SDR/ train_HDR/ valid_SDR/ valid_HDR/`` and the tables ``train.xls`` and ``valid.xls``.

A table (.xls, .xlsx or .csv) has the columns HDR and SDR with file names inside the two folders. The scale of published
HDR files means nothing, so radiance is brought onto the photo: 1.0 = its white, by the median over pixels that the
photo shows well.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from python_calamine import CalamineError, CalamineWorkbook
from torch import Tensor
from torch.utils.data import Dataset

from hdrgan.data.augment import Window, item_rng
from hdrgan.data.bracket_folder import read_pixels
from hdrgan.data.layout import Fault, find_table, reason
from hdrgan.data.scene_cache import SceneCache, scene_key
from hdrgan.files.photo import PhotoError, shared_tensor
from hdrgan.files.radiance import RadianceFileError, load_radiance
from hdrgan.light.anchoring import match_exposure
from hdrgan.light.radiometry import srgb_to_linear
from hdrgan.light.well_exposed import well_exposed

COLUMNS = ("HDR", "SDR")
SPLITS = ("train", "valid")
_BRIGHTEST = 6e4  # half precision ends at 65504


@dataclass(frozen=True)
class Pair:
    """A photo and its radiance; ``row`` is the line of the table that names them."""

    split: str
    row: str
    srgb: Path
    radiance: Path


def _read_table(file: Path) -> list[list[str]]:
    if file.suffix.lower() == ".csv":
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return [[cell.strip() for cell in row] for row in csv.reader(lines)]
    sheet = CalamineWorkbook.from_path(file).get_sheet_by_index(0)
    # Spreadsheets turn a name like 0012 into the number 12.0.
    return [
        [str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell).strip() for cell in row]
        for row in sheet.to_python()
    ]


def _find(folder: Path, name: str) -> Path | None:
    """The file of that name, or the only one with that stem, or None."""
    exact = folder / name
    if exact.is_file():
        return exact
    alike = [path for path in folder.glob(f"{Path(name).name}.*") if path.is_file()] if name else []
    return alike[0] if len(alike) == 1 else None


def scan(root: Path, splits: Sequence[str] = SPLITS) -> tuple[list[Pair], list[Fault]]:
    """List the pairs that the tables of these splits name, and the faults of tables, rows and names."""
    pairs: list[Pair] = []
    faults: list[Fault] = []
    for split in splits:
        folders = {column: root / f"{split}_{column}" for column in COLUMNS}
        absent = [folder.name for folder in folders.values() if not folder.is_dir()]
        faults += [Fault(name, "this folder is missing") for name in absent]
        table = find_table(root, split)
        if table is None:
            faults.append(Fault(f"{split}.xls", "this table is missing (.xlsx and .csv would do as well)"))
            continue
        try:
            header, *rows = _read_table(table) or [[]]
        except (CalamineError, OSError, UnicodeDecodeError, csv.Error) as error:
            faults.append(Fault(table.name, f"cannot be read: {error}"))
            continue
        places = {title.upper(): place for place, title in reversed(list(enumerate(header)))}
        lacking = [column for column in COLUMNS if column not in places]
        if lacking:
            listed = ", ".join(header) or "none"
            faults += [Fault(table.name, f"missing column {column} (columns: {listed})") for column in lacking]
            continue
        if absent:
            continue
        for number, row in enumerate(rows, start=2):
            if not any(row):
                continue
            where = f"{table.name} row {number}"
            found: dict[str, Path] = {}
            for column in COLUMNS:
                name = row[places[column]] if places[column] < len(row) else ""
                path = _find(folders[column], name)
                if path is not None:
                    found[column] = path
                elif name:
                    faults.append(Fault(where, f"missing file {folders[column].name}/{name}"))
                else:
                    faults.append(Fault(where, f"has no {column}"))
            if len(found) == 2:
                pairs.append(Pair(split, where, found["SDR"], found["HDR"]))
    return pairs, faults


def _keys(pair: Pair) -> tuple[str, str]:
    files = (pair.srgb, pair.radiance)
    return scene_key(files, "pair", "srgb"), scene_key(files, "pair", "radiance")


def anchor(radiance: np.ndarray, srgb: np.ndarray) -> np.ndarray:
    """Bring radiance (H, W, 3) of any scale onto its photo: 1.0 = the photo's white; half precision."""
    light = shared_tensor(radiance).permute(2, 0, 1)[None]
    photo = shared_tensor(srgb).permute(2, 0, 1)[None].float() / 255
    scale = float(match_exposure(light, srgb_to_linear(photo), well_exposed(photo)))
    return np.minimum(radiance * scale, _BRIGHTEST).astype(np.float16)


def _read(pair: Pair) -> tuple[np.ndarray, np.ndarray]:
    srgb, radiance = read_pixels(pair.srgb), load_radiance(pair.radiance)
    if srgb.shape != radiance.shape:
        sizes = (f"{name} is {a.shape[1]} x {a.shape[0]}" for name, a in (("SDR", srgb), ("HDR", radiance)))
        raise ValueError(f"mixed sizes: {', '.join(sizes)}")
    return srgb, anchor(radiance, srgb)


def examine(pair: Pair, minimum: int, cache: SceneCache) -> list[Fault]:
    """Decode a pair, keep it in the cache, and list what is wrong with it; ``minimum`` is the smallest usable side."""
    keys = _keys(pair)
    if cache.is_checked(keys[0]):
        return []
    try:
        srgb, radiance = _read(pair)
    except PhotoError as error:
        return [Fault(f"{pair.srgb.parent.name}/{pair.srgb.name}", str(error))]
    except RadianceFileError as error:
        return [Fault(f"{pair.radiance.parent.name}/{pair.radiance.name}", reason(error, pair.radiance))]
    except (ValueError, OSError) as error:
        return [Fault(pair.row, str(error))]
    height, width = srgb.shape[:2]
    if min(height, width) < minimum:
        return [Fault(pair.row, f"{width} x {height} is smaller than the crop of {minimum} pixels")]
    if not radiance.any():
        return [Fault(f"{pair.radiance.parent.name}/{pair.radiance.name}", "holds no light")]
    for key, array in zip(keys, (srgb, radiance), strict=True):
        cache.store(key, array)
    cache.mark_checked(keys[0])
    return []


class PairFolder(Dataset[dict[str, Tensor]]):
    """Pairs as items ``{"srgb": (size, size, 3) uint8, "radiance": (size, size, 3) float16}``; see `BracketFolder`."""

    def __init__(self, pairs: Sequence[Pair], *, crop_size: int, seed: int, cache: SceneCache):
        self.pairs, self.crop_size, self.seed, self.cache = list(pairs), crop_size, seed, cache

    def __len__(self) -> int:
        return len(self.pairs)

    def _pictures(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        kept = [self.cache.load(key) for key in _keys(self.pairs[index])]
        return _read(self.pairs[index]) if kept[0] is None or kept[1] is None else (kept[0], kept[1])

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = place
        srgb, radiance = self._pictures(index)
        height, width = srgb.shape[:2]
        window = Window.draw(item_rng(self.seed, epoch, index), height, width, self.crop_size)
        return {"srgb": torch.from_numpy(window.cut(srgb)), "radiance": torch.from_numpy(window.cut(radiance))}

    def whole(self, index: int) -> dict[str, Tensor]:
        """The whole pair, for validation."""
        srgb, radiance = self._pictures(index)
        return {"srgb": torch.from_numpy(np.array(srgb)), "radiance": torch.from_numpy(np.array(radiance))}

    def title(self, index: int) -> str:
        """Name of an item in messages."""
        return self.pairs[index].srgb.stem
