"""Scenes to a table: how good are the exposures and the light that systems make, beside doing nothing at all.

The protocol is that of the yardstick (see `hdrgan.evaluation.metrics.score_radiance`): radiance figures are means over
views, exposures are scored by the PSNR of the pooled squared error at each EV. *Identity*, the photo linearised as sRGB
without any network, always comes first.
"""

from __future__ import annotations

import csv
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.data import bracket_folder, hdr_folder, pair_folder
from hdrgan.data.camera import VirtualCamera
from hdrgan.data.layout import DatasetError, Fault, recognise_layout
from hdrgan.data.panorama import is_panorama, random_views
from hdrgan.data.responses import sigmoid_response
from hdrgan.data.scene_cache import SceneCache
from hdrgan.evaluation import metrics, real_brackets
from hdrgan.evaluation.report import CURVE_NAME, IDENTITY_NAME, RADIANCE_FIGURES, ev_key, new_report, read_peers
from hdrgan.files.photo import Photo, PhotoError, load_photo
from hdrgan.files.radiance import RadianceFileError, load_radiance
from hdrgan.light.radiometry import DEFAULT_EVS, expose, linear_to_srgb, srgb_to_linear
from hdrgan.light.response import mean_camera
from hdrgan.models.pretrained import CONFIG_NAME, WEIGHTS_NAME, count_parameters, read_config, sha256_of

_LONG_SIDE = 512  # pixels; scenes that are no panorama are scored whole at this size
_SMALLEST_FOR_SSIM = 11


class Prediction(Protocol):
    """What a system makes of a photo; `hdrgan.result.Result` is one."""

    @property
    def exposures(self) -> Sequence[np.ndarray]:
        """(H, W, 3) uint8 or uint16 for each EV asked for, in the same order."""

    @property
    def radiance(self) -> np.ndarray:
        """(H, W, 3) linear, 1.0 = the photo's white."""


@dataclass(frozen=True)
class System:
    """Something to score.

    Args:
        name: what the table calls it.
        predict: from a photo and EVs to a `Prediction`, e.g. a `hdrgan.pipeline.Pipeline`.
        class_name: the network's class, where there is a network.
        parameters: number of its weights.
        sha256: of its weights file; a card accepts figures only of the weights that it describes.
    """

    name: str
    predict: Callable[[Photo, Sequence[float]], Prediction]
    class_name: str | None = None
    parameters: int | None = None
    sha256: str | None = None

    @classmethod
    def of_model(cls, name: str, predict: Callable[[Photo, Sequence[float]], Prediction], folder: Path) -> System:
        """A system whose network was loaded from a model folder (see `hdrgan.models.pretrained.locate`)."""
        class_name = read_config(folder).get("_class_name") if (folder / CONFIG_NAME).is_file() else None
        return cls(name, predict, class_name, count_parameters(folder), sha256_of(folder / WEIGHTS_NAME))


@dataclass(frozen=True)
class _Frames:
    exposures: Sequence[np.ndarray]
    radiance: np.ndarray


def _identity(photo: Photo, evs: Sequence[float]) -> Prediction:
    light = srgb_to_linear(_encoded(photo))
    return _Frames([_in_16_bits(expose(light, ev)) for ev in evs], _hwc(light))


def _curve(photo: Photo, evs: Sequence[float]) -> Prediction:
    codes, camera = np.linspace(0, 1, 256), mean_camera()
    light = np.interp(_hwc(_encoded(photo)), codes, camera)
    exposures = [np.interp((light * 2.0**ev).clip(0, 1), camera, codes) for ev in evs]
    return _Frames([(frame * 65535).round().astype(np.uint16) for frame in exposures], light)


def _encoded(photo: Photo) -> Tensor:
    return _chw(photo.pixels) / float(np.iinfo(photo.pixels.dtype).max)


def _in_16_bits(encoded: Tensor) -> np.ndarray:
    """Exposures of the references, finely enough that rounding is not what is scored."""
    return _hwc((encoded * 65535).round()).astype(np.uint16)


IDENTITY = System(IDENTITY_NAME, _identity)
"""The photo taken for sRGB and linearised; nothing is invented."""

CURVE = System(CURVE_NAME, _curve)
"""The photo through the mean of measured cameras, without any network; nothing is invented."""


@dataclass(frozen=True)
class View:
    """One photo with what is known of the truth.

    Args:
        title: what to call it.
        condition: the group whose means it enters.
        photo: the input.
        radiance: (3, H, W) linear, 1.0 = the photo's white, or None where unknown.
        exposures: (3, H, W) encoded, [0, 1], by EV; empty where unknown.
    """

    title: str
    condition: str
    photo: Photo
    radiance: Tensor | None
    exposures: Mapping[float, Tensor]


@dataclass(frozen=True)
class _Scenes:
    """A data set that can be walked over: how many views, and how to get them."""

    kind: str
    split: str | None
    count: int
    views: Callable[[], Iterator[View]]
    settings: dict[str, Any] = field(default_factory=dict)


def evaluate(
    data: Path,
    systems: Sequence[System],
    *,
    evs: Sequence[float] = DEFAULT_EVS,
    split: str = "test",
    views: int = 6,
    size: int = 256,
    seed: int = 11,
    responses: Path | None = None,
    limit: int | None = None,
    peers: Path | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Score systems on a folder, beside identity and the curve of the mean camera.

    Args:
        data: real brackets (``index.csv``, ``in/``, ``truth/``; see `hdrgan.evaluation.real_brackets`), a rendered
            yardstick (``index.csv``, ``in/``, ``ref/``), a bracket folder, a pair folder, or any folder of
            .hdr and .exr scenes, which are photographed by the virtual camera in two conditions, clean and camera.
        systems: what to score, in the table's order.
        evs: stops of the exposures; a bracket folder's own EVs count instead.
        split: which scenes of a ``scenes.tsv`` to use, for HDR scenes.
        views: views of each panorama, for HDR scenes.
        size: side of those views in pixels.
        seed: of the virtual camera.
        responses: .npz of the EMoR model, for HDR scenes and for a yardstick rendered with it.
        limit: score only so many inputs, the first ones.
        peers: a table of other systems' figures on the same inputs (tab-separated: system, condition, figures, EVs).
        progress: called with (inputs done, inputs in all, title of the next).

    Returns:
        A report; see `hdrgan.evaluation.report`.

    Raises:
        DatasetError: the folder holds nothing that can be scored, or some of it is broken.
        ValueError: a system's answer has another size than the photo, or ``peers`` is of other inputs.
    """
    scenes = _open(
        Path(data), evs=evs, split=split, views=views, size=size, seed=seed, responses=responses, limit=limit
    )
    systems = [IDENTITY, CURVE, *systems]
    if len({system.name for system in systems}) < len(systems):
        raise ValueError(f"systems need names of their own, got {[system.name for system in systems]}")
    tallies: dict[str, dict[str, _Tally]] = {system.name: defaultdict(_Tally) for system in systems}
    used_evs: set[float] = set()
    for done, view in enumerate(scenes.views()):
        if progress is not None:
            progress(done, scenes.count, view.title)
        wanted = tuple(view.exposures) or tuple(evs)
        used_evs.update(view.exposures)
        for system in systems:
            try:
                tallies[system.name][view.condition].add(view, system.predict(view.photo, wanted))
            except ValueError as error:
                raise ValueError(f"{system.name} on {view.title}: {error}") from error
    if progress is not None:
        progress(scenes.count, scenes.count, "")
    conditions = list(tallies[IDENTITY_NAME])
    report = new_report(
        {"name": Path(data).resolve().name, "kind": scenes.kind, "split": scenes.split, **scenes.settings},
        sorted(used_evs),
        [
            {
                "name": system.name,
                "class_name": system.class_name,
                "parameters": system.parameters,
                "sha256": system.sha256,
                "conditions": {condition: tallies[system.name][condition].figures() for condition in conditions},
            }
            for system in systems
        ],
        conditions,
    )
    if peers is not None:
        report["peers"] = read_peers(peers, report)
    return report


class _Tally:
    """Figures of one system in one condition."""

    def __init__(self) -> None:
        self.views = 0
        self.radiance: list[dict[str, float]] = []
        self.squared: dict[str, list[float]] = defaultdict(list)
        self.ssim: dict[str, list[float]] = defaultdict(list)
        self.real = real_brackets.RealTally()

    def add(self, view: View, prediction: Prediction) -> None:
        self.views += 1
        srgb = _chw(view.photo.pixels) / float(np.iinfo(view.photo.pixels.dtype).max)
        if view.radiance is not None:
            predicted = _chw(prediction.radiance)
            self.radiance.append(metrics.score_radiance(predicted, view.radiance, srgb))
        if not view.exposures:
            return
        for shot, (ev, truth) in zip(prediction.exposures, view.exposures.items(), strict=True):
            encoded = _chw(shot) / float(np.iinfo(shot.dtype).max)
            if encoded.shape != truth.shape:
                raise ValueError(f"EV {ev:+g} has shape {tuple(encoded.shape)}, expected {tuple(truth.shape)}")
            if view.condition == real_brackets.CONDITION:
                self.real.add(_hwc(srgb), ev, _hwc(encoded), _hwc(truth))
                continue
            self.squared[ev_key(ev)].append(float((encoded - truth).square().mean()))
            if min(truth.shape[-2:]) >= _SMALLEST_FOR_SSIM:
                self.ssim[ev_key(ev)].append(float(metrics.ssim(encoded[None], truth[None])))

    def figures(self) -> dict[str, Any]:
        out: dict[str, Any] = {"views": self.views}
        for name in RADIANCE_FIGURES:
            values = [figures[name] for figures in self.radiance if name in figures]
            if values:
                out[name] = round(float(np.mean(values)), 4)
        if self.squared:
            pooled = {ev: metrics.psnr_of_error(float(np.mean(errors))) for ev, errors in self.squared.items()}
            out["bracket_psnr"] = {ev: round(figure, 4) for ev, figure in pooled.items()}
        if self.ssim:
            out["bracket_ssim"] = {ev: round(float(np.mean(values)), 4) for ev, values in self.ssim.items()}
        return out | self.real.figures()


def _chw(picture: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(picture, dtype=np.float64)).permute(2, 0, 1)


def _hwc(picture: Tensor) -> np.ndarray:
    return picture.permute(1, 2, 0).numpy()


# Data sets


def yardstick_views(
    folder: str | PathLike[str], evs: Sequence[float] = DEFAULT_EVS, *, responses: Path | None = None
) -> Iterator[View]:
    """The photos of a yardstick (a folder with ``index.csv``) with their true radiance and exposures, one by one.

    Raises:
        DatasetError: the index or a file that it names cannot be used.
    """
    return _open_yardstick(Path(folder), evs, responses, None).views()


def _open(data: Path, *, evs: Sequence[float], limit: int | None, **options: Any) -> _Scenes:
    if real_brackets.is_real_brackets(data):
        return _open_real(data, limit)
    if (data / "index.csv").is_file():
        return _open_yardstick(data, evs, options["responses"], limit)
    layout = recognise_layout(data)
    if layout == "bracket":
        return _open_brackets(data, limit)
    if layout == "pairs":
        return _open_pairs(data, limit)
    return _open_scenes(data, evs, limit, **options)


def _open_real(data: Path, limit: int | None) -> _Scenes:
    rows = real_brackets.read_index(data)[:limit]

    def views() -> Iterator[View]:
        for one in real_brackets.real_brackets(data, rows):
            truth = {ev: _encoded(other) for ev, other in one.others.items()}
            yield View(one.title, real_brackets.CONDITION, one.photo, None, truth)

    return _Scenes("real brackets", None, len(rows), views)


def _open_yardstick(data: Path, evs: Sequence[float], responses: Path | None, limit: int | None) -> _Scenes:
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
            try:
                photo = load_photo(data / row["input"])
                radiance = np.load(data / row["reference"], allow_pickle=False)
                shot = row["crf"].startswith("camera:")
                response = None if shot else _named_response(row["crf"], responses)
                # A camera as it is does more than bend light: what it makes of an exposure was written beside it.
                made = {
                    ev: _encoded(load_photo(data / "truth" / f"{row['id']}_{row['condition']}_ev{ev:+g}.png"))
                    for ev in (evs if response is None else ())
                }
            except (PhotoError, OSError, ValueError) as error:
                raise DatasetError(f"{data} cannot be scored", [Fault(row["id"], str(error))]) from error
            light = _chw(radiance)
            # The photo is stored in 8 bits, and so are its true exposures.
            truth = made
            if response is not None:
                truth = {ev: (response((light * 2.0**ev).clamp(0, 1)) * 255).round() / 255 for ev in evs}
            yield View(f"{row['id']} {row['condition']}", row["condition"], photo, light, truth)

    return _Scenes("yardstick", "test", len(rows), views)


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
) -> _Scenes:
    scenes, faults, kept_out = hdr_folder.scan(data, (split,))
    if faults:
        raise DatasetError(f"{data} cannot be scored", faults)
    if not scenes:
        raise DatasetError(f"{data} has no .hdr or .exr scene of the split {split!r}")
    camera = VirtualCamera(responses, clean_share=0, glare_share=0)
    looks: list[tuple[hdr_folder.Scene, int]] = []
    for scene in scenes:
        radiance = _read_scene(scene)
        looks += [(scene, k) for k in range(views if is_panorama(radiance) else 1)]

    def photograph() -> Iterator[View]:
        last: tuple[str, list[np.ndarray]] | None = None
        for number, (scene, k) in enumerate(looks * 2):
            if number >= 2 * len(looks):
                return
            condition = "clean" if number < len(looks) else "camera"
            if last is None or last[0] != scene.name:
                rng = np.random.default_rng((seed, zlib.crc32(scene.name.encode())))
                last = scene.name, _look(_read_scene(scene), views, size, rng)
            rng = np.random.default_rng((seed, zlib.crc32(scene.name.encode()), k, number // len(looks)))
            yield _shoot(f"{scene.name}/{k}", condition, last[1][k], camera, rng, evs)

    count = min(limit or 2 * len(looks), 2 * len(looks))
    settings: dict[str, Any] = {"scenes": len(scenes), "views": views, "size": size, "seed": seed, "kept_out": kept_out}
    settings["responses"] = responses.name if responses is not None else None
    named_split = split if kept_out or (data / hdr_folder.SCENE_TABLE).is_file() else None
    return _Scenes("scenes", named_split, count, lambda: _first(photograph(), count), settings)


def _first(views: Iterator[View], count: int) -> Iterator[View]:
    for _, view in zip(range(count), views, strict=False):
        yield view


def _read_scene(scene: hdr_folder.Scene) -> np.ndarray:
    try:
        return load_radiance(scene.path)
    except (RadianceFileError, OSError) as error:
        raise DatasetError("the scenes cannot be scored", [Fault(scene.name, str(error))]) from error


def _look(radiance: np.ndarray, views: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    if is_panorama(radiance):
        return random_views(radiance, views, size, rng)
    light = torch.from_numpy(np.ascontiguousarray(radiance)).permute(2, 0, 1)[None]
    scale = min(1.0, _LONG_SIDE / max(light.shape[2:]))
    reduced = [max(1, round(side * scale)) for side in light.shape[2:]]
    return [F.interpolate(light, size=reduced, mode="area")[0].permute(1, 2, 0).numpy()]


def _shoot(
    title: str,
    condition: str,
    view: np.ndarray,
    camera: VirtualCamera,
    rng: np.random.Generator,
    evs: Sequence[float],
) -> View:
    try:
        shot = camera.shoot(view, rng, clean=False)
    except ValueError as error:
        raise DatasetError("the scenes cannot be scored", [Fault(title, str(error))]) from error
    light = _chw(shot.radiance)
    if condition == "clean":
        # The same exposure, but nothing between the light and the file except sRGB and 8 bits.
        response, srgb = None, _hwc((linear_to_srgb(light) * 255).round()).astype(np.uint8)
    else:
        response, srgb = torch.from_numpy(shot.inverse_response.astype(np.float64)), shot.srgb
    truth = {ev: (expose(light[None], ev, response)[0] * 255).round() / 255 for ev in evs}
    return View(title, condition, load_photo(srgb), light, truth)


def _open_brackets(data: Path, limit: int | None) -> _Scenes:
    brackets, faults = bracket_folder.scan(data)
    if faults:
        raise DatasetError(f"{data} cannot be scored", faults)
    brackets = brackets[:limit]

    def views() -> Iterator[View]:
        for bracket in brackets:
            try:
                frames = [load_photo(file) for file in bracket.frames]
            except (PhotoError, OSError) as error:
                raise DatasetError(f"{data} cannot be scored", [Fault(bracket.title, str(error))]) from error
            encoded = [_chw(frame.pixels) / float(np.iinfo(frame.pixels.dtype).max) for frame in frames]
            photo = frames[bracket.evs.index(0)]
            yield View(bracket.title, "brackets", photo, None, dict(zip(bracket.evs, encoded, strict=True)))

    return _Scenes("brackets", None, len(brackets), views)


def _open_pairs(data: Path, limit: int | None) -> _Scenes:
    found, faults = pair_folder.scan(data)
    pairs = [pair for pair in found if pair.split == "valid"][:limit]
    if faults:
        raise DatasetError(f"{data} cannot be scored", faults)
    if not pairs:
        raise DatasetError(f"{data} has no row in its table valid")
    folder = pair_folder.PairFolder(pairs, crop_size=1, seed=0, cache=SceneCache(None))

    def views() -> Iterator[View]:
        for number, pair in enumerate(pairs):
            try:
                pair_of_tensors = folder.whole(number)
            except (PhotoError, RadianceFileError, ValueError, OSError) as error:
                raise DatasetError(f"{data} cannot be scored", [Fault(pair.row, str(error))]) from error
            radiance = pair_of_tensors["radiance"].double().permute(2, 0, 1)
            photo = load_photo(pair_of_tensors["srgb"].numpy())
            # The response of such photos is unknown: no exposure can be rendered from the reference.
            yield View(folder.title(number), "pairs", photo, radiance, {})

    return _Scenes("pairs", "valid", len(pairs), views)
