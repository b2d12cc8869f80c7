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


def smoothed(photo, rows):
    size = (rows.stop - rows.start) * photo[0].size
    return quiet.near_white(photo, rows, np.arange(size)).reshape(-1, *photo.shape[1:]).astype(int)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_near_white_is_the_same_in_any_rows_and_for_any_samples(dtype):
    photo = noisy(200, dtype=dtype)
    whole = smoothed(photo, slice(0, 96))
    assert np.array_equal(smoothed(photo, slice(20, 30)), whole[20:30])
    some = np.flatnonzero(photo[20:30].reshape(-1) > 0.9 * photo.max())
    assert np.array_equal(quiet.near_white(photo, slice(20, 30), some), whole[20:30].reshape(-1)[some])


def test_a_sample_near_white_is_the_guided_mean_of_the_nine_around_it():
    photo = np.random.default_rng(0).integers(248, 256, (5, 6, 3), dtype=np.uint8)
    photo[:2, :3] = 255
    nine = np.lib.stride_tricks.sliding_window_view(
        np.pad(photo, ((1, 1), (1, 1), (0, 0)), "edge") / 255, (3, 3), (0, 1)
    )
    guide, mean = nine.mean(2, keepdims=True), nine.mean((-1, -2))
    level = guide.mean((-1, -2))
    slope = ((nine * guide).mean((-1, -2)) - mean * level) / (guide.var((-1, -2)) + 0.01**2)
    expected = (mean + slope * (photo.mean(-1, keepdims=True) / 255 - level)).clip(0, 1)
    assert np.abs(smoothed(photo, slice(0, 5)) / 65535 - expected).max() < 1e-5


def test_steps_of_a_code_near_white_go_and_edges_stay():
    photo = np.full((40, 40, 3), 252, np.uint8)
    photo[::2, 1::2] += 1
    photo[:, 20:] -= 12
    after = smoothed(photo, slice(0, 40)) / 257
    for part in (np.s_[3:37, 3:17], np.s_[3:37, 23:37]):
        assert after[part].std() < 0.4 * photo[part].std()
    assert after[:, 18].mean() - after[:, 21].mean() > 10


def test_colours_pale_towards_white_instead_of_turning():
    orange = np.array([0.5, 0.1, 0.02], np.float32)
    for gain in (1.0, 1.7):
        np.testing.assert_allclose(rolled_off(orange * gain), orange * gain, atol=1e-6)
    seen = [rolled_off(orange * 2.0**ev) for ev in range(2, 8)]
    assert all((np.diff([light[channel] for light in seen]) >= -1e-6).all() for channel in range(3))
    assert rolled_off(orange * 16)[2] > 1.5 * 0.02 * 16, "blue follows when red and green are full"
    np.testing.assert_allclose(rolled_off(np.full((2, 3), 9, np.float32)), 1, atol=1e-6)
