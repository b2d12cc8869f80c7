"""The finished picture: the photo where it recorded the light, never brighter, and detail where it had blown out."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdrgan import Pipeline, RadianceGenerator
from hdrgan.light.fusion import finish
from hdrgan.light.radiometry import linear_to_srgb, srgb_curve

CURVE = srgb_curve().numpy()


def scene(height=300, width=500, dtype=np.uint8):
    """A dark room with a window: its light, the photo of it, and the share of its light that the photo lost."""
    rows, columns = np.mgrid[:height, :width] / max(height, width)
    light = np.stack([0.02 + 0.3 * columns * scale for scale in (1.0, 0.8, 0.6)], -1)
    outside = 2.0 + 1.5 * np.sin(40 * rows) * np.sin(40 * columns)
    light[60:200, 150:350] = (outside[..., None] * [0.9, 1.0, 1.2])[60:200, 150:350]
    light = light.astype(np.float32)
    peak = np.iinfo(dtype).max
    pixels = np.round(linear_to_srgb(torch.from_numpy(light)).numpy() * peak).astype(dtype)
    invented = np.where(light.max(-1) > 1, 1 - 1 / np.maximum(light.max(-1), 1), 0).astype(np.float32)
    return pixels, light, invented


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_it_is_the_photo_where_nothing_was_invented_and_never_brighter(dtype):
    pixels, light, invented = scene(dtype=dtype)
    picture = finish(pixels, light, invented, CURVE)
    assert picture.dtype == dtype
    assert (picture[invented == 0] == pixels[invented == 0]).all()
    assert (picture <= pixels).all()


def test_what_was_blown_out_shows_its_structure():
    pixels, light, invented = scene()
    picture = finish(pixels, light, invented, CURVE).astype(float)
    window = np.s_[80:180, 170:330]
    assert np.median(pixels[window]) == 255  # the photo shows next to nothing
    seen, there = picture[window].mean(-1).ravel(), np.log2(light[window].max(-1)).ravel()
    assert np.corrcoef(seen, there)[0, 1] > 0.7
    assert np.ptp(np.quantile(seen, (0.05, 0.95))) > 20
    assert seen.mean() > 200, "a window stays the brightest thing in the room"


def test_contrast_is_kept():
    pixels, light, invented = scene()
    assert finish(pixels, light, invented, CURVE).std() > 0.85 * pixels.std()


def test_of_photographs_neither_contrast_nor_blacks_are_given_up(root):
    pipeline = Pipeline.from_pretrained("radiance", device="cpu")
    for path in sorted((root / "examples").glob("*.jpg")):
        result = pipeline(path, evs=(0,))
        photo, picture = (pixels.astype(float).mean(-1) for pixels in (result.photo.pixels, result.finished()))
        assert picture.std() > 0.98 * photo.std(), path.name
        assert np.quantile(picture, 0.05) == np.quantile(photo, 0.05), path.name
        assert (result.finished() <= result.photo.pixels).all(), path.name


def test_a_sun_is_white():
    pixels, light, invented = scene()
    light[100:110, 240:250] = 2000.0
    invented[100:110, 240:250] = 1
    assert finish(pixels, light, invented, CURVE)[102:108, 242:248].min() >= 250


@pytest.mark.parametrize("stops", [7, 9, 11])
def test_a_sun_whose_light_is_yellow_is_white_and_has_no_yellow_ring(stops):
    """A glow fades around it: at no place is it more yellow than the sky beside it."""
    pixels, light, invented = scene()
    rows, columns = np.mgrid[60:200, 150:350]
    glow = 2.0 ** (stops * np.exp(-(((rows - 130) ** 2 + (columns - 250) ** 2) / 15**2)))
    light[60:200, 150:350] = 1.5 * glow[..., None] * np.stack([glow**0, glow**-0.02, glow**-0.4], -1)
    pixels[60:200, 150:350] = 255
    invented[60:200, 150:350] = 1
    picture = finish(pixels, light, invented, CURVE)[60:200, 150:350].astype(int)
    assert (picture[65:75, 95:105] >= 250).all()
    assert np.ptp(picture, -1).max() < 80


def test_a_sign_keeps_the_colour_that_was_seen():
    pixels, light, invented = scene()
    light[100:120, 230:260], pixels[100:120, 230:260] = (60.0, 0.2, 0.1), (255, 124, 89)
    invented[100:120, 230:260] = 1
    red, green, blue = finish(pixels, light, invented, CURVE)[110, 245].astype(int)
    assert red > green + 80 > blue + 80


def test_no_halo_follows_a_silhouette():
    pixels, light, invented = scene()
    light[60:200, 150:350] = 3.0  # an even sky
    light[60:200, 240:260] = 0.02  # and a pole
    pixels = np.round(linear_to_srgb(torch.from_numpy(light)).numpy() * 255).astype(np.uint8)
    invented = np.where(light.max(-1) > 1, 2 / 3, 0).astype(np.float32)
    sky = finish(pixels, light, invented, CURVE)[130, 155:239, 1].astype(int)
    assert np.ptp(sky) <= 12


def test_a_large_photo_is_finished_like_a_small_one():
    pixels, light, invented = (np.repeat(np.repeat(part, 4, 0), 4, 1) for part in scene())
    small = finish(*scene(), CURVE)
    large = finish(pixels, light, invented, CURVE)[2::4, 2::4]
    assert np.abs(large.astype(int) - small).mean() < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 3)])
def test_any_size(size):
    light = np.full((*size, 3), 2.0, np.float32)
    assert finish(np.full((*size, 3), 255, np.uint8), light, np.full(size, 0.5, np.float32), CURVE).shape == light.shape


def test_other_sizes_are_refused():
    pixels, light, invented = scene()
    with pytest.raises(ValueError, match="one size"):
        finish(pixels[1:], light, invented, CURVE)


def test_a_photo_without_blown_parts_is_saved_as_it_came(tmp_path, one_seeded_thread):
    pipeline = Pipeline(RadianceGenerator(widths=(8, 8, 8, 8)), device="cpu", working_size=64)
    result = pipeline(np.full((40, 50, 3), 90, np.uint8))
    assert (result.finished() == result.photo.pixels).all()
    (path,) = result.save_hdr(tmp_path, ("finished",))
    assert path.name == f"{result.photo.name}_finished.jpg"
    assert [result.save_frame(tmp_path, 0, kind).suffix for kind in ("png", "jpg", "tiff")] == [".png", ".jpg", ".tiff"]
