"""Pictures for a screen: bounded, 8-bit, and true to the light."""

import doctest

import numpy as np
import pytest

from hdrgan import EIN, Pipeline, RadianceGenerator
from hdrgan.files.photo import Photo
from hdrgan.light.rendering import RaisedLight
from hdrgan.page import preview
from hdrgan.page.sketch import sketch
from hdrgan.result import Result


def test_the_examples_in_the_docstrings_hold():
    result = doctest.testmod(preview)
    assert result.attempted
    assert not result.failed


@pytest.mark.parametrize(
    ("size", "bounded"), [((1, 1), (1, 1)), ((3, 2000), (1, 100)), ((100, 100), (100, 100)), ((300, 200), (100, 67))]
)
def test_a_size_is_bounded_and_never_enlarged(size, bounded):
    assert preview.fit(*size, 100) == bounded


def test_pixels_that_fit_are_the_very_same():
    pixels = np.arange(5 * 4 * 3, dtype=np.uint8).reshape(5, 4, 3)
    assert preview.screen_pixels(pixels, 5) is pixels


def test_sixteen_bits_are_rounded_to_eight():
    codes = np.arange(256, dtype=np.uint16) * 257
    for offset, shift in ((0, 0), (128, 0), (129, 1)):
        pixels = np.minimum(codes.astype(int) + offset, 65535).astype(np.uint16)[None, :, None].repeat(3, -1)
        expected = np.minimum(np.arange(256) + shift, 255)
        assert np.array_equal(preview.screen_pixels(pixels, 256)[0, :, 1], expected)


def test_a_small_lamp_keeps_its_energy():
    radiance = np.full((64, 96, 3), 0.1, np.float32)
    radiance[10, 20] = 5000
    small = preview.screen_radiance(radiance, 24)
    assert small.shape == (16, 24, 3)
    assert small.mean((0, 1)) == pytest.approx(radiance.mean((0, 1)), rel=1e-3)


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_light_is_reduced_without_that_of_all_pixels(kind):
    peak = np.iinfo(kind).max
    y, x = np.mgrid[0:301, 0:437].astype(np.float32)
    shade = 0.4 + 0.3 * np.sin(x / 40) * np.cos(y / 30)
    shade[40:170, 60:250] = 1  # a window
    shade[250:253, 400:402] = 1  # a lamp smaller than a pixel of the preview
    pixels = (shade[..., None] * [1, 0.98, 0.9] * peak).astype(kind)
    pixels[shade == 1] = peak
    factor = np.full((8, 8, 3), 6, np.float32)
    light = RaisedLight(pixels, np.linspace(0, 1, 256) ** 2, factor, lambda codes: (codes > 0.99).astype(np.float32))
    shown = preview.Previews(Result.of(Photo(pixels), (-4, 0), light), 80)
    assert (shown.radiance.shape, shown.invented.shape) == ((55, 80, 3), (55, 80))
    assert "radiance" not in shown.result.__dict__, "and all of the light was not computed"
    whole = preview.screen_radiance(light.radiance(), 80)
    assert shown.radiance.sum((0, 1)) == pytest.approx(whole.sum((0, 1)), rel=0.01)
    assert np.abs(shown.radiance - whole).mean() < 0.05
    inside, outside = (slice(10, 29), slice(13, 43)), (slice(34, 40), slice(0, 60))
    np.testing.assert_allclose(shown.radiance[inside], 6, rtol=1e-5)
    np.testing.assert_allclose(shown.invented[inside], 1 - 1 / 6, rtol=1e-5)
    assert not shown.invented[outside].any()
    assert shown.invented[45:47, 72:74].sum() == pytest.approx(
        light.invented()[240:].sum() * 80 * 55 / 301 / 437, rel=0.1
    )


@pytest.mark.parametrize("kind", ["photo", "small", "transparent", "published"])
def test_what_was_drawn_beside_the_network_changes_no_preview(kind, monkeypatch):
    y, x = np.mgrid[0:300, 0:400].astype(np.float32)
    shade = (200 + 90 * np.sin(x / 40) * np.cos(y / 30)).clip(0, 255)
    pixels = (shade[..., None] * [1, 0.98, 0.9]).astype(np.uint8)
    photo = Photo(pixels, alpha=np.full((300, 400), 200, np.uint8)) if kind == "transparent" else Photo(pixels)
    network = EIN(width=8) if kind == "published" else RadianceGenerator(widths=(8, 8, 8, 8))
    pipeline = Pipeline(network, device="cpu", working_size=64)
    side = 400 if kind == "small" else 120
    with monkeypatch.context() as patched:
        patched.setattr(Pipeline, "_factor", lambda *_: pytest.fail("the network ran"))
        drawn, clipped = sketch(photo, pipeline, "auto", side)
    assert (clipped is None) == (kind != "photo")
    result = pipeline(photo)
    before, after = preview.Previews(result, side), preview.Previews(result, side, drawn, clipped)
    assert np.array_equal(before.photo, after.photo)
    assert np.array_equal(before.radiance, after.radiance)
    assert np.array_equal(before.invented, after.invented)
