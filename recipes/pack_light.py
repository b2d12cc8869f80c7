"""Pack what the light of `radiance` is learnt from: photos, and how far their light is above white.

    python -m recipes.pack_light DATA PACKED --responses cameras.npz --part 0 --parts 2 --rounds 4

DATA holds ``scenes.tsv`` with ``hdr/`` and, if wanted, ``ldr.tsv`` with ``ldr/``. Two kinds of light:

  scenes  views of HDR scenes of the split train, a third of them behind a sharp silhouette cut out of another photo:
          panoramas are soft, and a network that has only seen soft edges learns that light falls towards them
  photos  ordinary photos read with the curve of some camera and exposed up until 5 to 45 % clip again; what was clipped
          before is unknown and carries no weight, and photos that lose next to nothing are left out

Each round has other views, crops, cameras and exposures; held-out ones are in the first alone. Written are
PACKED/<kind>-<round>-<part>.npz, each when it is complete, so that training can begin with the first: ``srgb``
(N, S, S, 3) uint8, ``light`` (N, S, S, 3) float16 linear, `WHITE` = the photo's white, ``known`` (N, S, S) bool,
``curve`` (N, 256) float32 linear light of the codes, ``lost`` (N,) mean stops above white of what clipped, ``held_out``
(N,) bool and ``source`` (N,). Held out are the sites that ``recipes/scenes.tsv`` names, and every tenth photo.
"""

from __future__ import annotations

import argparse
import csv
import math
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from hdrgan.data.camera import STEPS, Shot, VirtualCamera
from hdrgan.data.panorama import is_panorama, perspective_view
from hdrgan.data.responses import CODES
from hdrgan.files.radiance import load_radiance
from hdrgan.light.radiometry import LUMINANCE_WEIGHTS

HELD_OUT = Path(__file__).with_name("scenes.tsv")
WHITE = 0.25  # of packed light: half floats then reach from 18 stops above white to 22 below
_SHADED = 0.35  # share of views behind a silhouette
_LEAST_LOST = 0.15  # stops; see `lost`
_BALANCE = 0.15  # stops by which red and blue of a light vary
_CONTRAST = 0.08  # by which the logarithm of a light is stretched


def rows(table: Path) -> list[dict[str, str]]:
    """The rows of a table with tabs."""
    with table.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines, delimiter="\t"))


def view_of(scene: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    """A look into a panorama, half of them wide and thereby sharp, or a part of anything else: (side, side, 3)."""
    if is_panorama(scene.shape):
        fov = rng.uniform(85, 110) if rng.random() < 0.5 else rng.uniform(50, 85)
        return perspective_view(
            scene,
            yaw=rng.uniform(0, 2 * math.pi),
            pitch=math.radians(rng.uniform(-15, 30)),
            fov=math.radians(fov),
            size=side,
        )
    return part_of(scene, side, rng.uniform(1.0, 1.8), rng)


def part_of(picture: np.ndarray, side: int, zoom: float, rng: np.random.Generator) -> np.ndarray:
    """A square of (H, W, 3) whose short side was brought to ``zoom * side`` pixels: (side, side, 3) float32."""
    scale = zoom * side / min(picture.shape[:2])
    size = [max(side, round(length * scale)) for length in picture.shape[:2]]
    planes = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[None]
    planes = F.interpolate(planes, size=size, mode="area" if scale < 1 else "bilinear")[0]
    top, left = (int(rng.integers(0, length - side + 1)) for length in size)
    return planes[:, top : top + side, left : left + side].permute(1, 2, 0).numpy().copy()


def varied(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The same light under another white balance, and of a little more or less contrast."""
    balance = np.exp2(np.array([rng.normal(0, _BALANCE), 0, rng.normal(0, _BALANCE)]))
    changed: np.ndarray = ((light * balance) ** np.exp(rng.normal(0, _CONTRAST))).astype(np.float32)
    return changed


def silhouette(photo: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Cut what is dark out of a photo (S, S, 3) uint8: its linear light and coverage (S, S, 1), or None if unfit."""
    luma = photo.mean(-1) / 255
    edge = rng.uniform(0.3, 0.45)
    cover = ((edge + 0.06 - luma) / 0.12).clip(0, 1)
    if not 0.15 < cover.mean() < 0.75 or ((cover > 0.1) & (cover < 0.9)).mean() > 0.06:
        return None
    return (photo / np.float32(255)) ** 2.2, cover[..., None].astype(np.float32)


def lost(srgb: np.ndarray, light: np.ndarray, known: np.ndarray) -> float:
    """How far a photo's clipped pixels are above white: mean stops of luminance, 0 where next to none clipped."""
    clipped = (srgb.max(-1) >= 250) & known
    if clipped.sum() < 50:
        return 0.0
    return float(np.log2(np.maximum(light[clipped] @ np.array(LUMINANCE_WEIGHTS, np.float32), 1)).mean())


class Photos:
    """The ordinary photos, read when asked for."""

    def __init__(self, data: Path, largest_clip: float = 0.04):
        table = rows(data / "ldr.tsv") if (data / "ldr.tsv").is_file() else []
        self.files = [data / row["file"] for row in table if float(row["clip_share"] or 0) <= largest_clip]

    def read(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8."""
        return np.asarray(Image.open(self.files[index]).convert("RGB"))

    def held_out(self, index: int) -> bool:
        """Whether it serves validation: every tenth by its name, and never as a silhouette of training."""
        return zlib.crc32(self.files[index].name.encode()) % 10 == 0


class Pack:
    """Collects samples and writes them."""

    def __init__(self) -> None:
        self.samples: list[tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, float, bool, str]] = []

    def add(self, shot: Shot, known: np.ndarray, held_out: bool, source: str) -> None:
        """Keep one photo; ``known`` (S, S) bool says where its light is."""
        light = np.minimum(shot.radiance * WHITE, np.finfo(np.float16).max).astype(np.float16)
        far = lost(shot.srgb, shot.radiance, known)
        self.samples.append((shot.srgb, light, known, shot.inverse_response, far, held_out, source))

    def save(self, path: Path) -> None:
        """Write what was collected, if anything was."""
        if not self.samples:
            return
        names = ("srgb", "light", "known", "curve", "lost", "held_out", "source")
        columns = zip(*self.samples, strict=True)
        partial = path.with_suffix(".tmp")
        with partial.open("wb") as file:
            np.savez(file, **{name: np.array(column) for name, column in zip(names, columns, strict=True)})
        partial.replace(path)


def pack_scenes(args: argparse.Namespace, photos: Photos, number: int) -> None:
    """Views of HDR scenes through the virtual camera."""
    held = {row["site"] for row in rows(HELD_OUT) if row["split"] == "validation"}
    camera, pack = VirtualCamera(args.responses), Pack()
    outside = [k for k in range(len(photos.files)) if not photos.held_out(k)]
    table = [row for row in rows(args.data / "scenes.tsv") if row["split"] == "train"]
    for row in table[args.part :: args.parts]:
        validation = row["site"] in held
        if validation and number:
            continue
        scene = load_radiance(args.data / row["file"])
        rng = np.random.default_rng((args.seed + number, zlib.crc32(row["file"].encode())))
        for _ in range(args.views // 2 if validation else args.views):
            factor = 2 if scene.shape[1] >= 2048 and rng.random() < 0.5 else 1
            light = view_of(scene, args.size * factor, rng)
            if not validation:
                light = varied(light, rng)
            bright = float(np.percentile(light.max(-1), 90))
            if not bright > 0:
                continue
            if outside and rng.random() < _SHADED:
                cut = photos.read(int(rng.choice(outside)))
                cut = silhouette(np.round(part_of(cut, len(light), rng.uniform(1.0, 1.8), rng)).astype(np.uint8), rng)
                if cut is not None:
                    shade, cover = cut
                    light = light * (1 - cover) + shade * np.float32(bright * rng.uniform(0.1, 0.8)) * cover
            try:
                shot = camera.shoot(light, rng, reduction=factor)
            except ValueError:
                continue
            pack.add(shot, np.ones(shot.srgb.shape[:2], bool), validation, row["file"])
    print("scenes", number, len(pack.samples), flush=True)  # noqa: T201
    pack.save(args.packed / f"scenes-{number}-{args.part}.npz")


def pack_photos(args: argparse.Namespace, photos: Photos, number: int) -> None:
    """Ordinary photos exposed up until they clip."""
    # The photo has its lens, mosaic, denoising and style already.
    camera = VirtualCamera(args.responses, steps=set(STEPS) & {"noise", "jpeg", "sharpening"}, clip=(0.05, 0.45))
    pack = Pack()
    for index in range(args.part, len(photos.files), args.parts):
        if photos.held_out(index) and number:
            continue
        rng = np.random.default_rng((args.seed + number, 1, zlib.crc32(photos.files[index].name.encode())))
        whole = photos.read(index)
        for _ in range(args.crops):
            codes = part_of(whole, args.size, rng.uniform(1.0, 1.5), rng)
            curve = camera.responses.draw(rng)
            light = np.interp(codes / 255, CODES, curve).astype(np.float32)
            if not photos.held_out(index):
                light = varied(light, rng)
            known = codes.max(-1) < 250
            try:
                shot = camera.shoot(light, rng)
            except ValueError:
                continue
            clipped = shot.radiance.max(-1) > 1
            if (clipped & known).sum() < 0.5 * clipped.sum() or lost(shot.srgb, shot.radiance, known) < _LEAST_LOST:
                continue
            pack.add(shot, known, photos.held_out(index), photos.files[index].name)
    print("photos", number, len(pack.samples), flush=True)  # noqa: T201
    pack.save(args.packed / f"photos-{number}-{args.part}.npz")


def main() -> None:
    """Pack one part of the data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("packed", type=Path)
    parser.add_argument("--responses", type=Path, help="measured camera responses; else the spread in the package")
    parser.add_argument("--views", type=int, default=12, help="of each scene")
    parser.add_argument("--crops", type=int, default=4, help="of each photo")
    parser.add_argument("--size", type=int, default=448)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.packed.mkdir(parents=True, exist_ok=True)
    photos = Photos(args.data)
    for number in range(args.rounds):
        pack_photos(args, photos, number)
        pack_scenes(args, photos, number)


if __name__ == "__main__":
    main()
