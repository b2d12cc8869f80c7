"""Noise goes, edges and bright parts stay, whatever strips the work is done in."""

import numpy as np
import pytest

from hdrgan.light import quiet
from hdrgan.light.quiet import rolled_off


def noisy(level, side=96, noise=5.0, dtype=np.uint8):
    rng = np.random.default_rng(0)
    photo = np.full((side, side, 3), float(level))
    photo[:, side // 2 :] += 40
    scale = 257 if dtype == np.uint16 else 1
    return ((photo + rng.normal(0, noise, photo.shape)).clip(0, 255) * scale).round().astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_dark_noise_is_halved_and_the_edge_stays(dtype):
    photo = noisy(30, dtype=dtype)
    before, after = photo / np.iinfo(dtype).max, quiet.without_noise(photo) / 65535
    for part in (np.s_[:, 4:40], np.s_[:, 56:92]):
        assert after[part].std() < 0.5 * before[part].std()
        assert abs(after[part].mean() - before[part].mean()) < 1e-3
    step = after[:, 49].mean() - after[:, 46].mean()
    assert step > 0.9 * 40 / 255
    colour = [x[:, 4:40] - x[:, 4:40].mean(-1, keepdims=True) for x in (before, after)]
    assert colour[1].std() < 0.35 * colour[0].std()


def test_bright_parts_stay_as_they_are():
    photo = noisy(200)
    np.testing.assert_allclose(quiet.without_noise(photo) / 257, photo, atol=0.01)


def test_strips_leave_no_trace(monkeypatch):
    photo = noisy(30, side=70)
    whole = quiet.without_noise(photo)
    monkeypatch.setattr(quiet, "_STRIP", 7)
    assert np.abs(quiet.without_noise(photo).astype(int) - whole).max() <= 1


@pytest.mark.parametrize("width", [1, 3, 64])
def test_a_panorama_has_no_edge_where_it_closes(width):
    photo = noisy(30, side=64)[:, -width:]
    turned = np.roll(photo, width // 2, 1)
    around = [np.roll(quiet.without_noise(photo, True), width // 2, 1), quiet.without_noise(turned, True)]
    assert np.abs(np.subtract(*around, dtype=int)).max() <= 1


def test_near_white_is_the_same_in_any_rows():
    photo = noisy(200)
    part = quiet.near_white(photo, slice(20, 30), 0).astype(int)
    assert np.abs(part - quiet.near_white(photo, slice(0, 96), 0)[20:30]).max() <= 1


def test_what_is_left_out_would_have_stayed_as_it_is(monkeypatch):
    photo = np.full((48, 60, 3), 90, np.uint8)
    photo[:, 20:] = 255
    photo[30:, 40:] = np.random.default_rng(0).integers(238, 256, (18, 20, 3))
    whole = quiet.near_white(photo, slice(0, 48), 0)
    done = []
    monkeypatch.setattr(quiet, "_STRIP", 8)
    monkeypatch.setattr(quiet, "_BLOCK", 8)
    monkeypatch.setattr(quiet, "_guided", lambda *given, work=quiet._guided: (done.append(given), work(*given))[1])
    parts = quiet.near_white(photo, slice(0, 48), 240)
    assert np.abs(parts.astype(int) - whole)[photo >= 240].max() <= 1
    assert 0 < len(done) < 0.7 * 6 * 8


def test_steps_of_a_code_near_white_go_and_edges_stay():
    photo = np.full((40, 40, 3), 252, np.uint8)
    photo[::2, 1::2] += 1
    photo[:, 20:] -= 12
    smoothed = quiet.near_white(photo, slice(0, 40), 240) / 257
    for part in (np.s_[3:37, 3:17], np.s_[3:37, 23:37]):
        assert smoothed[part].std() < 0.4 * photo[part].std()
    assert smoothed[:, 18].mean() - smoothed[:, 21].mean() > 10


def test_colours_pale_towards_white_instead_of_turning():
    orange = np.array([0.5, 0.1, 0.02], np.float32)
    for gain in (1.0, 1.7):
        np.testing.assert_allclose(rolled_off(orange * gain), orange * gain, atol=1e-6)
    seen = [rolled_off(orange * 2.0**ev) for ev in range(2, 8)]
    assert all((np.diff([light[channel] for light in seen]) >= -1e-6).all() for channel in range(3))
    assert rolled_off(orange * 16)[2] > 1.5 * 0.02 * 16, "blue follows when red and green are full"
    np.testing.assert_allclose(rolled_off(np.full((2, 3), 9, np.float32)), 1, atol=1e-6)
