"""Panoramas as light: what a network recovers of a 360° photo, of whose sphere the brightest tenth clipped.

Truth and prediction are compared on one scale, the photo's white, without any alignment; stops are log2 of predicted
over true luminance. For the seam, the panorama is photographed a second time, turned so that its strongest light lies
on the seam, which a tool that does not close around the viewer cuts in two.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import copy
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from hdrgan.data.camera import VirtualCamera
from hdrgan.light.srgb import LUMINANCE_WEIGHTS

CONDITIONS = ("panoramas, clean", "panoramas, camera")
LIGHT_FIGURES = {
    "clipped": "stops of all light of clipped pixels; 0 is best",
    "irradiance": "absolute stops of cosine irradiance, mean over surfaces of every direction",
    "key": "absolute stops of the clipped light within 10 degrees of the strongest light",
    "seam": "log2 step of clipped rows across the seam over that beside it, the strongest light on it; 1 is best",
}
_SHARE = 0.1  # of the sphere clips
_LARGEST = 2048  # pixels of width, to which larger panoramas are brought
_ENVIRONMENT, _NORMALS = (64, 128), (32, 64)  # height, width
_KEY_DEGREES, _LOBE_DEGREES, _LOBE = 10, 12, 256
_DARKEST, _BESIDE = 1e-4, 8  # of the seam: the least light that counts, and columns on both sides
_FEWEST_ROWS = 5
_LUMINANCE = np.array(LUMINANCE_WEIGHTS, np.float32)


@dataclass(frozen=True)
class Panorama:
    """A photo of a panorama and how to score what is made of it.

    Args:
        condition: one of `CONDITIONS`.
        pixels: (H, W, 3) uint8, the photo.
        score: from predicted light (H, W, 3), 1.0 = white, to some of `LIGHT_FIGURES`; NaN where there is none.
    """

    condition: str
    pixels: np.ndarray
    score: Callable[[np.ndarray], dict[str, float]]


def photographed(light: np.ndarray, camera: VirtualCamera, seed: tuple[int, ...]) -> Iterator[Panorama]:
    """Photograph a panorama (H, 2 H, 3) as an sRGB render and with a camera, each upright and turned.

    Raises:
        ValueError: it is black.
    """
    light, camera = bounded(light), copy(camera)
    brightest, weight = light.max(-1).ravel(), directions(*light.shape[:2])[1].ravel()
    order = np.argsort(brightest)
    white = brightest[order[np.searchsorted(np.cumsum(weight[order]), (1 - _SHARE) * weight.sum())]]
    share = float(np.clip((brightest >= white).mean(), 1e-4, 0.9))
    camera.clip = (share, share)
    for clean, condition in zip((True, False), CONDITIONS, strict=True):
        shot = camera.shoot(light, np.random.default_rng((*seed, clean)), clean=clean)
        clipped = shot.radiance.max(-1) >= 1
        key = strongest_light(shot.radiance)
        turn = -int((math.atan2(key[0], key[2]) / (2 * math.pi) + 0.5) * clipped.shape[1])
        yield Panorama(condition, shot.srgb, _Light(shot.radiance, clipped, key))
        yield Panorama(condition, np.roll(shot.srgb, turn, 1), _Seam(np.roll(clipped, turn, 1)))


@dataclass(frozen=True)
class _Light:
    truth: np.ndarray
    clipped: np.ndarray
    key: np.ndarray

    def __call__(self, predicted: np.ndarray) -> dict[str, float]:
        seen, weight = directions(*self.truth.shape[:2])
        hot = self.clipped & (seen @ self.key > math.cos(math.radians(_KEY_DEGREES)))
        found, true = ((light @ _LUMINANCE) * weight for light in (predicted, self.truth))
        surfaces = directions(*_NORMALS)[1].ravel()
        errors = np.abs(np.log2(irradiance(predicted) / irradiance(self.truth)))
        return {
            "clipped": _stops(found[self.clipped], true[self.clipped]),
            "irradiance": float((errors * surfaces).sum() / surfaces.sum()),
            "key": abs(_stops(found[hot], true[hot])) if hot.any() else math.nan,
        }


@dataclass(frozen=True)
class _Seam:
    clipped: np.ndarray

    def __call__(self, predicted: np.ndarray) -> dict[str, float]:
        rows = np.flatnonzero(self.clipped[:, 0] | self.clipped[:, -1])
        if len(rows) < _FEWEST_ROWS:
            return {"seam": math.nan}
        logs = np.log2(np.maximum(predicted[rows] @ _LUMINANCE, _DARKEST))

        def step(one: int, other: int) -> float:
            return float(np.abs(logs[:, one] - logs[:, other]).mean())

        beside = [step(k, k + 1) for k in range(_BESIDE)] + [step(-k - 1, -k - 2) for k in range(_BESIDE)]
        return {"seam": step(0, -1) / max(float(np.mean(beside)), 1e-3)}


@lru_cache(8)
def directions(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Of the pixels of a panorama: (H, W, 3) unit vectors, y up, +z at the middle column, and (H, W) solid angles."""
    latitude = (0.5 - (np.arange(height) + 0.5) / height) * math.pi
    longitude = ((np.arange(width) + 0.5) / width - 0.5) * 2 * math.pi
    flat = np.cos(latitude)[:, None]
    across, up, ahead = flat * np.sin(longitude), np.sin(latitude)[:, None] * np.ones(width), flat * np.cos(longitude)
    weight = flat * np.ones(width) * (2 * math.pi / width) * (math.pi / height)
    return np.stack([across, up, ahead], -1).astype(np.float32), weight.astype(np.float32)


@lru_cache(1)
def _cosines() -> np.ndarray:
    """Of each surface with each direction of light, from 0: (normals, directions)."""
    normals, lights = (directions(*size)[0].reshape(-1, 3) for size in (_NORMALS, _ENVIRONMENT))
    cosines: np.ndarray = (normals @ lights.T).clip(0)
    return cosines


def _environment(light: np.ndarray) -> np.ndarray:
    """The light of a panorama, as flux (directions, 3)."""
    flux: np.ndarray = _shrunk(light, *_ENVIRONMENT) * directions(*_ENVIRONMENT)[1][..., None]
    return flux.reshape(-1, 3)


def irradiance(light: np.ndarray) -> np.ndarray:
    """Luminance that reaches a surface of each of 32 × 64 directions, over pi, from a panorama (H, W, 3)."""
    reached: np.ndarray = np.maximum(_cosines() @ (_environment(light) @ _LUMINANCE) / math.pi, 1e-9)
    return reached


def strongest_light(light: np.ndarray) -> np.ndarray:
    """The unit vector towards the strongest light of a panorama (H, W, 3)."""
    flux, lights = _environment(light) @ _LUMINANCE, directions(*_ENVIRONMENT)[0].reshape(-1, 3)
    towards = directions(*_NORMALS)[0].reshape(-1, 3)[int((_cosines() ** _LOBE @ flux).argmax())]
    near = lights @ towards > math.cos(math.radians(_LOBE_DEGREES))
    mean = (flux[near, None] * lights[near]).sum(0)
    unit: np.ndarray = mean / np.linalg.norm(mean)
    return unit


def bounded(light: np.ndarray) -> np.ndarray:
    """A panorama (H, 2 H, 3) at the size in which it is photographed."""
    height, width = light.shape[:2]
    return light if width <= _LARGEST else _shrunk(light, round(height * _LARGEST / width), _LARGEST)


def _shrunk(light: np.ndarray, height: int, width: int) -> np.ndarray:
    """A panorama at another size, averaged over solid angle, so that no lamp loses energy."""
    weight = directions(*light.shape[:2])[1][..., None]
    planes = torch.from_numpy(np.concatenate([light * weight, weight], -1)).permute(2, 0, 1)[None]
    means = F.interpolate(planes, size=(height, width), mode="area")[0].permute(1, 2, 0).numpy()
    shrunk: np.ndarray = means[..., :3] / means[..., 3:]
    return shrunk


def _stops(found: np.ndarray, true: np.ndarray) -> float:
    sums = (max(float(light.sum(dtype=np.float64)), 1e-9) for light in (found, true))
    return math.log2(next(sums) / next(sums))
