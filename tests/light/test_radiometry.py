"""Light: transforms and their inverses, exposures, masks."""

import doctest
import math

import pytest
import torch

from hdrgan.light import anchoring
from hdrgan.light import radiometry as r


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(r).failed == 0


def test_srgb_and_linear_undo_one_another_at_every_16_bit_code():
    codes = torch.arange(65536, dtype=torch.float64) / 65535
    back = r.linear_to_srgb(r.srgb_to_linear(codes))
    assert (back - codes).abs().max() < 0.1 / 65535


def test_srgb_gradient_is_finite_at_both_ends():
    for function in (r.srgb_to_linear, r.linear_to_srgb):
        x = torch.tensor([0.0, 1e-9, 0.5, 1.0], requires_grad=True)
        function(x).sum().backward()
        assert x.grad.isfinite().all()


@pytest.mark.parametrize("gamma", [0.45, 1.0, 2.2])
def test_encode_undoes_decode_for_any_ascending_curve(gamma):
    curve = torch.linspace(0, 1, 256) ** gamma
    codes = torch.rand(2, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    back = r.encode(r.decode(codes, curve), curve)
    torch.testing.assert_close(back, codes, atol=2e-4, rtol=0)


def test_decode_with_the_srgb_curve_is_exact_at_8_bit_codes():
    codes = (torch.arange(256) / 255).view(1, 1, 16, 16).repeat(1, 3, 1, 1)
    torch.testing.assert_close(r.decode(codes, r.srgb_curve()), r.srgb_to_linear(codes), atol=1e-6, rtol=0)


def test_one_stop_is_twice_the_light_until_white():
    radiance = torch.tensor([0.05, 0.1, 0.4, 0.6]).view(1, 1, 1, 4).repeat(1, 3, 1, 1)
    brighter = r.srgb_to_linear(r.expose(radiance, 1.0))
    torch.testing.assert_close(brighter, (radiance * 2).clamp(max=1), atol=1e-5, rtol=0)


def test_expose_with_a_sampled_srgb_curve_agrees_with_the_formula():
    radiance = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 3
    for ev in (-4, 0, 4):
        difference = r.expose(radiance, ev, r.srgb_curve()) - r.expose(radiance, ev)
        assert difference.abs().max() < 0.5 / 255


def test_luminance_of_white_is_one():
    torch.testing.assert_close(r.luminance(torch.ones(1, 3, 2, 2)), torch.ones(1, 1, 2, 2))


def test_soft_clip_masks_mark_black_and_white_and_leave_grey_alone():
    srgb = torch.zeros(1, 3, 9, 27)
    srgb[..., 9:18] = 0.5
    srgb[..., 18:] = 1.0
    under, over = r.soft_clip_masks(srgb)
    assert under[0, 0, 4, 4] == 1
    assert over[0, 0, 4, 22] == 1
    assert max(under[0, 0, 4, 13], over[0, 0, 4, 13]) < 1e-6
    assert under[0, 0, 4, 9] == 1, "dilation reaches one pixel into the grey"


def test_mu_law_undoes_itself():
    x = torch.linspace(0, 1, 101)
    torch.testing.assert_close(torch.expm1(r.mu_law(x) * math.log1p(5000)) / 5000, x, atol=1e-5, rtol=0)


def test_match_exposure_finds_the_scale_despite_outliers_and_survives_an_empty_mask():
    reference = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(2)) + 0.1
    predicted = reference / 7
    predicted[:, :, :2] *= 50
    mask = torch.ones(2, 1, 16, 16, dtype=torch.bool)
    torch.testing.assert_close(anchoring.match_exposure(predicted, reference, mask).flatten(), torch.full((2,), 7.0))
    assert (anchoring.match_exposure(predicted, reference, ~mask) == 1).all()
