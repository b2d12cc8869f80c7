"""Data sets as views to score: yardsticks, real brackets, HDR scenes, folders of brackets and of pairs."""

from __future__ import annotations

import csv
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.data import bracket_folder, hdr_folder, pair_folder
from hdrgan.data.camera import VirtualCamera
from hdrgan.data.layout import DatasetError, Fault, recognise_layout
from hdrgan.data.panorama import is_panorama, random_views
from hdrgan.data.responses import sigmoid_response
from hdrgan.evaluation import real_brackets
from hdrgan.evaluation.lighting import bounded, photographed
from hdrgan.evaluation.stacks import choose_shots, stack_folders
from hdrgan.files.calibrations import CameraCalibration
from hdrgan.files.photo import Photo, load_photo
from hdrgan.files.radiance import load_radiance, radiance_shape
from hdrgan.light.radiometry import expose, linear_to_srgb

MADE_NAME = "made.json"
"""How the views of a yardstick were rendered; in it are `_MADE`."""

_MADE = ("command", "scenes", "views", "size", "seed", "cameras")

_LONG_SIDE = 512  # pixels; scenes that are no panorama are scored whole at this size


@dataclass(frozen=True)
class View:
    """One photo with what is known of the truth.

    Args:
        title: what to call it.
        condition: the group whose means it enters.
        photo: the input.
        radiance: (3, H, W) linear, 1.0 = the photo's white, or None where unknown.
        exposures: (3, H, W) encoded, [0, 1], by EV; empty where unknown.
        own_calibration: of a real bracket, its camera's response without the shot at an EV; see `RealBracket`.
        around: of a panorama, from predicted light to figures; see `hdrgan.evaluation.lighting`.
    """

    title: str
    condition: str
    photo: Photo
    radiance: Tensor | None
    exposures: Mapping[float, Tensor]
    own_calibration: Callable[[float], CameraCalibration | None] | None = None
    around: Callable[[np.ndarray], dict[str, float]] | None = None


@dataclass(frozen=True)
class Views:
    """A data set that can be walked over: how many views, and how to get them."""

    kind: str
    split: str | None
    count: int
    views: Callable[[], Iterator[View]]
    settings: dict[str, Any] = field(default_factory=dict)


def encoded(pixels: np.ndarray) -> Tensor:
    """(H, W, 3) uint8 or uint16 to (3, H, W) float64 in [0, 1]."""
    return planes_of(pixels) / float(np.iinfo(pixels.dtype).max)


def planes_of(picture: np.ndarray) -> Tensor:
    """(H, W, 3) to (3, H, W) float64."""
    return torch.from_numpy(np.ascontiguousarray(picture, dtype=np.float64)).permute(2, 0, 1)


def picture_of(picture: Tensor) -> np.ndarray:
    """(3, H, W) to (H, W, 3)."""
    return picture.permute(1, 2, 0).numpy()


def open_views(
    data: Path,
    *,
    evs: Sequence[float],
    limit: int | None,
    split: str,
    views: int,
    size: int,
    seed: int,
    responses: Path | None,
) -> Views:
    """Whatever a folder holds, as views; DatasetError where it holds nothing that can be scored."""
    if real_brackets.is_real_brackets(data):
        return _open_real(data, limit)
    if (data / "index.csv").is_file():
        return _open_yardstick(data, evs, responses, limit)
    try:
        layout = recognise_layout(data)
        if layout == "bracket":
            return _open_brackets(data, limit)
    except DatasetError as error:
        if not stack_folders(data):
            raise
        try:
            return _open_stacks(data, limit)
        except DatasetError as refused:
            raise DatasetError(f"{error}\n{refused}") from error
    if layout == "pairs":
        return _open_pairs(data, limit)
    return _open_scenes(data, evs, limit, split=split, views=views, size=size, seed=seed, responses=responses)


@contextmanager
def _scoring(what: object, title: str) -> Iterator[None]:
    """Turn whatever is wrong with a file into a DatasetError that names the view."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise DatasetError(f"{what} cannot be scored", [Fault(title, str(error))]) from error


def _open_real(data: Path, limit: int | None) -> Views:
    rows = real_brackets.read_index(data)[:limit]
    named = {"shots": [name for name, _ in rows]}
    shots = real_brackets.real_brackets
    return Views("real brackets", None, len(rows), lambda: map(_real_view, shots(data, rows)), named)


def _open_stacks(data: Path, limit: int | None) -> Views:
    shots, left_out = choose_shots(data, limit)
    settings = {"left_out": list(map(str, left_out))}
    return Views("real brackets", None, len(shots), lambda: (_real_view(shot.read()) for shot in shots), settings)


def _real_view(one: real_brackets.RealBracket) -> View:
    truth = {ev: encoded(other.pixels) for ev, other in one.others.items()}
    return View(one.title, real_brackets.CONDITION, one.photo, None, truth, one.own_calibration)


def _open_yardstick(data: Path, evs: Sequence[float], responses: Path | None, limit: int | None) -> Views:
    columns = {"id", "condition", "input", "reference", "crf"}
    with (data / "index.csv").open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if missing := columns - set(reader.fieldnames or ()):
            raise DatasetError(f"index.csv lacks the columns {', '.join(sorted(missing))}")
        rows = list(reader)[:limit]
    if not rows:
        raise DatasetError(f"{data / 'index.csv'} names no input")

    def views() -> Iterator[View]:
        for row in rows:
            name = f"{row['id']}_{row['condition']}"
            with _scoring(data, row["id"]):
                photo = load_photo(data / row["input"])
                light = planes_of(np.load(data / row["reference"], allow_pickle=False))
                if row["crf"].startswith("camera:"):
                    # A camera does more than bend light: what it makes of an exposure was written beside it.
                    files = {ev: data / "truth" / f"{name}_ev{ev:+g}.png" for ev in evs}
                    truth = {ev: encoded(load_photo(file).pixels) for ev, file in files.items()}
                else:
                    response = _named_response(row["crf"], responses)
                    # The photo is stored in 8 bits, and so are its true exposures.
                    truth = {ev: (response((light * 2.0**ev).clamp(0, 1)) * 255).round() / 255 for ev in evs}
            yield View(f"{row['id']} {row['condition']}", row["condition"], photo, light, truth)

    return Views("yardstick", "test", len(rows), views, _made(data))


def _made(data: Path) -> dict[str, Any]:
    """How the views of a yardstick were rendered, as far as the folder says it."""
    if not (data / MADE_NAME).is_file():
        return {}
    with _scoring(data, MADE_NAME):
        made = json.loads((data / MADE_NAME).read_text(encoding="utf-8"))
        if not isinstance(made, dict) or not set(_MADE) <= made.keys():
            raise ValueError(f"it must say {', '.join(_MADE)}")
        return {key: made[key] for key in _MADE}


def _named_response(name: str, responses: Path | None) -> Callable[[Tensor], Tensor]:
    """The response that an ``index.csv`` names: srgb, sigmoid:n,sigma or emor:c1,c2,…"""
    family, _, values = name.partition(":")
    if family == "srgb":
        return linear_to_srgb
    if family not in ("sigmoid", "emor"):
        raise ValueError(f"its response {name!r} is none of srgb, sigmoid:n,sigma, emor:c1,…")
    numbers = [float(value) for value in values.split(",")]
    if family == "sigmoid":
        n, sigma = numbers
        curve = sigmoid_response(n, sigma)
        return lambda light: torch.from_numpy(curve(light.numpy()))
    if responses is None:
        raise ValueError("it was rendered with EMoR responses: give their .npz file")
    with np.load(responses, allow_pickle=False) as model:
        irradiance, mean = model["irradiance"].astype(np.float64), model["f0"].astype(np.float64)
        bent = (mean + np.asarray(numbers) @ model["h"][: len(numbers)].astype(np.float64)).clip(0, 1)
    return lambda light: torch.from_numpy(np.interp(light.numpy(), irradiance, bent))


def _open_scenes(
    data: Path,
    evs: Sequence[float],
    limit: int | None,
    *,
    split: str,
    views: int,
    size: int,
    seed: int,
    responses: Path | None,
) -> Views:
    scenes, faults, kept_out = hdr_folder.scan(data, (split,))
    if faults:
        raise DatasetError(f"{data} cannot be scored", faults)
    if not scenes:
        raise DatasetError(f"{data} has no .hdr or .exr scene of the split {split!r}")
    camera = VirtualCamera(responses, clean_share=0, glare_share=0)
    panoramas: list[bool] = []
    for scene in scenes:
        with _scoring("the scenes", scene.name):
            panoramas.append(is_panorama(radiance_shape(scene.path)))
    looks = sum(views if panorama else 1 for panorama in panoramas)
    everything = 2 * looks + 4 * sum(panoramas)
    count = min(limit or everything, everything)

    def photograph() -> Iterator[View]:
        # A scene is decoded once and photographed in every way. The limit counts all clean views first, then those
        # of the camera, then whole panoramas: these are the numbers that the views of this scene begin with.
        clean, whole = 0, 2 * looks
        for scene, panorama in zip(scenes, panoramas, strict=True):
            if clean >= count:
                return
            name, own_seed = scene.name, (seed, zlib.crc32(scene.name.encode()))
            with _scoring("the scenes", name):
                radiance = load_radiance(scene.path)
            found = _look(radiance, views, size, np.random.default_rng(own_seed))
            radiance = bounded(radiance) if panorama else np.empty(0)  # a large one is not kept while it is scored
            for turn, condition in enumerate(("clean", "camera")):
                for k, look in enumerate(found[: max(0, count - clean - turn * looks)]):
                    rng = np.random.default_rng((*own_seed, k, turn))
                    yield _shoot(f"{name}/{k}", condition, look, camera, rng, evs)
            clean += len(found)
            if panorama:
                yield from islice(_around(name, radiance, camera, own_seed), max(0, count - whole))
                whole += 4

    settings: dict[str, Any] = {"scenes": len(scenes), "views": views, "size": size, "seed": seed, "kept_out": kept_out}
    settings["responses"] = responses.name if responses is not None else None
    named_split = split if kept_out or (data / hdr_folder.SCENE_TABLE).is_file() else None
    return Views("scenes", named_split, count, photograph, settings)


def _around(name: str, light: np.ndarray, camera: VirtualCamera, seed: tuple[int, ...]) -> Iterator[View]:
    """A whole panorama as light, in two conditions, upright and turned."""
    with _scoring("the scenes", name):
        for one in photographed(light, camera, seed):
            yield View(name, one.condition, load_photo(one.pixels), None, {}, around=one.score)


def _look(radiance: np.ndarray, views: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    if is_panorama(radiance.shape):
        return random_views(radiance, views, size, rng)
    light = torch.from_numpy(np.ascontiguousarray(radiance)).permute(2, 0, 1)[None]
    scale = min(1.0, _LONG_SIDE / max(light.shape[2:]))
    reduced = [max(1, round(side * scale)) for side in light.shape[2:]]
    return [F.interpolate(light, size=reduced, mode="area")[0].permute(1, 2, 0).numpy()]


def _shoot(
    title: str, condition: str, view: np.ndarray, camera: VirtualCamera, rng: np.random.Generator, evs: Sequence[float]
) -> View:
    with _scoring("the scenes", title):
        shot = camera.shoot(view, rng, clean=False)
    light = planes_of(shot.radiance)
    if condition == "clean":
        # The same exposure, but nothing between the light and the file except sRGB and 8 bits.
        response, srgb = None, picture_of((linear_to_srgb(light) * 255).round()).astype(np.uint8)
    else:
        response, srgb = torch.from_numpy(shot.inverse_response.astype(np.float64)), shot.srgb
    truth = {ev: (expose(light[None], ev, response)[0] * 255).round() / 255 for ev in evs}
    return View(title, condition, load_photo(srgb), light, truth)


def _open_brackets(data: Path, limit: int | None) -> Views:
    brackets, faults = bracket_folder.scan(data)
    if faults:
        raise DatasetError(f"{data} cannot be scored", faults)

    def views() -> Iterator[View]:
        for bracket in brackets[:limit]:
            with _scoring(data, bracket.where):
                frames = dict(zip(bracket.evs, map(load_photo, bracket.frames), strict=True))
            truth = {ev: encoded(frame.pixels) for ev, frame in frames.items()}
            yield View(bracket.where, "brackets", frames[0], None, truth)

    return Views("brackets", None, len(brackets[:limit]), views)


def _open_pairs(data: Path, limit: int | None) -> Views:
    # Test sets have nothing to train on.
    found, faults = pair_folder.scan(data, ("valid",))
    pairs = found[:limit]
    if faults:
        raise DatasetError(f"{data} cannot be scored", faults)
    if not pairs:
        raise DatasetError(f"{data} has no row in its table valid")

    def views() -> Iterator[View]:
        for pair in pairs:
            with _scoring(data, pair.where):
                arrays = pair.read()
            # The response of such photos is unknown: no exposure can be rendered from the reference.
            yield View(pair.title, "pairs", load_photo(arrays["srgb"]), planes_of(arrays["radiance"]), {})

    return Views("pairs", "valid", len(pairs), views)
