"""A response from a bracket: right within 2 % on a camera that is known, refused in words where it cannot be."""

import io
import json

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from synthetic_camera import bracket, scene

from hdrgan.cli import app
from hdrgan.files.calibrations import CalibrationFileError, default_path, find_calibration, read_calibration
from hdrgan.files.stack import exact_stops, read_times
from hdrgan.light.align import offset
from hdrgan.light.calibration import Bracket, calibrate
from hdrgan.light.response import deviating_camera, mean_camera

TIMES = [1 / 256, 1 / 64, 1 / 32, 1 / 16, 1 / 4]
JUDGED = slice(26, 231)  # codes 0.1 to 0.9


@pytest.fixture(scope="module")
def shots():
    return bracket(TIMES)


def written(folder, files, prefix="shot"):
    folder.mkdir()
    for k, data in enumerate(files):
        (folder / f"{prefix}{k}.jpg").write_bytes(data)
    return folder


def run(*arguments):
    return CliRunner().invoke(app, ["calibrate", *map(str, arguments)])


def refusal(*arguments):
    done = run(*arguments)
    assert done.exit_code == 2, done.output
    return done.output


@pytest.mark.slow
def test_noise_jpeg_rounded_times_a_walker_and_an_unsteady_hand_leave_the_curve_right(shots, tmp_path):
    files, truth = shots
    out, plot = tmp_path / "cameras" / "one.json", tmp_path / "curve.png"
    done = run(written(tmp_path / "stack", files), "-o", out, "--plot", plot, "--style", "neutral")
    assert done.exit_code == 0, done.output
    camera = read_calibration(out)
    assert (camera.make, camera.model, camera.style) == ("Acme", "One", "neutral")
    assert np.abs(camera.response - truth)[JUDGED].max() < 0.02
    assert np.abs(mean_camera() - truth)[JUDGED].max() > 0.04  # there was something to find
    ratio = np.log2(camera.response[JUDGED] / truth[JUDGED])
    assert np.ptp(ratio) < 0.04  # stops; a common factor is left to the last codes before white
    facts = json.loads(out.read_text())
    assert facts["error_stops"] < 0.5 * facts["mean_camera_error_stops"]
    assert "codes seen" in done.output
    assert "held-out shots" in done.output
    assert plot.read_bytes().startswith(b"\x89PNG")


def with_white(step):
    """The mean camera, whose last codes go on smoothly: the last one holds so many stops."""
    response = mean_camera().copy()
    tail = np.linspace(0.09, step, 9).cumsum()  # stops of the codes above 246
    response[247:] = response[246] * 2**tail
    return response / response[255]


@pytest.mark.parametrize(
    "response",
    [deviating_camera(np.array(d)) for d in ((0, 0), (-1.5, 0.7), (1.2, 1.0))] + [with_white(s) for s in (0.085, 0.2)],
    ids=["mean", "steep", "soft", "little below white", "much below white"],
)
def test_cameras_that_differ_are_told_within_two_percent(response):
    files, truth = bracket(TIMES, response=response, seed=4)
    pictures = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
    stops = [exact_stops(time) for time in TIMES]
    found = calibrate([Bracket(pictures, stops, [str(time) for time in TIMES])]).response
    assert np.abs(found - truth)[JUDGED].max() < 0.02


def test_two_shots_are_enough_and_times_may_come_from_a_list_or_as_stops(shots, tmp_path):
    files, truth = shots
    stack = written(tmp_path / "stack", files[1:4:2])
    (tmp_path / "times.txt").write_text("# name seconds\nshot0.jpg 1/64\nshot1.jpg 0.0625\n")
    assert read_times(tmp_path / "times.txt") == {"shot0.jpg": 1 / 64, "shot1.jpg": 0.0625}
    for option in ("--evs=-2,0", f"--times={tmp_path / 'times.txt'}"):
        done = run(stack, "-o", tmp_path / "two.json", option)
        assert done.exit_code == 0, done.output
        assert "half of the picture" in done.output
        response = read_calibration(tmp_path / "two.json").response
        assert np.abs(response - truth)[JUDGED].max() < np.abs(mean_camera() - truth)[JUDGED].max()


@pytest.mark.slow
def test_exposures_that_contradict_the_pictures_are_refused(shots, tmp_path):
    files, _ = shots
    stack = written(tmp_path / "stack", files)
    out = tmp_path / "none.json"
    assert "and is darker" in refusal(stack, "-o", out, "--evs=-2,0,-1,1,3")
    assert "shot2.jpg got 1.0 stops more light" in refusal(stack, "-o", out, "--evs=-3,-1,-1.2,1,3")
    assert "steps seem too large" in refusal(stack, "-o", out, "--evs=-6,-2,0,2,6")
    assert "the same exposure" in refusal(stack, "-o", out, "--evs=0,0,0.1,0,0")
    assert "5 shots" in refusal(stack, "-o", out, "--evs=0,1")
    assert not out.exists()


@pytest.mark.slow
def test_other_brackets_that_cannot_be_used_are_refused_in_words(shots, tmp_path):
    files, _ = shots
    other, _ = bracket(TIMES, light=scene(seed=7)[::-1, ::-1].copy(), seed=7)
    assert "does not show the scene" in refusal(written(tmp_path / "two_scenes", [*files[:2], *other[2:]]))
    clipped, _ = bracket(TIMES, level=1e5)
    assert "neither black nor clipped" in refusal(written(tmp_path / "clipped", clipped))
    assert "2 to 30 shots" in refusal(written(tmp_path / "one", files[:1]))
    small, _ = bracket(TIMES, light=scene(240, 320))
    assert "different sizes" in refusal(written(tmp_path / "sizes", [*files[:2], *small[2:]]))
    (tmp_path / "one" / "text.jpg").write_text("no photo")
    assert "text.jpg" in refusal(tmp_path / "one")


@pytest.mark.slow
def test_several_brackets_refine_one_camera(shots, tmp_path):
    files, truth = shots
    more, _ = bracket(TIMES[1:], light=scene(seed=3), seed=3)
    first, second = written(tmp_path / "a", files), written(tmp_path / "b", more)
    done = run(first, second, "-o", tmp_path / "both.json")
    assert done.exit_code == 0, done.output
    assert "9 shots of 2 brackets" in done.output
    assert np.abs(read_calibration(tmp_path / "both.json").response - truth)[JUDGED].max() < 0.02


def test_a_hand_that_moved_is_followed():
    rng = np.random.default_rng(0)
    wall = np.kron(rng.integers(20, 120, (40, 40)), np.ones((8, 8))).astype(np.uint8)
    moved = np.roll(np.minimum(wall.astype(int) * 2, 255).astype(np.uint8), (-11, 6), (0, 1))
    assert offset(moved, wall, most=16) == (11, -6)


def test_nominal_times_are_what_cameras_do():
    for written_as, done in ((1 / 60, -6), (1 / 125, -7), (1 / 15, -4), (1 / 50, -17 / 3), (1 / 45, -5.5), (30, 5)):
        assert exact_stops(written_as) == pytest.approx(done)
    assert exact_stops(0.0123) == pytest.approx(np.log2(0.0123))


def test_a_calibration_is_found_by_make_and_model_and_a_damaged_one_is_left_out(shots, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    done = run(written(tmp_path / "stack", shots[0]))
    assert done.exit_code == 0, done.output
    assert default_path("Acme", "One", "").is_file()
    (default_path("Acme", "One", "").parent / "broken.json").write_text('{"kind": 1}')
    found, count = find_calibration("ACME", "One")
    assert count == 1
    assert found is not None
    assert found.title == "Acme One"
    assert find_calibration("Acme", "Two") == (None, 0)
    with pytest.raises(CalibrationFileError, match="no camera calibration"):
        read_calibration(default_path("Acme", "One", "").parent / "broken.json")


def test_what_the_shots_say_alike_of_their_rendering_is_written(shots, tmp_path):
    stack = tmp_path / "stack"
    stack.mkdir()
    for k, data in enumerate(shots[0]):
        with Image.open(io.BytesIO(data)) as picture:
            exif = picture.getexif()
            detail = {**exif.get_ifd(0x8769), 41992: 1, 41993: 0, 41990: k % 2}
            exif.get_ifd(0x8769).update(detail)
            exif[305] = f"Ver.1.0{k}"
            picture.save(stack / f"{k}.jpg", exif=exif, quality="keep")
    done = run(stack, "-o", tmp_path / "one.json")
    assert done.exit_code == 0, done.output
    assert json.loads((tmp_path / "one.json").read_text())["rendering"] == {"Contrast": "1", "Saturation": "0"}
