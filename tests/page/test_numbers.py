"""Numbers of a result: measured on light whose answer is known, drawn within their frame."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from hdrgan.light.radiometry import srgb_curve
from hdrgan.page.numbers import HEIGHT, PER_STOP, STOPS, WIDTH, Numbers, draw_histogram, draw_response, measure

CURVE = srgb_curve().numpy()


def bar_of(stops: float) -> int:
    """Index of the bar that ends at or above ``stops``."""
    return int(np.ceil((stops - STOPS[0]) * PER_STOP)) - 1


@pytest.fixture(scope="module")
def window() -> Numbers:
    """A grey wall with a clipped quarter that is four times as bright as white."""
    pixels = np.full((40, 60, 3), 128, np.uint8)
    pixels[:20, :30] = 255
    radiance = CURVE[pixels]
    radiance[:20, :30] = 4
    return measure(pixels, radiance, (pixels[..., 0] == 255).astype(np.float32), CURVE)


def test_the_range_before_and_after(window):
    wall = np.log2(CURVE[128])
    assert window.photo_stops == pytest.approx(-wall, abs=1e-3)
    assert window.light_stops == pytest.approx(2 - wall, abs=1e-3)
    assert window.peak == pytest.approx(4)


def test_the_share_that_was_clipped_and_invented(window):
    assert (window.clipped, window.invented) == (0.25, 0.25)


def test_the_histogram_counts_every_pixel_where_its_light_is(window):
    wall = bar_of(np.log2(CURVE[128]))
    for shares, white in ((window.photo, bar_of(0)), (window.light, bar_of(2))):
        assert shares.sum() == pytest.approx(1)
        assert {k: round(shares[k], 4) for k in np.flatnonzero(shares)} == {wall: 0.75, white: 0.25}


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_photo_that_clipped_nothing_is_all_its_own_light(dtype):
    codes = np.random.default_rng(0).integers(5, 250, (32, 32, 3))
    numbers = measure(
        (codes * (np.iinfo(dtype).max // 255)).astype(dtype), CURVE[codes], np.zeros((32, 32), np.float32), CURVE
    )
    assert (numbers.clipped, numbers.invented) == (0, 0)
    assert numbers.photo_stops == pytest.approx(numbers.light_stops, abs=1e-4)
    assert np.array_equal(numbers.photo, numbers.light)
    assert numbers.peak < 1


def test_a_black_photo_has_no_range():
    black = np.zeros((4, 4, 3), np.uint8)
    numbers = measure(black, black.astype(np.float32), np.zeros((4, 4), np.float32), CURVE)
    assert (numbers.photo_stops, numbers.light_stops, numbers.peak) == (0, 0, 0)
    ET.fromstring(draw_histogram(numbers))


def test_a_large_photo_is_sampled(monkeypatch):
    monkeypatch.setattr("hdrgan.page.numbers.SAMPLES", 100)
    pixels = np.full((40, 60, 3), 128, np.uint8)
    pixels[:, 30:] = 64
    numbers = measure(pixels, CURVE[pixels], np.zeros((40, 60), np.float32), CURVE)
    assert numbers.photo[bar_of(np.log2(CURVE[64]))] == pytest.approx(0.5)


def test_a_small_sun_in_a_large_photo_is_not_missed(monkeypatch):
    monkeypatch.setattr("hdrgan.page.numbers.SAMPLES", 100)
    pixels, light = np.full((100, 100, 3), 64, np.uint8), np.full((100, 100, 3), CURVE[64])
    pixels[33, 47], light[33, 47] = 255, 500.0
    numbers = measure(pixels, light, np.zeros((100, 100)), CURVE)
    assert numbers.peak == pytest.approx(500)
    assert numbers.clipped == 1e-4


def test_drawings_are_pictures_with_words_that_stay_in_their_frame(window):
    for drawing in (draw_histogram(window), draw_response(CURVE**1.2)):
        picture = ET.fromstring(drawing)
        assert picture.get("role") == "img"
        assert len(picture.get("aria-label")) > 60
        for path in picture.iter("{http://www.w3.org/2000/svg}path"):
            across = [float(x) for x in re.findall(r"H([-\d.]+)", path.get("d"))]
            up = [float(y) for y in re.findall(r"V([-\d.]+)", path.get("d"))]
            assert 0 <= min(across) <= max(across) <= WIDTH
            assert 0 <= min(up) <= max(up) <= HEIGHT


def test_the_response_is_drawn_where_it_lies():
    picture = ET.fromstring(draw_response(CURVE**2))
    plain, curve = (
        np.array([point.split(",") for point in line.get("points").split()], float)
        for line in picture.iter("{http://www.w3.org/2000/svg}polyline")
    )
    assert np.array_equal(plain[[0, -1]], curve[[0, -1]])
    assert (plain[1:-1, 1] <= curve[1:-1, 1]).all(), "less light is lower down"
    assert f"{CURVE[128] ** 2:.3f} of white" in picture.get("aria-label")
