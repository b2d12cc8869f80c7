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
from python_calamine import CalamineError, CalamineWorkbook

from hdrgan.data.layout import COLUMNS, SPLITS, Fault, FaultyError, find_table, reason
from hdrgan.data.scene_cache import scene_key
from hdrgan.files.photo import PhotoError, load_photo, shared_tensor
from hdrgan.files.radiance import RadianceFileError, load_radiance
from hdrgan.light.anchoring import match_exposure
from hdrgan.light.radiometry import srgb_to_linear
from hdrgan.light.well_exposed import well_exposed

_BRIGHTEST = 6e4  # half precision ends at 65504


@dataclass(frozen=True)
class Pair:
    """A photo and its radiance; ``where`` is the line of the table that names them."""

    split: str
    where: str
    srgb: Path
    radiance: Path

    @property
    def title(self) -> str:
        return self.srgb.stem

    @property
    def keys(self) -> dict[str, str]:
        return {name: scene_key((self.srgb, self.radiance), "pair", name) for name in ("srgb", "radiance")}

    def read(self) -> dict[str, np.ndarray]:
        """``srgb``: (H, W, 3) uint8, and ``radiance``: (H, W, 3) float16, brought onto it; good ones have one size."""
        light = f"{self.radiance.parent.name}/{self.radiance.name}"
        try:
            srgb, radiance = np.asarray(load_photo(self.srgb)), load_radiance(self.radiance)
            if srgb.shape != radiance.shape:
                sizes = (f"{name} is {a.shape[1]} x {a.shape[0]}" for name, a in (("SDR", srgb), ("HDR", radiance)))
                raise ValueError(f"mixed sizes: {', '.join(sizes)}")
            radiance = anchor(radiance, srgb)
        except PhotoError as error:
            raise FaultyError(Fault(f"{self.srgb.parent.name}/{self.srgb.name}", str(error))) from error
        except RadianceFileError as error:
            raise FaultyError(Fault(light, reason(error, self.radiance))) from error
        except (ValueError, OSError) as error:
            raise FaultyError(Fault(self.where, str(error))) from error
        if not radiance.any():
            raise FaultyError(Fault(light, "holds no light"))
        return {"srgb": srgb, "radiance": radiance}


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


def anchor(radiance: np.ndarray, srgb: np.ndarray) -> np.ndarray:
    """Bring radiance (H, W, 3) of any scale onto its photo: 1.0 = the photo's white; half precision."""
    light = shared_tensor(radiance).permute(2, 0, 1)[None]
    photo = shared_tensor(srgb).permute(2, 0, 1)[None].float() / 255
    scale = float(match_exposure(light, srgb_to_linear(photo), well_exposed(photo)))
    return np.minimum(radiance * scale, _BRIGHTEST).astype(np.float16)
