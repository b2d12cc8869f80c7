"""Write either published data layout from a folder of HDR scenes, so that both can be tried on real data."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch

from hdrgan.data.batch import render
from hdrgan.data.camera import Shot, VirtualCamera
from hdrgan.data.describe import Origin, bracket_row, describe, licences_of
from hdrgan.data.hdr_folder import Scene, held_out_sites, scan
from hdrgan.data.layout import COLUMNS, SPLITS, DatasetError, Fault, FaultyError
from hdrgan.data.panorama import random_views
from hdrgan.files.radiance import save_hdr
from hdrgan.files.write import save_png
from hdrgan.light.evs import DEFAULT_EVS


@dataclass(frozen=True)
class Prepared:
    """What `prepare` wrote: scenes, views in all, and faults of scenes that it left out."""

    scenes: int
    views: int
    faults: tuple[Fault, ...]


def _photograph(
    radiance: np.ndarray, count: int, size: int, camera: VirtualCamera, rng: np.random.Generator, clean: bool | None
) -> Iterator[Shot]:
    for view in random_views(radiance, count, size, rng):
        try:
            yield camera.shoot(view, rng, clean=clean)
        except ValueError:  # a view into the dark; the caller counts what is left
            continue


def _write_bracket(folder: Path, number: int, shot: Shot, evs: Sequence[float]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    radiance, srgb = (torch.tensor(array).permute(2, 0, 1)[None] for array in (shot.radiance, shot.srgb))
    bracket = render(radiance, srgb / 255, evs, torch.from_numpy(shot.inverse_response))[0]  # (N, 3, H, W)
    for position, frame in enumerate((bracket * 255).round().byte().permute(0, 2, 3, 1).numpy()):
        save_png(folder / f"{number}_{position}.png", np.ascontiguousarray(frame))


def prepare(
    hdr_folder: str | PathLike[str],
    out: str | PathLike[str],
    *,
    layout: str = "bracket",
    views: int = 6,
    size: int = 512,
    seed: int = 0,
    responses: str | PathLike[str] | None = None,
    clean: bool | None = None,
    validation_share: float = 0.1,
    skip_bad: bool = False,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Prepared:
    """Photograph HDR scenes with the virtual camera and write the photos and their truth to disk, with a card.

    Args:
        hdr_folder: .hdr and .exr files, panoramas or pictures; see `hdrgan.data.hdr_folder`.
        out: a folder that does not exist yet, or is empty.
        layout: "bracket", ``<Scene>/images/<k>_<0..4>.png`` with ``evs.json``; or "pairs", ``train_SDR/``,
            ``train_HDR/``, ``valid_SDR/``, ``valid_HDR/`` with ``train.csv`` and ``valid.csv``.
        views: views of each scene.
        size: side of a view in pixels.
        seed: of views and camera.
        responses: camera responses for `VirtualCamera`, or None.
        clean: True for renders, False for a camera's photos, None for a mixture.
        validation_share: share of the scenes that "pairs" puts into its valid half.
        skip_bad: leave bad scenes out rather than refuse.
        progress: called with scenes done and scenes in all.

    Returns:
        What was written.

    Raises:
        DatasetError: there is no scene, or some are bad; it lists them all, and nothing has been written.
        ValueError: an argument makes no sense, or ``out`` is in use.
    """
    source, target = Path(hdr_folder), Path(out)
    if layout not in ("bracket", "pairs"):
        raise ValueError(f'layout must be "bracket" or "pairs", got {layout!r}')
    if views < 1 or size < 16:
        raise ValueError(f"views must be at least 1 and size at least 16, got {views} and {size}")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise ValueError(f"{target} is in use: choose a folder that is empty or does not exist yet")
    if not source.is_dir():
        raise DatasetError(f"{source} is not a folder")
    camera = VirtualCamera(responses)
    scenes, found, _ = scan(source)
    faults = list(found)
    good: list[Scene] = []
    for scene in scenes:
        try:
            scene.light()
        except FaultyError as error:
            faults += error.faults
        else:
            good.append(scene)
    if faults and not skip_bad:
        raise DatasetError(f"{source} has {len(faults)} faults:", faults)
    if not good:
        raise DatasetError(f"{source} holds no .hdr or .exr file that can be used", faults)

    held_out = held_out_sites(good, validation_share)
    rows: dict[str, list[tuple[str, str]]] = {split: [] for split in SPLITS}
    table: list[dict[str, str | int]] = []
    written, taken = 0, set()
    if layout == "pairs":
        for folder in (f"{split}_{column}" for split in SPLITS for column in COLUMNS):
            (target / folder).mkdir(parents=True)
    for done, scene in enumerate(good, start=1):
        name = "_".join(Path(scene.name).with_suffix("").parts)
        if name in taken:  # a.hdr beside a.exr
            name = "_".join(Path(scene.name).parts)
        taken.add(name)
        rng = np.random.default_rng((seed, zlib.crc32(scene.name.encode())))
        split = SPLITS[scene.site in held_out]
        for number, shot in enumerate(_photograph(scene.light(), views, size, camera, rng, clean)):
            if layout == "bracket":
                _write_bracket(target / name / "images", number, shot, DEFAULT_EVS)
                table.append(bracket_row(name, number, DEFAULT_EVS))
            else:
                light, photo = f"{name}_{number}.hdr", f"{name}_{number}.png"
                save_hdr(target / f"{split}_HDR" / light, shot.radiance)
                save_png(target / f"{split}_SDR" / photo, shot.srgb)
                rows[split].append((light, photo))
            written += 1
        progress(done, len(good))
    if layout == "bracket":
        (target / "evs.json").write_text(json.dumps(DEFAULT_EVS) + "\n", encoding="utf-8")
    else:
        for split in SPLITS:
            with (target / f"{split}.csv").open("w", encoding="utf-8", newline="") as stream:
                csv.writer(stream).writerows([COLUMNS, *rows[split]])
    describe(target, Origin(layout, written, size, seed, DEFAULT_EVS), licences_of(good), table)
    return Prepared(len(good), written, tuple(faults))
