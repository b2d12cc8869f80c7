"""Paper is no lamp, and a blown sky is no paper."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

from hdrgan import Pipeline, RadianceGenerator
from hdrgan.light.drawn import is_drawn


def page(dtype=np.uint8):
    picture = Image.new("RGB", (300, 200), "white")
    pen = ImageDraw.Draw(picture)
    for line in range(10, 190, 14):
        pen.text((12, line), "The quick brown fox jumps over the lazy dog", fill="black")
    return np.asarray(picture).astype(dtype) * (257 if dtype == np.uint16 else 1)


def window():
    picture = page().copy()
    picture[:, :80] = (240, 240, 245)
    picture[:20] = (30, 60, 120)
    picture[60:150, 200:280] = (200, 30, 30)
    return picture


def sky():
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:200, :300] / 200
    light = 1.6 - 1.2 * y + 0.1 * np.sin(7 * x)
    photo = light[..., None] * np.array([0.9, 1.0, 1.1]) + rng.normal(0, 0.01, (200, 300, 3))
    photo[120:, 100:110] = 0.1
    return (photo.clip(0, 1) * 255).round().astype(np.uint8)


@pytest.mark.parametrize("picture", [page(), page(np.uint16), window(), np.full((50, 60, 3), 255, np.uint8)])
def test_pages_and_windows_are_drawn(picture):
    assert is_drawn(picture)


@pytest.mark.parametrize(
    "picture",
    [
        sky(),
        (sky().astype(np.uint16) * 257),
        np.asarray(Image.fromarray(sky()).resize((900, 600))),
        np.zeros((40, 40, 3), np.uint8),
        np.full((1, 1, 3), 255, np.uint8),
    ],
)
def test_photos_are_not(picture):
    assert not is_drawn(picture)


def test_nothing_is_invented_on_paper_and_something_is_in_a_sky():
    pipe = Pipeline(RadianceGenerator(widths=(8, 8, 8, 8)), device="cpu", working_size=64)
    assert pipe(page()).invented.max() == 0
    assert pipe(page()).radiance.max() == 1
    assert pipe(sky()).invented.max() > 0
