"""Pictures for a screen: bounded, 8-bit, and true to the light."""

import doctest

import numpy as np
import pytest

from hdrgan.page import preview


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
