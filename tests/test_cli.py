"""The command line, from outside."""

import os
import subprocess
import sys
import time
import tomllib
import zipfile

import numpy as np
import pytest
from PIL import Image

from hdrgan.files.photo import load_photo
from hdrgan.files.radiance import load_radiance


def run_in_new_python(*arguments, columns=200):
    """Run the command in a new Python, where what it imports and when is part of what is looked at."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "COLUMNS": str(columns)}
    command = [sys.executable, "-m", "hdrgan", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


def flat(text):
    """A text without its line breaks and margins."""
    return " ".join(text.split())


def visible(folder):
    """Names of what a user sees in a folder: the records of a batch are hidden."""
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


@pytest.fixture
def photo(tmp_path):
    ramp = np.linspace(5, 240, 96).astype(np.uint8)
    pixels = np.stack([np.tile(ramp, (64, 1))] * 3, -1)
    pixels[10:30, 40:70] = 255
    path = tmp_path / "lamp.png"
    Image.fromarray(pixels).save(path)
    return path


def test_help_names_every_command_and_teaches_by_example():
    listed = run_in_new_python("--help").stdout
    for command in ("generate", "reconstruct", "prepare", "evaluate", "convert", "push"):
        assert command in listed
    text = run_in_new_python("generate", "--help").stdout
    assert "Example" in text
    assert "--hdr" in text


def test_help_fits_the_terminal_and_leaves_sentences_and_examples_whole():
    listed = run_in_new_python("--help", columns=80).stdout
    assert max(map(len, listed.splitlines())) <= 80
    assert "Make only the HDR image of each photo, in linear light where 1.0 is the photo's white." in flat(listed)
    assert listed.index("generate") < listed.index("calibrate"), "the commands are not in the order of use"
    example = "  Example: hdrgan convert ein ein.pth models/ein && hdrgan generate photo.jpg --model models/ein"
    assert example in run_in_new_python("convert", "--help", columns=80).stdout.splitlines()


def test_a_command_alone_is_answered_with_its_help(hdrgan):
    done = hdrgan("generate")
    assert (done.returncode, done.stdout, done.stderr) == (2, hdrgan("generate", "--help").stdout, "")


@pytest.mark.parametrize(
    ("arguments", "near"),
    [(["genrate"], "generate"), (["export", "onx"], "onnx"), (["generate", "a.jpg", "--ouput", "x"], "--output")],
)
def test_a_mistyped_word_is_answered_with_what_is_near(hdrgan, arguments, near):
    done = hdrgan(*arguments)
    assert done.returncode == 2
    assert f"Did you mean '{near}'?" in done.stderr


def test_help_is_quick():
    start = time.perf_counter()
    run_in_new_python("--help")
    plain = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import click"], check=True)
    bare = time.perf_counter() - plain
    assert plain - start < 3 * bare + 0.5, "something heavy is imported before it is needed"


@pytest.mark.parametrize("name", ["click", "numpy", "torch"])
def test_ctrl_c_during_an_import_ends_without_a_word(root, photo, tmp_path, name):
    """The package sends the signal to its own process: there is no moment to be met."""
    (tmp_path / "path").mkdir()
    (tmp_path / f"path/{name}.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    entry = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]["hdrgan"]
    module, function = entry.split(":")
    script = f"import sys; from {module} import {function}; sys.exit({function}())"  # as pip writes it
    environment = os.environ | {"PYTHONPATH": os.pathsep.join((str(tmp_path / "path"), str(root)))}
    for way in (("-c", script), ("-m", "hdrgan")):
        command = [sys.executable, *way, "generate", str(photo), "-o", str(tmp_path / "out")]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
    assert not (tmp_path / "out").exists()


def test_ctrl_c_that_is_ignored_stays_so(root):
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); sys.argv[1:] = ['--version']\n"
        "from hdrgan.__main__ import main\n"
        "try: main()\n"
        "finally: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def test_generate_writes_the_bracket_and_the_light(photo, tmp_path):
    done = run_in_new_python("generate", photo, "-o", tmp_path / "out", "--hdr", "exr,hdr")
    assert done.returncode == 0, done.stderr
    names = visible(tmp_path / "out")
    evs = ("+0", "+2", "+4", "-2", "-4")
    assert names == sorted([*(f"lamp_ev{ev}.png" for ev in evs), "lamp.exr", "lamp.hdr"])
    assert sorted(line.split("/")[-1] for line in done.stdout.split()) == names
    assert np.array_equal(load_photo(tmp_path / "out/lamp_ev+0.png").pixels, load_photo(photo).pixels)
    exr, hdr = load_radiance(tmp_path / "out/lamp.exr"), load_radiance(tmp_path / "out/lamp.hdr")
    assert exr.shape == (64, 96, 3)
    assert exr[15:25, 45:65].min() >= 1.0, "a clipped window is at least white"
    np.testing.assert_allclose(hdr, exr, rtol=0.02, atol=0.01)


def test_reconstruct_writes_only_the_light(photo, tmp_path, hdrgan):
    done = hdrgan("reconstruct", photo, "-o", tmp_path / "out", "--hdr", "hdr")
    assert done.returncode == 0, done.stderr
    assert visible(tmp_path / "out") == ["lamp.hdr"]


def test_every_kind_of_light_can_be_asked_for_and_packed(photo, tmp_path, hdrgan):
    done = hdrgan("reconstruct", photo, "-o", tmp_path, "--hdr", "exr,hdr,ultrahdr", "--zip")
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(tmp_path / "lamp_hdr.zip") as archive:
        assert archive.namelist() == ["lamp.exr", "lamp.hdr", "lamp_ultrahdr.jpg"]
        assert load_photo(archive.read("lamp_ultrahdr.jpg")).pixels.shape == (64, 96, 3)

    done = hdrgan("generate", photo, "-o", photo.parent, "--hdr", "ultrahdr", "--zip", "--format", "jpg")
    assert done.returncode == 0, done.stderr
    assert [line.split("/")[-1] for line in done.stdout.split()] == ["lamp_bracket.zip", "lamp_ultrahdr.jpg"]


def test_the_place_of_a_photo_is_handed_on_only_if_asked(tmp_path, hdrgan):
    exif = Image.Exif()
    exif.get_ifd(0x8825)[1] = "S"
    Image.new("RGB", (32, 24), "grey").save(tmp_path / "beach.jpg", exif=exif)
    for extra, places in (([], 0), (["--keep-gps"], 2)):
        out = tmp_path / f"out{places}"
        hdrgan("generate", tmp_path / "beach.jpg", "-o", out, "--hdr", "ultrahdr", "--evs=0", *extra)
        files = [Image.open(path).getexif().get_ifd(0x8825).get(1) for path in map(out.joinpath, visible(out))]
        assert files.count("S") == places
        assert len(files) == 2


def test_a_folder_of_photos_goes_on_past_a_bad_one_and_says_so(photo, tmp_path, hdrgan):
    (photo.parent / "broken.jpg").write_text("this is a letter")
    done = hdrgan("generate", photo.parent, "-o", tmp_path / "out", "--evs=-1,0,1")
    assert done.returncode == 1
    assert "broken.jpg" in done.stderr
    assert "Traceback" not in done.stderr
    assert visible(tmp_path / "out") == ["failed.jsonl", "lamp_ev+0.png", "lamp_ev+1.png", "lamp_ev-1.png"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["generate", "{photo}", "--evs", "0,zero"], "--evs must be numbers"),
        (["generate", "{photo}", "--evs", "2,1"], "evs must be ascending"),
        (["generate", "nowhere.jpg"], "nowhere.jpg does not exist"),
        (["generate", "{photo}", "--hdr", "gif"], "hdr must be one of"),
        (["generate", "{photo}", "--model", "nonsense"], "nonsense"),
    ],
)
def test_a_mistake_is_answered_in_one_line(arguments, says, photo, tmp_path, hdrgan):
    done = hdrgan(*(a.format(photo=photo) for a in arguments), "-o", tmp_path / "out")
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr
