"""Say in a prepared data set what it is: a card, and for brackets a table that the ``datasets`` library reads.

``datasets.load_dataset(folder)`` gives a row for each view: its scene, and a picture for each exposure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hdrgan.data.hdr_folder import Scene

METADATA_NAME = "metadata.jsonl"
CARD_NAME = "README.md"
NOT_STATED = "not stated"

_LAYOUTS = {
    "bracket": "`<Scene>/images/<k>_<0..4>.png`, five exposures of each view from dark to bright; `_2` is the photo",
    "pairs": "`train.csv` and `valid.csv` name photos in `*_SDR/` and the light behind them in `*_HDR/`",
}


@dataclass(frozen=True)
class Origin:
    """How a data set was prepared: layout, views in all, their side in pixels, seed, stops of its exposures."""

    layout: str
    views: int
    size: int
    seed: int
    evs: tuple[float, ...]


def column_of(ev: float) -> str:
    """Name of an exposure's column, such as ``ev-4`` or ``ev+0``."""
    return f"ev{ev:+g}"


def bracket_row(scene: str, number: int, evs: Sequence[float]) -> dict[str, str | int]:
    """A row of `METADATA_NAME`: scene, view, and the file of each exposure."""
    files = {f"{column_of(ev)}_file_name": f"{scene}/images/{number}_{position}.png" for position, ev in enumerate(evs)}
    return {"scene": scene, "view": number, **files}


def licences_of(scenes: Iterable[Scene]) -> Counter[str]:
    """How many scenes have which licence."""
    return Counter(scene.licence or NOT_STATED for scene in scenes)


def describe(folder: Path, origin: Origin, licences: Counter[str], rows: Sequence[dict[str, str | int]]) -> None:
    """Write the card of a data set and, for brackets, its table of views.

    Args:
        folder: of the data set.
        origin: how it was made.
        licences: number of scenes by licence.
        rows: as from `bracket_row`; none for pairs.
    """
    if rows:
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / METADATA_NAME).write_text(text, encoding="utf-8")
    (folder / CARD_NAME).write_text(_card(origin, licences), encoding="utf-8")


def _card(origin: Origin, licences: Counter[str]) -> str:
    known = [licence for licence in licences if licence != NOT_STATED]
    single = known[0].lower() if len(licences) == len(known) == 1 else "other" if known else "unknown"
    views = "n<1K" if origin.views < 1000 else "1K<n<10K" if origin.views < 10_000 else "10K<n<100K"
    columns = ", ".join(f"`{column_of(ev)}`" for ev in origin.evs)
    table = "".join(f"| {licence} | {count} |\n" for licence, count in sorted(licences.items()))
    reading = (
        f"`datasets.load_dataset` gives a row for each view: `scene`, `view` and {columns}, pictures at these stops.\n"
        if origin.layout == "bracket"
        else ""
    )
    return f"""---
license: {single}
task_categories:
- image-to-image
tags:
- hdr
- exposure-bracket
size_categories:
- {views}
---

# {"Exposure brackets" if origin.layout == "bracket" else "Photos with HDR images"}

{origin.views} views of {origin.size} x {origin.size} pixels of {sum(licences.values())} HDR scenes, photographed by the
virtual camera of hdrgan: `hdrgan prepare --layout {origin.layout} --size {origin.size} --seed {origin.seed}`.

{_LAYOUTS[origin.layout]}.
{reading}
`hdrgan train --model {"bracket" if origin.layout == "bracket" else "ein"} --dataset USER/NAME` trains on it.

## Licences of the scenes

| licence | scenes |
|---|---:|
{table}"""
