"""Brackets and their merge; the tone curve."""

import numpy as np
import pytest
import torch

from hdrgan.light.evs import DEFAULT_EVS as EVS
from hdrgan.light.merge import merge
from hdrgan.light.radiometry import expose, srgb_to_linear
from hdrgan.light.tonemap import tone_map


def scene() -> torch.Tensor:
    stops = torch.linspace(-8, 3.9, 64).view(1, 1, 64).repeat(3, 8, 1)
    return 2**stops


def test_expose_then_merge_returns_the_radiance():
    radiance = scene()
    frames = torch.stack([expose(radiance, ev) for ev in EVS])
    torch.testing.assert_close(merge(frames, EVS), radiance, rtol=2e-4, atol=1e-6)


def test_merge_of_8_bit_frames_stays_within_a_twentieth_of_a_stop():
    radiance = scene()
    frames = torch.stack([(expose(radiance, ev) * 255).round() / 255 for ev in EVS])
    stops = (torch.log2(merge(frames, EVS)) - torch.log2(radiance)).abs()
    assert stops.max() < 0.05


def test_merge_needs_no_order():
    radiance = scene()
    frames = torch.stack([expose(radiance, ev) for ev in EVS])
    torch.testing.assert_close(merge(frames.flip(0), EVS[::-1]), merge(frames, EVS))


def test_merge_of_light_beyond_every_frame_is_finite_and_bounded_by_the_darkest():
    frames = torch.stack([expose(torch.full((3, 4, 4), 1e4), ev) for ev in EVS])
    torch.testing.assert_close(merge(frames, EVS), torch.full((3, 4, 4), 16.0))


def test_the_tone_curve_leaves_midtones_rises_and_reaches_white():
    light = np.repeat(np.linspace(0, 16, 4001, dtype=np.float32)[None, :, None], 3, 2)
    shown = tone_map(light)[0, :, 0].astype(int)
    assert (np.diff(shown) >= 0).all()
    assert shown[-1] == 255
    assert shown[int(0.18 * 250)] == round(255 * (1.055 * 0.18 ** (1 / 2.4) - 0.055))
    assert np.diff(shown[75:]).max() <= 1, "the knee must not make a band"


def linear(shown):
    return srgb_to_linear(torch.from_numpy(shown) / 255).numpy()


def test_a_coloured_lamp_keeps_its_hue_and_pales_as_it_outshines_the_screen():
    colour = np.array((1.0, 0.5, 0.125), np.float32)
    saturation = []
    for brightness in (0.4, 2, 8, 200):
        red, green, blue = linear(tone_map((brightness * colour)[None, None], white=16.0)[0, 0])
        saturation.append(1 - blue / red)
        if brightness < 200:  # what is nearly white has no hue that 8 bits could hold
            np.testing.assert_allclose((red - green) / (red - blue), 0.5 / 0.875, atol=0.02)
    assert saturation[0] == pytest.approx(0.875, abs=0.01)
    assert (np.diff(saturation) < 0).all()
    assert saturation[-1] < 0.05, "the sun is white"


def test_the_brightest_light_is_shown_as_white_and_an_unclipped_photo_as_it_is():
    codes = np.arange(256, dtype=np.uint8)
    ramp = np.repeat(linear(codes)[None, :, None], 3, 2)
    assert np.array_equal(tone_map(ramp)[0, :, 0], codes)
    for peak in (1.5, 5.0, 16.0):
        lit = np.concatenate([ramp, np.full((1, 256, 3), peak, np.float32)])
        assert (tone_map(lit)[1] == 255).all()
        assert tone_map(lit)[0, 255, 0] < 255, "and the photo's white is not"
    with pytest.raises(ValueError, match="at least 1"):
        tone_map(ramp, white=0.5)
