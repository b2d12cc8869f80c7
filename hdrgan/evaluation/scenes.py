"""Scenes to a table: how good are the exposures and the light that systems make, beside doing nothing at all.

The protocol is that of the yardstick (see `hdrgan.evaluation.metrics.score_radiance`): radiance figures are means over
views, exposures are scored by the PSNR of the pooled squared error at each EV. *Identity*, the photo linearised as sRGB
without any network, always comes first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from hdrgan.evaluation import metrics, real_brackets
from hdrgan.evaluation.lighting import LIGHT_FIGURES
from hdrgan.evaluation.report import CURVE_NAME, IDENTITY_NAME, RADIANCE_FIGURES, new_report, read_peers
from hdrgan.evaluation.scores import score_exposures, summarise
from hdrgan.evaluation.views import View, encoded, open_views, picture_of, planes_of
from hdrgan.files.calibrations import CameraCalibration
from hdrgan.files.photo import Photo
from hdrgan.light.evs import DEFAULT_EVS
from hdrgan.light.radiometry import expose, srgb_to_linear
from hdrgan.light.response import mean_camera
from hdrgan.models.finding import CONFIG_NAME, WEIGHTS_NAME
from hdrgan.models.pretrained import count_parameters, read_config
from hdrgan.models.weights_file import sha256_of
from hdrgan.result import Result


@dataclass(frozen=True)
class Prediction:
    """What a rule makes of a photo.

    Args:
        exposures: (H, W, 3) uint8 or uint16 for each EV asked for, in the same order.
        radiance: (H, W, 3) linear, 1.0 = the photo's white.
    """

    exposures: Sequence[np.ndarray]
    radiance: np.ndarray


@dataclass(frozen=True)
class System:
    """Something to score.

    Args:
        name: what the table calls it.
        predict: from a photo and EVs to a result, e.g. a `hdrgan.pipeline.Pipeline`.
        class_name: the network's class, where there is a network.
        parameters: number of its weights.
        sha256: of its weights file; a card accepts figures only of the weights that it describes.
        calibrated: whether it is given ``response``, the calibration of each photo's own stack.
    """

    name: str
    predict: Callable[..., Prediction | Result]
    class_name: str | None = None
    parameters: int | None = None
    sha256: str | None = None
    calibrated: bool = False

    @classmethod
    def of_model(cls, name: str, predict: Callable[[Photo, Sequence[float]], Result], folder: Path) -> System:
        """A system whose network was loaded from a model folder (see `hdrgan.models.pretrained.locate`)."""
        class_name = read_config(folder).get("_class_name") if (folder / CONFIG_NAME).is_file() else None
        return cls(name, predict, class_name, count_parameters(folder), sha256_of(folder / WEIGHTS_NAME))


def _identity(photo: Photo, evs: Sequence[float]) -> Prediction:
    light = srgb_to_linear(encoded(photo.pixels))
    return Prediction([_in_8_bits(picture_of(expose(light, ev))) for ev in evs], picture_of(light))


def _curve(photo: Photo, evs: Sequence[float], response: CameraCalibration | None = None) -> Prediction:
    codes, camera = np.linspace(0, 1, 256), mean_camera() if response is None else response.response
    light = np.interp(picture_of(encoded(photo.pixels)), codes, camera)
    exposures = [np.interp((light * 2.0**ev).clip(0, 1), camera, codes) for ev in evs]
    return Prediction([_in_8_bits(frame) for frame in exposures], light)


def _in_8_bits(encoded: np.ndarray) -> np.ndarray:
    """Exposures as files hold them, so that rules without a network are rounded as networks' files are."""
    frame: np.ndarray = (encoded * 255).round().astype(np.uint8)
    return frame


IDENTITY = System(IDENTITY_NAME, _identity)
"""The photo taken for sRGB and linearised; nothing is invented."""

CURVE = System(CURVE_NAME, _curve)
"""The photo through the mean of measured cameras, without any network; nothing is invented."""


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
    own_calibration: bool = False,
    progress: Callable[[int, int, str], None] | None = None,
) -> dict[str, Any]:
    """Score systems on a folder, beside identity and the curve of the mean camera.

    Args:
        data: real brackets (``index.csv``, ``in/``, ``truth/``; see `hdrgan.evaluation.real_brackets`), a folder of
            exposure stacks (`hdrgan.evaluation.stacks`), a rendered yardstick (``index.csv``, ``in/``, ``ref/``), a
            bracket folder, a pair folder, or any folder of .hdr and .exr scenes, which are photographed by the virtual
            camera in two conditions, clean and camera; panoramas among them as a whole too
            (`hdrgan.evaluation.lighting`).
        systems: what to score, in the table's order.
        evs: stops of the exposures; a bracket folder's own EVs count instead.
        split: which scenes of a ``scenes.tsv`` to use, for HDR scenes.
        views: views of each panorama, for HDR scenes.
        size: side of those views in pixels.
        seed: of the virtual camera.
        responses: .npz of the EMoR model, for HDR scenes and for a yardstick rendered with it.
        limit: score only so many inputs, the first ones.
        peers: a table of other systems' figures on the same inputs (tab-separated: system, condition, figures, EVs).
        own_calibration: score *curve* and each RadianceGenerator and EIN also with the response of the photo's camera,
            by the shots of its stack without the one that it is scored against. Where those give none, as before.
        progress: called with (inputs done, inputs in all, title of the next).

    Returns:
        A report; see `hdrgan.evaluation.report`.

    Raises:
        DatasetError: the folder holds nothing that can be scored, or some of it is broken.
        ValueError: a system's answer has another size than the photo, or ``peers`` is of other inputs.
    """
    scenes = open_views(
        Path(data), evs=evs, split=split, views=views, size=size, seed=seed, responses=responses, limit=limit
    )
    systems = [IDENTITY, CURVE, *systems]
    if own_calibration:
        if scenes.kind != real_brackets.CONDITION:
            raise ValueError(f"{data} holds no real brackets, without which no camera has a calibration of its own")
        scenes.settings["own_calibrations"] = {"made": 0, "refused": 0}
        systems += [
            replace(one, name=f"{one.name}, {real_brackets.OWN_CALIBRATION}", sha256=None, calibrated=True)
            for one in systems
            if one is CURVE or one.class_name in ("RadianceGenerator", "EIN")  # whose exposures follow a response
        ]
    if len({system.name for system in systems}) < len(systems):
        raise ValueError(f"systems need names of their own, got {[system.name for system in systems]}")
    tallies: dict[str, dict[str, _Tally]] = {system.name: defaultdict(_Tally) for system in systems}
    used_evs: set[float] = set()
    for done, view in enumerate(scenes.views()):
        if progress is not None:
            progress(done, scenes.count, view.title)
        wanted = tuple(view.exposures) or ((0.0,) if view.around is not None else tuple(evs))
        used_evs.update(view.exposures)
        own: dict[float, dict[str, CameraCalibration]] = {}
        if own_calibration and view.own_calibration is not None:
            found = {ev: view.own_calibration(ev) for ev in wanted}
            own = {ev: {} if one is None else {"response": one} for ev, one in found.items()}
            for calibration in found.values():
                scenes.settings["own_calibrations"]["made" if calibration else "refused"] += 1
        for system in systems:
            try:
                if system.calibrated:
                    each = [system.predict(view.photo, (ev,), **own[ev]) for ev in wanted]
                    prediction: Prediction | Result = Prediction([one.exposures[0] for one in each], each[0].radiance)
                else:
                    prediction = system.predict(view.photo, wanted)
                tallies[system.name][view.condition].add(view, prediction)
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
        self.scores: list[dict[str, Any]] = []
        self.real = real_brackets.RealTally()
        self.around: list[dict[str, float]] = []

    def add(self, view: View, prediction: Prediction | Result) -> None:
        if view.around is not None:
            self.around.append(view.around(np.asarray(prediction.radiance)))
            return
        srgb = encoded(view.photo.pixels)
        light = view.radiance
        radiance = {} if light is None else metrics.score_radiance(planes_of(prediction.radiance), light, srgb)
        shots = []
        exposures = prediction.exposures if view.exposures else ()
        for codes, (ev, truth) in zip(exposures, view.exposures.items(), strict=True):
            shot = encoded(codes)
            if shot.shape != truth.shape:
                raise ValueError(f"EV {ev:+g} has shape {tuple(shot.shape)}, expected {tuple(truth.shape)}")
            if view.condition == real_brackets.CONDITION:
                self.real.add(picture_of(srgb), ev, picture_of(shot), picture_of(truth))
            else:
                shots.append((ev, shot[None], truth[None]))
        self.scores.append({"radiance": radiance, **score_exposures(shots)})

    def figures(self) -> dict[str, Any]:
        if self.around:
            means = {
                name: [one[name] for one in self.around if np.isfinite(one.get(name, np.nan))] for name in LIGHT_FIGURES
            }
            light = {name: round(float(np.mean(values)), 4) for name, values in means.items() if values}
            return {"views": len(means["clipped"])} | light
        found = summarise(self.scores)
        out: dict[str, Any] = {"views": found["views"]}
        out |= {name: round(found[name], 4) for name in RADIANCE_FIGURES if name in found}
        pooled = {name: found[name] for name in ("bracket_psnr", "bracket_ssim") if found[name]}
        out |= {name: {ev: round(figure, 4) for ev, figure in by_ev.items()} for name, by_ev in pooled.items()}
        return out | self.real.figures()
