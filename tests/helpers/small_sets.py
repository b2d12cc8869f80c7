"""Data sets of a few small pictures, in the three layouts, made on the spot."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import xlwt
from PIL import Image

from hdrgan.data.camera import VirtualCamera
from hdrgan.files.radiance import save_exr, save_hdr

EVS = (-4, -2, 0, 2, 4)


def light(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    """Radiance (H, W, 3) with a gradient, texture and a lamp; a different scene for each seed."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = 0.02 + 0.3 * (1 + np.sin(4 * (x * np.cos(angle) + y * np.sin(angle))))[..., None]
    lamp = np.hypot(x - rng.uniform(0.2, 0.6), y - rng.uniform(0.2, 0.5)) < 0.12
    radiance = ramp * rng.uniform(0.5, 1.0, 3) * rng.uniform(0.8, 1.2, (height, width, 1))
    return (radiance + 20 * lamp[..., None]).astype(np.float32)


def srgb_codes(radiance: np.ndarray) -> np.ndarray:
    """8-bit sRGB of radiance, 1.0 = white."""
    clipped = radiance.clip(0, 1)
    encoded = np.where(clipped <= 0.0031308, 12.92 * clipped, 1.055 * np.maximum(clipped, 1e-9) ** (1 / 2.4) - 0.055)
    return np.round(encoded * 255).astype(np.uint8)


def make_brackets(root: Path, scenes: int = 4, each: int = 1, height: int = 48, width: int = 64) -> Path:
    """``<Scene>/images/<k>_<0..4>.png``."""
    for scene in range(scenes):
        images = root / f"Scene_{scene}" / "images"
        images.mkdir(parents=True)
        for k in range(each):
            radiance = light(100 * scene + k, height, width)
            for position, ev in enumerate(EVS):
                Image.fromarray(srgb_codes(radiance * 2.0**ev)).save(images / f"{k}_{position}.png")
    return root


def write_table(file: Path, rows: list[tuple], columns: tuple = ("HDR", "SDR")) -> None:
    """A table as .xls, .xlsx or .csv, whichever the name says."""
    if file.suffix == ".csv":
        with file.open("w", newline="") as stream:
            csv.writer(stream).writerows([columns, *rows])
        return
    book = xlwt.Workbook()
    sheet = book.add_sheet("pairs")
    for y, row in enumerate([columns, *rows]):
        for x, cell in enumerate(row):
            sheet.write(y, x, cell)
    book.save(str(file))


def make_pairs(root: Path, train: int = 4, valid: int = 1, suffix: str = ".xls", side: int = 48) -> Path:
    """``train_SDR/ train_HDR/ valid_SDR/ valid_HDR/`` with their tables."""
    root.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("valid", valid)):
        rows = []
        for kind in ("SDR", "HDR"):
            (root / f"{split}_{kind}").mkdir()
        for k in range(count):
            radiance = light(1000 * (split == "valid") + k, side, side)
            save_hdr(root / f"{split}_HDR" / f"{k}.hdr", radiance * 7)  # a scale that means nothing
            Image.fromarray(srgb_codes(radiance)).save(root / f"{split}_SDR" / f"{k}.png")
            rows.append((f"{k}.hdr", f"{k}.png"))
        write_table(root / f"{split}{suffix}", rows)
    return root


def make_scenes(root: Path, count: int = 3, side: int = 64) -> Path:
    """.exr files, the first of which is a panorama."""
    root.mkdir(parents=True, exist_ok=True)
    for k in range(count):
        save_exr(root / f"scene_{k}.exr", light(k, side, side * 2 if k == 0 else side))
    return root


def lines_of(file: Path) -> list[dict]:
    """A JSONL record."""
    return [json.loads(line) for line in file.read_text().splitlines()]


def clean_camera() -> VirtualCamera:
    """A camera that only renders."""
    return VirtualCamera(clean_share=1)
