"""Panoramas as light: figures of what is known by arithmetic, and those of the yardstick's own program."""

import importlib.util
import math
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from hdrgan.cli import app
from hdrgan.data.camera import VirtualCamera
from hdrgan.evaluation import lighting, scenes
from hdrgan.files.radiance import save_exr


def panorama(height=128, sun=(0.3, -2.0), seed=0):
    """A sky over ground, some structure, and a sun at (latitude, longitude) in radians."""
    rng = np.random.default_rng(seed)
    seen = lighting.directions(height, 2 * height)[0]
    coarse = np.kron(rng.uniform(0.5, 1.5, (16, 32, 3)), np.ones((height // 16, height // 16, 1)))
    light = np.where(seen[..., 1:2] > 0, [0.5, 0.7, 1.0], [0.2, 0.15, 0.1]) * coarse
    near = seen @ towards(*sun) > math.cos(0.06)
    light[near] = 400
    return light.astype(np.float32)


def towards(latitude, longitude):
    flat = math.cos(latitude)
    return np.array([flat * math.sin(longitude), math.sin(latitude), flat * math.cos(longitude)], np.float32)


def shots(light):
    return list(lighting.photographed(light, VirtualCamera(glare_share=0, clean_share=0), (0,)))


def test_a_tenth_of_the_sphere_clips_and_the_truth_scores_zero():
    upright, turned, *camera = shots(panorama())
    weight = lighting.directions(128, 256)[1]
    clipped = upright.pixels.max(-1) == 255
    assert (weight * clipped).sum() / weight.sum() == pytest.approx(0.1, abs=0.01)
    truth = upright.score.truth
    assert upright.score(truth) == {"clipped": 0, "irradiance": 0, "key": 0}
    assert turned.score(np.roll(truth, 1, 1))["seam"] < 10
    assert [one.condition for one in (upright, turned, *camera)] == [c for c in lighting.CONDITIONS for _ in range(2)]


def test_light_that_is_missing_is_counted_in_stops():
    upright = shots(panorama())[0]
    truth, clipped = upright.score.truth, upright.score.clipped
    assert upright.score(truth / 2) == pytest.approx({"clipped": -1, "irradiance": 1, "key": 1}, abs=1e-4)
    cut = np.where(clipped[..., None], np.minimum(truth, 1), truth)
    figures = upright.score(cut)
    assert figures["key"] > 4  # a sun of 400 that became white
    assert figures["clipped"] < -1
    assert 0 < figures["irradiance"] < figures["key"]


def test_a_white_sphere_lights_every_surface_alike():
    assert lighting.irradiance(np.ones((64, 128, 3), np.float32)) == pytest.approx(1, abs=0.01)


def test_the_strongest_light_is_the_sun_and_lies_on_the_seam_of_the_turned_photo():
    for sun in ((0.3, -2.0), (-0.4, 3.1), (0.9, 0.0)):
        light = panorama(sun=sun)
        assert lighting.strongest_light(light) @ towards(*sun) > math.cos(math.radians(2))
        turned = shots(light)[1]
        white = np.flatnonzero((turned.pixels == 255).all(-1)[:, 0])
        row = (0.5 - sun[0] / math.pi) * 128
        assert np.abs(white - row).min() <= 2


def test_a_step_at_the_seam_is_seen():
    turned = shots(panorama())[1]
    smooth = np.ones((128, 256, 3), np.float32) + np.linspace(0, 1e-3, 256)[None, :, None].astype(np.float32)
    broken = smooth.copy()
    broken[:, :40] *= 2
    assert turned.score(broken)["seam"] > 50 * turned.score(smooth)["seam"]
    nothing_clips_there = lighting._Seam(np.zeros((128, 256), bool))
    assert math.isnan(nothing_clips_there(smooth)["seam"])


def test_a_large_panorama_is_brought_to_a_width_that_networks_can_take(monkeypatch):
    monkeypatch.setattr(lighting, "_LARGEST", 128)
    light = panorama()
    small = shots(light)[0]
    assert small.pixels.shape == (64, 128, 3)
    weight, whole = lighting.directions(64, 128)[1], lighting.directions(128, 256)[1]
    share = [(one.mean(-1) * w).sum() for one, w in ((small.score.truth, weight), (light, whole))]
    brightest = light.max() / small.score.truth.max()
    assert share[0] * brightest == pytest.approx(share[1], rel=0.3)  # no lamp is lost


def test_the_command_prints_them_beside_identity_and_curve(tmp_path):
    save_exr(tmp_path / "sky.exr", panorama(64))
    done = CliRunner().invoke(app, ["evaluate", str(tmp_path), "-m", "radiance", "--device", "cpu"])
    assert done.exit_code == 0, done.output
    for condition in lighting.CONDITIONS:
        block = next(text for text in done.output.split("\n\n") if text.startswith(condition)).splitlines()
        assert block[0] == f"{condition} (1 panoramas): stops, 0 is best; seam as a ratio, 1 is best"
        assert block[1].split() == ["clipped", "irradiance", "key", "seam"]
        assert [line.split()[0] for line in block[2:]] == ["identity", "curve", "radiance"]


@pytest.mark.shared
def test_agrees_with_the_yardsticks_program(shared):
    """Identity on a test panorama: clipped light, irradiance, key light and seam as the program has them."""
    spec = importlib.util.spec_from_file_location("measure_lighting", shared / "bench" / "measure_lighting.py")
    theirs = importlib.util.module_from_spec(spec)
    sys.modules["measure_lighting"] = theirs
    spec.loader.exec_module(theirs)
    light = theirs.read_hdr(shared / "data" / "hdr" / "evening_meadow_1k.exr")
    truth, photo, *_ = theirs.expose(light, 10, "clean", [0])
    clipped, sphere = truth.max(-1) >= 1, theirs.Lighting(truth)
    expected = theirs.compare(theirs.linear(photo / 255), truth, clipped, sphere)
    identity = scenes.IDENTITY.predict
    upright, turned = shots(light)[:2]
    figures = upright.score(linear(identity, upright)) | turned.score(linear(identity, turned))
    assert figures["clipped"] == pytest.approx(expected["clipped"], abs=0.02)
    assert figures["irradiance"] == pytest.approx(expected["Eabs"], abs=0.02)
    assert figures["key"] == pytest.approx(expected["|key|"], abs=0.02)
    by = -int((np.arctan2(sphere.key[0], sphere.key[2]) / (2 * np.pi) + 0.5) * truth.shape[1])
    rolled = np.roll(clipped, by, 1)
    seam = theirs.seam(theirs.linear(np.roll(photo, by, 1) / 255), np.flatnonzero(rolled[:, 0] | rolled[:, -1]))
    assert figures["seam"] == pytest.approx(seam, rel=0.05)


def linear(identity, shot):
    from hdrgan.files.photo import load_photo

    return np.asarray(identity(load_photo(shot.pixels), (0.0,)).radiance, np.float32)
