"""Figures of merit: known values, invariances, and agreement with the yardstick's own protocol."""

from __future__ import annotations

import doctest
import importlib.util
import math

import pytest
import torch

from hdrgan.evaluation import metrics
from hdrgan.light.radiometry import linear_to_srgb


@pytest.fixture
def scene() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(predicted, reference, srgb): a wide-range scene, a wrong guess at it on another scale, and its photo."""
    noise = torch.Generator().manual_seed(3)
    reference = torch.randn(3, 48, 64, generator=noise, dtype=torch.float64).mul(1.5).sub(1.2).exp()
    predicted = reference * torch.randn(3, 48, 64, generator=noise, dtype=torch.float64).mul(0.3).exp() * 3.7
    return predicted, reference, linear_to_srgb(reference).mul(255).round() / 255


def test_examples_in_the_docstrings():
    assert doctest.testmod(metrics).failed == 0


def test_psnr_of_a_known_error():
    target = torch.full((1, 3, 4, 4), 0.5)
    assert float(metrics.psnr(target + 0.1, target)) == pytest.approx(20.0, abs=1e-4)
    assert float(metrics.psnr(target * 255 + 25.5, target * 255, peak=255)) == pytest.approx(20.0, abs=1e-4)
    assert float(metrics.psnr(target, target)) == metrics.BRACKET_CEILING


def test_pooled_psnr_is_that_of_the_mean_error():
    assert metrics.psnr_of_error(0.001) == pytest.approx(30.0)
    assert metrics.psnr_of_error(0.0) == metrics.BRACKET_CEILING
    assert metrics.psnr_of_error(256.0**2 / 100, peak=256) == pytest.approx(20.0)


def test_ssim_knows_equal_and_worse():
    noise = torch.Generator().manual_seed(0)
    target = torch.rand(2, 3, 24, 20, generator=noise)
    near = (target + 0.02 * torch.randn(target.shape, generator=noise)).clamp(0, 1)
    far = (target + 0.2 * torch.randn(target.shape, generator=noise)).clamp(0, 1)
    assert float(metrics.ssim(target, target)) == pytest.approx(1.0, abs=1e-6)
    assert float(metrics.ssim(far, target)) < float(metrics.ssim(near, target)) < 1


def test_ssim_refuses_pictures_smaller_than_its_window():
    with pytest.raises(ValueError, match="11 x 11"):
        metrics.ssim(torch.zeros(1, 3, 10, 30), torch.zeros(1, 3, 10, 30))


def test_pu21_is_anchored_at_100_nits_and_clamps():
    codes = metrics.pu21_encode(torch.tensor([0.0, 0.005, 1.0, 100.0, 10_000.0, 1e9]))
    assert codes[0] == codes[1] == pytest.approx(0.0, abs=1e-6)
    assert codes[3] == pytest.approx(256, abs=1)
    assert codes[4] == codes[5] == pytest.approx(595.4, abs=0.1)
    assert (codes.diff() >= 0).all()


def test_stops_rmse_is_in_stops():
    reference = torch.full((3, 8, 8), 0.2)
    assert float(metrics.stops_rmse(reference * 4, reference)) == pytest.approx(2.0, abs=1e-6)
    half = torch.zeros(1, 8, 8, dtype=torch.bool)
    half[..., :4] = True
    mixed = torch.where(half, reference * 2, reference)
    assert float(metrics.stops_rmse(mixed, reference, half)) == pytest.approx(1.0, abs=1e-6)
    assert float(metrics.stops_rmse(mixed, reference, ~half)) == pytest.approx(0.0, abs=1e-6)


def test_masks_select_pixels():
    reference = torch.full((3, 4, 4), 50.0)
    predicted = reference.clone()
    predicted[:, 0] = 500.0
    wrong = torch.zeros(1, 4, 4, dtype=torch.bool)
    wrong[:, 0] = True
    assert float(metrics.pu21_psnr(predicted, reference, ~wrong)) == metrics.RADIANCE_CEILING
    assert float(metrics.pu21_psnr(predicted, reference, wrong)) < float(metrics.pu21_psnr(predicted, reference))
    assert float(metrics.mu_psnr(predicted / 1000, reference / 1000, ~wrong)) == metrics.RADIANCE_CEILING


def test_an_empty_mask_is_refused():
    light = torch.ones(3, 4, 4)
    with pytest.raises(ValueError, match="no pixel"):
        metrics.pu21_psnr(light, light, torch.zeros(1, 4, 4, dtype=torch.bool))


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match="differ in shape"):
        metrics.psnr(torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 5))


def test_alignment_finds_the_scale_in_spite_of_outliers(scene):
    _, reference, _ = scene
    everywhere = torch.ones(1, 48, 64, dtype=torch.bool)
    predicted = reference / 7
    predicted[:, :3] *= 1000  # 6 % of the pixels are far too bright
    assert float(metrics.align_exposure(predicted, reference, everywhere)) == pytest.approx(7.0, rel=0.04)


def test_alignment_of_a_batch_is_that_of_each_picture(scene):
    predicted, reference, _ = scene
    batch = torch.stack((predicted, predicted * 5))
    mask = torch.ones(2, 1, 48, 64, dtype=torch.bool)
    scales = metrics.align_exposure(batch, torch.stack((reference, reference)), mask)
    assert scales.shape == (2, 1, 1, 1)
    assert float(scales[0] / scales[1]) == pytest.approx(5.0)
    assert float(metrics.align_exposure(predicted, reference, ~mask[0])) == 1.0


def test_scores_do_not_depend_on_the_scale_of_the_prediction(scene):
    predicted, reference, srgb = scene
    figures = metrics.score_radiance(predicted, reference, srgb)
    assert metrics.score_radiance(predicted * 32, reference, srgb) == pytest.approx(figures)
    assert metrics.score_radiance(reference * 32, reference, srgb)["pu21"] == pytest.approx(99.0)


def test_scores_of_a_photo_without_highlights_leave_them_out():
    reference = torch.full((3, 16, 16), 0.2)
    figures = metrics.score_radiance(reference, reference, linear_to_srgb(reference))
    assert set(figures) == {"pu21", "mu", "keep_stops"}


def test_scores_survive_a_broken_prediction(scene):
    predicted, reference, srgb = scene
    predicted[:, :4] = math.nan
    predicted[:, 4:8] = -1
    assert all(math.isfinite(value) for value in metrics.score_radiance(predicted, reference, srgb).values())


@pytest.mark.shared
def test_agrees_with_the_yardstick(shared, scene):
    spec = importlib.util.spec_from_file_location("yardstick_score", shared / "bench" / "score.py")
    yardstick = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(yardstick)
    predicted, reference, srgb = scene
    dark = srgb * 0.04  # nothing is well exposed: the other branch of the mask
    for photo in (srgb, dark):
        ours = metrics.score_radiance(predicted, reference, photo)
        theirs = yardstick.score_radiance(*(x.permute(1, 2, 0).numpy() for x in (predicted, reference, photo)))
        assert ours == pytest.approx(theirs, abs=1e-4)
    nits = torch.logspace(-3, 4.5, 200, dtype=torch.float64)
    assert metrics.pu21_encode(nits).numpy() == pytest.approx(yardstick.pu21(nits.numpy()), abs=1e-9)
