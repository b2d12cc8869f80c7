"""The runs that made the bundled weights, rehearsed: three steps on two small scenes and some photos."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file

from hdrgan import EIN, BracketGenerator, RadianceGenerator
from hdrgan.files.radiance import save_hdr

SIDE = 128


def table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def recipe(root: Path, name: str, *arguments: object) -> None:
    command = [sys.executable, "-m", f"recipes.{name}", *map(str, arguments)]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def smooth(rng: np.random.Generator) -> np.ndarray:
    """A picture (160, 240, 3) in [0, 1] without edges."""
    coarse = Image.fromarray(rng.integers(0, 256, (5, 8, 3), np.uint8))
    return np.asarray(coarse.resize((240, 160), Image.Resampling.BICUBIC), np.float32) / 255


@pytest.fixture(scope="module")
def packed(root, tmp_path_factory) -> Path:
    data, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    (data / "hdr").mkdir()
    (data / "ldr").mkdir()
    # Of the second site, recipes/scenes.tsv says that it is held out.
    scenes = {"meadow": "meadow", "sky": "autumn_field"}
    for name in scenes:
        save_hdr(data / f"hdr/{name}.hdr", np.exp(6 * smooth(rng) - 5).astype(np.float32))
    table(
        data / "scenes.tsv",
        [{"file": f"hdr/{name}.hdr", "split": "train", "site": site} for name, site in scenes.items()],
    )
    photos = [f"ldr/{number}.png" for number in range(12)]
    for photo in photos:
        Image.fromarray((240 * smooth(rng) ** 2).astype(np.uint8)).save(data / photo)
    table(data / "ldr.tsv", [{"file": photo, "clip_share": "0.0"} for photo in photos])
    folder = data / "packed"
    for part in (0, 1):
        options = ("--views", 6, "--crops", 2, "--size", SIDE, "--part", part, "--parts", 2)
        recipe(root, "pack_light", data, folder, *options)
    return folder


def test_what_is_packed_is_the_photo_and_its_light(packed):
    held_out = []
    for file in packed.glob("*.npz"):
        with np.load(file) as read:
            photo, light, known, curve = (read[name] for name in ("srgb", "light", "known", "curve"))
            held_out += read["held_out"].tolist()
            assert photo.shape == light.shape == (len(known), SIDE, SIDE, 3)
            assert curve.shape == (len(known), 256)
            # Exposed by its own curve, the light is the photo again but for noise, sharpening and JPEG.
            codes = [np.interp(4.0 * one, k, np.arange(256)) for one, k in zip(light.astype("f4"), curve, strict=True)]
            assert np.abs(np.array(codes) - photo)[known].mean() < 12
    assert 0 < sum(held_out) < len(held_out)


@pytest.mark.parametrize("model", [BracketGenerator, EIN])
def test_published_networks_go_on_from_the_bundled_ones(root, packed, tmp_path, model):
    name = "ein" if model is EIN else "bracket"
    options = ("--model", name, "--init", name, "--steps", 3, "--batch-size", 2, "--crop-size", 96)
    recipe(root, "train_published", packed, tmp_path, *options)
    before, after = model.from_pretrained(name), model.from_pretrained(tmp_path / "generator")
    moved = [(x - y).abs().max().item() for x, y in zip(before.parameters(), after.parameters(), strict=True)]
    assert 0 < max(moved) < 0.05
    assert after.training_summary["steps"] == 3
    assert after.training_summary["base"]["bundled"] == name
    steps = [line.split()[:2] for line in (tmp_path / "log.txt").read_text().splitlines()]
    assert steps == [["step", "0:"], ["step", "3:"]]


def test_the_light_goes_on_from_weights_and_is_told_of_held_out_photos(root, packed, tmp_path):
    options = ("--init", root / "hdrgan/weights/radiance", "--steps", 3, "--batch-size", 2)
    recipe(root, "train_light", packed, tmp_path, *options)
    trained = RadianceGenerator.from_pretrained(tmp_path / "generator")
    before = load_file(root / "hdrgan/weights/radiance/model.safetensors")
    assert any(not before[key].float().equal(value.float()) for key, value in trained.state_dict().items())
    told = (tmp_path / "log.txt").read_text().splitlines()
    assert told[-1].startswith("step 3: scenes stops ")
