"""Real brackets: the figures are the yardstick's, computed here a second time by plain means."""

import csv

import numpy as np
import pytest
from PIL import Image
from synthetic_camera import scene
from typer.testing import CliRunner

from hdrgan.cli import app
from hdrgan.data.layout import DatasetError
from hdrgan.evaluation import report, scenes
from hdrgan.evaluation.real_brackets import CONDITION, rim_of
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
