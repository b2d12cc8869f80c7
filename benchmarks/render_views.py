"""Render the views of the yardstick from HDR scenes: photos, and the light behind them.

python -m benchmarks.render_views DATA OUT --cameras cameras.npz
hdrgan evaluate OUT --model radiance --model bracket --model ein -o benchmarks/yardstick.json

DATA has the scenes of the split "test" in ``recipes/scenes.tsv``, under the names of its column ``file``. Panoramas
give six views of 256 pixels; other scenes are used whole, at a long side of 512 pixels.

  clean  sRGB in 8 bits; 3 to 15 % of the pixels clip, and nothing else is lost
  real   a camera as it is, with ``--cameras``: light is mixed into primaries of its own and clips there; noise; half
         of the time a Bayer mosaic and its interpolation; a measured tone curve; saturation, sharpening, JPEG

The same seed, table and data give the same files. ``cameras.npz`` (``name``, ``split``, ``irradiance`` (N,),
``response`` (cameras, N), code over light) is research data that is not published here: without it there is no *real*.
The report names the cameras.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import OpenEXR

from hdrgan.evaluation.views import MADE_NAME

ROOT = Path(__file__).resolve().parent.parent
EVS = (-4, -2, 0, 2, 4)
LUMA = np.array([0.2126, 0.7152, 0.0722])
SETTINGS = {"views": 6, "size": 256, "seed": 11}
BOTH_SAMPLINGS = (0x111111, 0x221111)  # of JPEG: colour in full, and by two


def listed_scenes() -> list[str]:
    """Files of the split "test", in the order of the table: a scene's own random numbers depend on its place."""
    with (ROOT / "recipes/scenes.tsv").open(newline="", encoding="utf-8") as lines:
        return [row["file"] for row in csv.DictReader(lines, delimiter="\t") if row["split"] == "test"]


def read_scene(path: Path) -> np.ndarray:
    """(H, W, 3) float32, linear."""
    channels = OpenEXR.File(str(path), separate_channels=True).channels()
    planes = {name.split(".")[-1]: np.asarray(c.pixels).astype(np.float32) for name, c in channels.items()}
    return np.clip(np.nan_to_num(np.stack([planes[name] for name in "RGB"], -1)), 0, 65000)


def view(panorama: np.ndarray, yaw: float, pitch: float, fov: float, size: int) -> np.ndarray:
    """What a camera of this field of view sees of a panorama; angles in radians."""
    height, width = panorama.shape[:2]
    scale = (size / (2 * np.tan(fov / 2))) / (width / (2 * np.pi))
    if scale < 0.7:
        panorama = cv2.resize(panorama, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        height, width = panorama.shape[:2]
    focal = 0.5 / np.tan(fov / 2)
    u, v = np.meshgrid(*[(np.arange(size) + 0.5) / size - 0.5] * 2)
    ray = np.stack([u / focal, -v / focal, np.ones_like(u)], -1)
    ray /= np.linalg.norm(ray, axis=-1, keepdims=True)
    cp, sp, cy, sy = np.cos(pitch), np.sin(pitch), np.cos(yaw), np.sin(yaw)
    ray = ray @ (np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]]) @ np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])).T
    x = (np.arctan2(ray[..., 0], ray[..., 2]) / (2 * np.pi) + 0.5) * width - 0.5
    y = (0.5 - np.arcsin(np.clip(ray[..., 1], -1, 1)) / np.pi) * height - 0.5
    return cv2.remap(panorama, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP)


def views_of(scene: np.ndarray, rng: np.random.Generator, count: int, size: int) -> list[np.ndarray]:
    """Views of a panorama in all directions, or a scene that is none as a whole."""
    height, width = scene.shape[:2]
    if abs(width / height - 2) >= 0.02:
        scale = min(1, 512 / max(height, width))
        return [cv2.resize(scene, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else scene]
    found = []
    for k in range(count):
        yaw = (k + rng.uniform(-0.3, 0.3)) * 2 * np.pi / count
        pitch, fov = np.deg2rad(rng.uniform(-15, 20)), np.deg2rad(rng.uniform(60, 95))
        found.append(view(scene, yaw, pitch, fov, size))
    return found


def srgb(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def in_8_bits(encoded: np.ndarray) -> np.ndarray:
    return np.round(encoded.clip(0, 1) * 255).astype(np.uint8)


def pass_over_old_condition(light: np.ndarray, rng: np.random.Generator) -> None:
    """Draw the random numbers of a condition that is no longer rendered: those of later views come after them."""
    rng.normal(0.9, 0.1), rng.normal(0.6, 0.1), rng.random()
    rng.normal(size=light.shape), rng.uniform(2e-5, 2e-4), rng.uniform(2e-7, 4e-6), rng.integers(80, 96)


class Cameras:
    """Measured tone curves of the split "test": light in [0, 1] to codes in [0, 1], one for all channels."""

    def __init__(self, path: Path):
        with np.load(path, allow_pickle=False) as model:
            kept = model["split"] == "test"
            self.names: list[str] = model["name"][kept].tolist()
            self.irradiance, self.responses = model["irradiance"], model["response"][kept]

    def shoot(self, light: np.ndarray, rng: np.random.Generator) -> tuple[str, np.ndarray, dict[int, np.ndarray]]:
        """Photograph light of which 1.0 is white: its camera, the photo, and exposures as that camera makes them."""
        which, mix = int(rng.integers(len(self.names))), rng.uniform(0, 0.12, (3, 3))
        np.fill_diagonal(mix, 0)
        np.fill_diagonal(mix, 1 - mix.sum(1))
        back = np.linalg.inv(mix)
        shot, read, mosaic = 10 ** rng.uniform(-4.8, -3.5), 10 ** rng.uniform(-7, -5.3), rng.random() < 0.5
        saturation = rng.uniform(0.95, 1.25)
        rng.uniform(0, 0.7)  # was to be the sharpness, and never was: figures are comparable as long as nothing changes

        def develop(raw: np.ndarray, *, sharpened: bool) -> np.ndarray:
            codes = np.interp((raw.clip(0, 1) @ back.T).clip(0, 1), self.irradiance, self.responses[which])
            grey = (codes @ LUMA)[..., None]
            codes = grey + saturation * (codes - grey)
            if sharpened:
                codes = codes + (codes - cv2.GaussianBlur(codes, (0, 0), 0.8))
            return in_8_bits(codes)

        seen = light @ mix.T
        raw = seen.clip(0, 1)
        raw = (raw + rng.normal(size=raw.shape) * np.sqrt(raw * shot + read)).clip(0, 1)
        raw = np.where(seen >= 1, 1, raw)
        if mosaic:
            raw = interpolated(raw)
        return (
            self.names[which],
            develop(raw, sharpened=True),
            {ev: develop(seen * 2.0**ev, sharpened=False) for ev in EVS},
        )


def interpolated(raw: np.ndarray) -> np.ndarray:
    """Keep of each pixel the one channel that a Bayer sensor (RGGB) sees, and fill in the others; odd edges stay."""
    height, width = (side // 2 * 2 for side in raw.shape[:2])
    bayer = np.empty((height, width))
    for channel, (top, left) in ((0, (0, 0)), (1, (0, 1)), (1, (1, 0)), (2, (1, 1))):
        bayer[top::2, left::2] = raw[top:height:2, left:width:2, channel]
    filled = raw.copy()
    codes = np.round(bayer * 65535).astype(np.uint16)
    filled[:height, :width] = cv2.demosaicing(codes, cv2.COLOR_BayerBG2RGB).astype(np.float64) / 65535
    return filled


def render(data: Path, out: Path, cameras: Cameras | None) -> dict[str, Any]:
    """Write the views, their table and how they were made."""
    for folder in ("in", "ref", "truth"):
        (out / folder).mkdir(parents=True, exist_ok=True)
    rows = []
    for number, file in enumerate(listed_scenes()):
        rng = np.random.default_rng([SETTINGS["seed"], number])
        for k, light in enumerate(views_of(read_scene(data / file), rng, SETTINGS["views"], SETTINGS["size"])):
            brightest, name = light.max(-1), f"{Path(file).stem}_{k}"
            if np.percentile(brightest, 50) <= 0:
                continue
            clipped = rng.uniform(0.03, 0.15)
            light = np.clip(light / max(np.percentile(brightest, 100 * (1 - clipped)), 1e-6), 0, 6e4).astype(np.float16)
            np.save(out / "ref" / f"{name}.npy", light)
            light = light.astype(np.float32)
            share = f"{float((light.max(-1) >= 1).mean()):.4f}"
            cv2.imwrite(str(out / "in" / f"{name}_clean.png"), in_8_bits(srgb(light))[..., ::-1])
            rows.append((name, "clean", f"in/{name}_clean.png", f"ref/{name}.npy", "srgb", share))
            pass_over_old_condition(light, rng)
            if cameras is None:
                continue
            own = np.random.default_rng([SETTINGS["seed"], number, k])
            camera, photo, exposures = cameras.shoot(light.astype(np.float64), own)
            quality, sampling = int(own.integers(85, 98)), int(own.choice(BOTH_SAMPLINGS))
            how = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
            cv2.imwrite(str(out / "in" / f"{name}_real.jpg"), photo[..., ::-1], how)
            for ev, exposure in exposures.items():
                cv2.imwrite(str(out / "truth" / f"{name}_real_ev{ev:+d}.png"), exposure[..., ::-1])
            rows.append((name, "real", f"in/{name}_real.jpg", f"ref/{name}.npy", f"camera:{camera}", share))
    with (out / "index.csv").open("w", newline="", encoding="utf-8") as lines:
        csv.writer(lines).writerows([("id", "condition", "input", "reference", "crf", "clipped"), *rows])
    made = {"command": "python -m benchmarks.render_views", "scenes": listed_scenes(), **SETTINGS}
    made |= {"cameras": [] if cameras is None else cameras.names}
    (out / MADE_NAME).write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return made


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Render the views of the yardstick.")
    parser.add_argument("data", type=Path, help="folder of the scenes")
    parser.add_argument("out", type=Path, help="folder for the views")
    parser.add_argument("--cameras", type=Path, help="measured tone curves, an .npz")
    given = parser.parse_args()
    cv2.setNumThreads(1)
    render(given.data, given.out, None if given.cameras is None else Cameras(given.cameras))
