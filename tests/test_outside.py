"""What other people's software makes of our files: merging, fusing, reading the tags, reading the light."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from hdrgan import Pipeline, Result, load_photo

EVS = ("-4", "-2", "+0", "+2", "+4")


def outside(program: str, *arguments: object) -> str:
    """What a program of the system says; where it is missing the test fails, and says what to install."""
    package = {"exiftool": "libimage-exiftool-perl", "exrheader": "openexr"}.get(program, program)
    if shutil.which(program) is None:
        pytest.fail(f"This test needs {program}: apt-get install {package}", pytrace=False)
    return subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def result(root, tmp_path_factory) -> Result:
    """The result of a photo of floodlights at dusk, as a camera with a GPS receiver would have written it."""
    exif = Image.Exif()
    exif[271], exif[272] = "Leica", "M11"
    exif.get_ifd(0x8769).update({33434: IFDRational(1, 50), 36867: "2025:06:01 21:40:00"})
    exif.get_ifd(0x8825)[1] = "N"
    path = tmp_path_factory.mktemp("camera") / "dusk.jpg"
    Image.open(root / "examples/launch_pad.jpg").save(path, exif=exif, quality=95)
    # As a render, so that its brighter exposures keep the photo's noise and a merge finds the photo's light.
    return Pipeline.from_pretrained("radiance", device="cpu")(load_photo(path), response="srgb")


@pytest.fixture(scope="module", params=["png", "jpg"])
def bracket(request, result, tmp_path_factory) -> Path:
    """The zip of five exposures."""
    return result.save(tmp_path_factory.mktemp("bracket"), format=request.param, hdr=(), zip=True)[0]


@pytest.fixture(scope="module")
def frames(bracket) -> list[Path]:
    with zipfile.ZipFile(bracket) as archive:
        archive.extractall(bracket.parent)
    return [next(bracket.parent.glob(f"dusk_ev{ev}.*")) for ev in EVS]


def test_opencv_merges_the_bracket_to_our_radiance(bracket, result, root):
    merged = bracket.with_suffix(".npy")
    subprocess.run([sys.executable, root / "tests/helpers/merge_with_opencv.py", bracket, merged], check=True)
    found = np.load(merged)
    pixels = result.photo.pixels
    unclipped = (pixels.max(-1) < 250) & (pixels.min(-1) > 5) & (result.radiance.min(-1) > 0)
    assert unclipped.mean() > 0.7
    stops = np.log2(found[unclipped] / result.radiance[unclipped])
    stops -= np.median(stops)  # a merge from exposure times alone has a scale of its own
    assert np.sqrt(np.mean(stops**2)) < 0.1


def test_exiftool_shows_the_tags_of_every_frame(frames):
    wanted = ("ExposureCompensation", "ExposureTime", "Make", "Model", "DateTimeOriginal", "Orientation", "GPS:all")
    found = json.loads(outside("exiftool", "-json", "-n", *(f"-{tag}" for tag in wanted), *frames))
    assert [tags["ExposureCompensation"] for tags in found] == [-4, -2, 0, 2, 4]
    seconds = [tags["ExposureTime"] for tags in found]
    assert seconds == pytest.approx([2.0**ev / 50 for ev in (-4, -2, 0, 2, 4)], rel=1e-3)
    for tags in found:
        kept = {"Make": "Leica", "Model": "M11", "DateTimeOriginal": "2025:06:01 21:40:00", "Orientation": 1}
        assert kept.items() <= tags.items()
        assert not [name for name in tags if name.startswith("GPS")]


def test_exiftool_finds_both_pictures_of_an_ultra_hdr(result, tmp_path):
    path = result.save_hdr(tmp_path, ("ultrahdr",))[0]
    found = json.loads(outside("exiftool", "-json", "-G1", "-n", "-a", path))[0]
    assert found["MPF0:NumberOfImages"] == 2
    assert found["MPImage2:MPImageStart"] + found["MPImage2:MPImageLength"] == path.stat().st_size
    assert found["XMP-hdrgm:Version"] == 1
    assert found["IFD0:Make"] == "Leica"
    assert "ExifTool:Warning" not in found


def test_enfuse_fuses_the_bracket_to_a_sane_picture(frames, result, tmp_path):
    outside("enfuse", "-o", tmp_path / "fused.png", *frames)
    fused = np.asarray(Image.open(tmp_path / "fused.png").convert("L"), float)
    photo = np.asarray(Image.fromarray(result.photo.pixels).convert("L"), float)
    assert fused.shape == photo.shape
    assert np.corrcoef(fused.ravel(), photo.ravel())[0, 1] > 0.8, "it is still a picture of the same thing"
    assert (photo < 30).mean() > 0.15
    assert (fused < 30).mean() < (photo < 30).mean() / 2, "the shadows are open"
    assert (fused > 250).mean() <= (photo > 250).mean(), "and no light is lost"


def test_the_tools_of_openexr_read_the_light(result, tmp_path):
    path = result.save_hdr(tmp_path, ("exr",))[0]
    said = outside("exrheader", path)
    for channel in ("R", "G", "B", "invented"):
        assert f"{channel}, 16-bit floating-point" in said
    for line in ("red   (0.64 0.33)", "white (0.3127 0.329)", "whiteLuminance (type float): 203", "compression (type"):
        assert line in said
    assert f"(0 0) - ({result.photo.width - 1} {result.photo.height - 1})" in said
    assert "hdrgan" in said
    assert "EV 0 is the photo" in said
