"""Real brackets: the figures are the yardstick's, computed here a second time by plain means."""

import csv

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from synthetic_camera import bracket, scene

from hdrgan.cli import app
from hdrgan.data.layout import DatasetError
from hdrgan.evaluation import real_brackets, report, scenes
from hdrgan.evaluation.real_brackets import CONDITION, rim_of
from hdrgan.evaluation.stacks import choose_shots
from hdrgan.files.radiance import save_exr
from hdrgan.light.calibration import calibrate
from hdrgan.light.response import deviating_camera, mean_camera

CODES = np.linspace(0, 1, 256)


@pytest.fixture
def folder(tmp_path):
    """One shot, and what a camera near the mean one makes of its light two stops away, as the yardstick has it."""
    response = deviating_camera(np.array([0.5, 0.2]))
    light = scene(96, 128, seed=4) * 0.4
    (tmp_path / "in").mkdir()
    (tmp_path / "truth").mkdir()
    for ev in (-2, 0, 2):
        codes = np.interp((light * 2.0**ev).clip(0, 1), response, CODES)
        name = "in/one.jpg" if ev == 0 else f"truth/one_ev{ev:+d}.jpg"
        Image.fromarray((codes * 255).round().astype(np.uint8)).save(tmp_path / name, quality=95, subsampling=0)
    with (tmp_path / "index.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([["id", "stack", "clipped", "evs"], ["one", "stack", "0.2", "-2 +2"]])
    return tmp_path


def opened(path):
    return np.asarray(Image.open(path), np.float64) / 255


def psnr(a, b):
    return -10 * np.log10(((a - b) ** 2).mean())


def test_identity_and_curve_always_stand_beside_the_systems(folder):
    done = scenes.evaluate(folder, [])
    assert [system["name"] for system in done["systems"]] == ["identity", "curve"]
    identity, curve = (system["conditions"][CONDITION] for system in done["systems"])
    photo, dark, bright = (opened(folder / name) for name in ("in/one.jpg", "truth/one_ev-2.jpg", "truth/one_ev+2.jpg"))
    linear = np.where(photo <= 0.04045, photo / 12.92, ((photo + 0.055) / 1.055) ** 2.4) * 4
    plain = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)
    plain = np.round(plain.clip(0, 1) * 255) / 255  # as a file would hold it
    assert identity["all"]["+2"] == pytest.approx(psnr(plain, bright), abs=0.01)
    light = np.interp(photo, CODES, mean_camera())
    brighter, darker = (
        np.round(np.interp((light * gain).clip(0, 1), mean_camera(), CODES) * 255) / 255 for gain in (4, 0.25)
    )
    assert curve["all"]["+2"] == pytest.approx(psnr(brighter, bright), abs=0.01)
    assert curve["all"]["-2"] == pytest.approx(psnr(darker, dark), abs=0.01)
    blown = photo.max(-1) >= 0.98
    assert curve["blown"] == {"-2": pytest.approx(psnr(darker[blown], dark[blown]), abs=0.01)}
    assert curve["all"]["+2"] > identity["all"]["+2"]
    assert curve["range"]["-2"] < 0  # clipped light is flat without a network


def test_the_rim_is_what_lies_within_eight_pixels_of_what_did_not_clip():
    rng = np.random.default_rng(0)
    blown = np.ones((60, 70), bool)
    blown[tuple(rng.integers(0, 60, (2, 6)))] = False
    y, x = np.mgrid[:60, :70]
    distance = np.full(blown.shape, np.inf)
    for row, column in np.argwhere(~blown):
        down, across = abs(y - row), abs(x - column)
        distance = np.minimum(distance, 0.955 * abs(down - across) + 1.3693 * np.minimum(down, across))
    assert (rim_of(blown) == (blown & (distance <= 8))).all()
    assert not rim_of(np.ones((20, 20), bool)).any()


def test_the_table_is_printed_and_what_cannot_be_read_is_named(folder):
    text = report.format_report(scenes.evaluate(folder, []))
    assert "all -2" in text
    assert "range -2" in text
    (folder / "truth" / "one_ev+2.jpg").unlink()
    with pytest.raises(DatasetError, match="one"):
        scenes.evaluate(folder, [])


def test_the_command_scores_a_network_beside_them(folder):
    done = CliRunner().invoke(app, ["evaluate", str(folder), "--model", "radiance", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.output.splitlines()[2:5]] == ["identity", "curve", "radiance"]


def stack(folder, times, seed=3, **more):
    """Shots of a room by a camera whose response is known, with their exposures in EXIF."""
    folder.mkdir(parents=True)
    light = scene(120, 160, seed=seed)
    for k, shot in enumerate(bracket(times, light=light, drift=0, moving=False, seed=seed, **more)[0]):
        (folder / f"shot{k}.jpg").write_bytes(shot)


def test_a_folder_of_stacks_is_scored_as_it_lies_and_left_as_it_was(tmp_path):
    times = [1 / 512, 1 / 128, 1 / 32, 1 / 8, 1 / 2]
    stack(tmp_path / "town" / "room", times)
    stack(tmp_path / "pair", times[:2])
    stack(tmp_path / ".hidden", times)
    (tmp_path / "holiday").mkdir()
    for k in range(3):
        Image.new("RGB", (64, 48), (90 * k, 90, 90)).save(tmp_path / "holiday" / f"{k}.jpg")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "-m", "radiance", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()[2:5]] == ["identity", "curve", "radiance"]
    assert "left out: holiday: the EXIF of 0.jpg states no exposure time" in done.stderr
    assert "left out: pair: it holds 2 photos" in done.stderr
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    found = scenes.evaluate(tmp_path, [])
    assert found["data"]["kind"] == CONDITION
    figures = found["systems"][1]["conditions"][CONDITION]
    assert set(figures["all"]) == {"-4", "-2", "+2", "+4"}
    assert figures["all"]["+2"] > 25  # partners are those that the exposures say


def test_the_shots_are_those_of_a_share_clipped_with_a_darker_partner(tmp_path):
    stack(tmp_path / "room", [1 / 512, 1 / 128, 1 / 32, 1 / 8, 1 / 2])
    shots, _ = choose_shots(tmp_path, None)
    assert 1 <= len(shots) <= 2
    for one in shots:
        bracket_of = one.read()
        assert bracket_of.title.startswith("room/shot")
        assert 0.01 <= (bracket_of.photo.pixels.max(-1) >= 250).mean() <= 0.35
        assert min(bracket_of.others) < 0
        light = {ev: photo.pixels.mean() for ev, photo in (bracket_of.others | {0.0: bracket_of.photo}).items()}
        assert [light[ev] for ev in sorted(light)] == sorted(light.values())


def test_what_is_no_stack_is_refused_in_words(tmp_path):
    times = [1 / 512, 1 / 128, 1 / 32, 1 / 8, 1 / 2]
    stack(tmp_path / "dark", times, level=1e-6)
    stack(tmp_path / "wrong", times)
    with Image.open(tmp_path / "wrong" / "shot2.jpg") as middle:
        same = middle.convert("RGB")
    for k, shot in enumerate(sorted((tmp_path / "wrong").iterdir())):  # one picture under every exposure
        exif = Image.Exif()
        exif.get_ifd(0x8769)[33434] = IFDRational(4**k, 512)
        same.save(shot, exif=exif)
    with pytest.raises(DatasetError) as refused:
        scenes.evaluate(tmp_path, [])
    assert "wrong: the exposures that its EXIF states are not those of its pictures" in str(refused.value)
    assert "dark: no shot of whose pixels 1 to 35 % clip" in str(refused.value)


def test_a_calibration_of_the_stack_itself_never_sees_the_shot_that_is_scored(tmp_path, monkeypatch):
    stack(tmp_path / "room", [1 / 512, 1 / 128, 1 / 32, 1 / 8, 1 / 2], deviations=(1.5, -1.0))
    seen = []

    def calibrated(brackets):
        seen.append({pixels.tobytes() for one in brackets for pixels in one.pictures})
        return calibrate(brackets)

    monkeypatch.setattr(real_brackets, "calibrate", calibrated)
    found = scenes.evaluate(tmp_path, [], own_calibration=True, limit=1)
    names = [system["name"] for system in found["systems"]]
    assert names == ["identity", "curve", "curve, own calibration"]
    _, curve, own = (system["conditions"][CONDITION]["all"] for system in found["systems"])
    assert own["+2"] > curve["+2"] + 1
    one = choose_shots(tmp_path, 1)[0][0].read()
    assert found["data"]["own_calibrations"] == {"made": len(one.others), "refused": 0}
    for pictures, truth in zip(seen, one.others.values(), strict=True):
        assert truth.pixels.tobytes() not in pictures
        assert one.photo.pixels.tobytes() in pictures
        assert len(pictures) == 4
    assert "own calibration: by the other shots of each stack" in report.format_report(found)


def test_the_folder_of_a_yardstick_is_its_own_stack(folder):
    found = scenes.evaluate(folder, [], own_calibration=True)
    assert found["systems"][-1]["name"] == "curve, own calibration"
    assert sum(found["data"]["own_calibrations"].values()) == 2


def test_only_real_brackets_have_a_calibration_of_their_own(tmp_path):
    save_exr(tmp_path / "scene.exr", scene(32, 64).astype(np.float32))
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "--own-calibration"])
    assert done.exit_code == 2
    assert "holds no real brackets" in done.output


def test_a_stack_in_a_folder_called_images_is_one(tmp_path):
    stack(tmp_path / "project" / "images", [1 / 512, 1 / 128, 1 / 32, 1 / 8, 1 / 2])
    assert scenes.evaluate(tmp_path, [])["data"]["kind"] == CONDITION
    (tmp_path / "other" / "images").mkdir(parents=True)
    Image.new("RGB", (32, 32)).save(tmp_path / "other" / "images" / "1_0.png")
    for shot in (tmp_path / "project" / "images").iterdir():
        shot.unlink()
    with pytest.raises(DatasetError, match=r"other(.|\n)*holds no exposure stack(.|\n)*it holds 1 photos"):
        scenes.evaluate(tmp_path, [])
