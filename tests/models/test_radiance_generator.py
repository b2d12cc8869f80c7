"""The default network: what it may change, what it must leave alone, and what it is made of."""

import numpy as np
import pytest
import torch

from hdrgan.data.camera import VirtualCamera, scatter, sigmoid_response, with_lamp
from hdrgan.light.radiometry import expose, srgb_curve, srgb_to_linear
from hdrgan.models.radiance_generator import RadianceGenerator, _smoothed
from hdrgan.models.response import inverse_response
from hdrgan.training.losses import bracket_from_radiance, radiance_loss


@pytest.fixture
def network() -> RadianceGenerator:
    torch.manual_seed(0)
    return RadianceGenerator(widths=(8, 8), context=8, knots=4)


def photo(value=None, size=32):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 3, size, size, generator=generator) if value is None else torch.full((1, 3, size, size), value)


def test_unclipped_pixels_get_no_gain_and_clipped_ones_only_more_light(network):
    srgb = photo()
    out = network(srgb)
    assert (out.log_gain[srgb <= 0.94] == 0).all()
    assert (out.log_gain >= 0).all()
    base = RadianceGenerator.apply_fields(network, srgb, network.fields(srgb)._replace(gain=torch.zeros_like(srgb)))
    assert (out.radiance >= base.radiance - 1e-6).all()


def test_the_response_ascends_from_black_to_white_whatever_the_network_says(network):
    curves = inverse_response(torch.randn(64, 4) * 100)
    assert curves.shape == (64, 256)
    assert (curves.diff(dim=1) >= 0).all()
    assert (curves[:, 0] == 0).all()
    assert (curves[:, -1] == 1).all()
    torch.testing.assert_close(inverse_response(torch.zeros(1, 4))[0], srgb_curve(), atol=1e-5, rtol=0)


def test_the_residual_is_bounded(network):
    with torch.no_grad():
        network.head.weight.mul_(1e4)
    assert network.fields(photo()).residual.abs().max() <= network.max_residual


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_photos_give_finite_light(network, value):
    out = network(photo(value))
    assert out.radiance.isfinite().all()
    assert (out.radiance >= 0).all()


def test_every_parameter_gets_a_gradient(network):
    srgb = photo()
    srgb[:, :, :8] = 1.0
    radiance = srgb_to_linear(srgb) * torch.where(srgb >= 1, 4.0, 1.0)
    terms = radiance_loss(network(srgb), radiance, srgb_curve().expand(2, -1) ** 0.9, srgb)
    terms["loss"].backward()
    assert terms["loss"].isfinite()
    without = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert not without


def test_the_loss_of_the_truth_is_nearly_nothing_and_grows_with_error():
    network = RadianceGenerator(widths=(8, 8))
    srgb = photo(size=16)
    out = network(srgb)
    curve = srgb_curve().expand(2, -1)
    truth = out._replace(radiance=srgb_to_linear(srgb), inverse_response=curve)
    right = radiance_loss(truth, srgb_to_linear(srgb), curve, srgb)["loss"]
    wrong = radiance_loss(truth._replace(radiance=truth.radiance * 1.5), srgb_to_linear(srgb), curve, srgb)["loss"]
    assert right < 0.03
    assert wrong > 10 * right


def test_drawing_by_table_agrees_with_expose():
    radiance = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(4)) ** 4 * 3
    drawn = bracket_from_radiance(radiance, srgb_curve()[None], (-4, 0, 4))
    for k, ev in enumerate((-4, 0, 4)):
        assert (drawn[:, k] - expose(radiance, ev, srgb_curve())).abs().max() < 0.5 / 255


def test_wrong_shapes_and_numbers_are_refused(network):
    with pytest.raises(ValueError, match="multiples of 8"):
        network(torch.zeros(1, 3, 30, 32))
    for bad in ({"widths": (8,)}, {"clip_start": 0.9, "clip_end": 0.8}, {"knots": 1}):
        with pytest.raises(ValueError, match="must"):
            RadianceGenerator(**bad)


def test_saved_and_loaded_it_says_the_same_to_the_last_bit(network, tmp_path):
    network.eval().save_pretrained(tmp_path)
    again = RadianceGenerator.from_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.equal(network(photo()).radiance, again(photo()).radiance)


def test_the_virtual_camera_tells_the_truth_about_itself():
    rng = np.random.default_rng(0)
    view = np.exp(rng.normal(0, 1.5, (64, 64, 1))).astype(np.float32) * np.ones(3, np.float32)
    for clean in (True, False):
        shot = VirtualCamera(clip=(0.05, 0.10)).shoot(view, rng, clean=clean)
        clipped = (shot.radiance.max(-1) >= 1).mean()
        assert 0.04 < clipped < 0.11
        assert shot.inverse_response[0] == 0
        assert shot.inverse_response[-1] == 1
        linear = shot.inverse_response[shot.srgb]
        unclipped = (shot.srgb.max(-1) < 240) & (shot.srgb.min(-1) > 40)
        error = np.abs(np.log2(linear[unclipped]) - np.log2(shot.radiance[unclipped]))
        assert np.median(error) < (0.02 if clean else 0.3)


def test_a_lens_scatters_light_and_loses_none():
    view = np.full((64, 96, 3), 0.1, np.float32)
    view[32, 48] = (3000, 2000, 1000)
    redness = []
    for seed in range(8):
        seen = scatter(view, np.random.default_rng(seed))
        assert seen.shape == view.shape
        assert seen.dtype == np.float32
        lost = 1 - seen.sum((0, 1)) / view.sum((0, 1))
        assert (lost > -1e-4).all()
        assert (lost < 0.05).all(), "what leaves the picture is a part of the scattered part"
        halo = seen[32, 49:, 0] - 0.1 * (1 - 10**-1.3)
        assert (np.diff(halo) < 0).all(), "brighter towards the lamp"
        added = seen[30, 44] - seen[0, 0]
        red, _, blue = added / view[32, 48]
        assert 0.5 < red / blue < 3, "nearly in its colour"
        redness.append(red / blue)
    assert np.mean(redness) > 1.1, "the halo is wider for red than for blue"
    assert np.array_equal(scatter(view, np.random.default_rng(1)), scatter(view, np.random.default_rng(1)))


def test_a_lamp_is_small_bright_and_where_it_is_bright_already():
    view = np.full((64, 96, 3), 0.1, np.float32)
    view[:32] = 1
    for seed in range(6):
        lit = with_lamp(view, np.random.default_rng(seed))
        assert lit.dtype == np.float32
        added = (lit - view).max(-1)
        top, left = divmod(int(added.argmax()), 96)
        assert top < 32
        assert added.max() > 50
        assert (added > 0.01 * added.max()).mean() < 0.02
        red, green, blue = lit[top, left]
        assert red >= green >= blue, "from white to red"


def test_the_same_seed_gives_the_same_shot():
    view = np.random.default_rng(1).random((32, 32, 3), np.float32)
    first, second = (VirtualCamera().shoot(view, np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first.srgb, second.srgb)


def test_sigmoid_responses_reach_white():
    assert sigmoid_response(0.9, 0.6)(np.float64(1.0)) == pytest.approx(1.0)


def test_a_black_view_is_refused():
    with pytest.raises(ValueError, match="black"):
        VirtualCamera().shoot(np.zeros((8, 8, 3), np.float32), np.random.default_rng(0))


def test_the_loss_hears_a_sun_that_is_too_dim(network):
    """Of the terms that compare pixels each counts the sun for its size; the lamps' term counts it for its light."""
    srgb = torch.full((1, 3, 64, 64), 0.5)
    srgb[..., 16:48, 16:48] = 1.0
    truth = srgb_to_linear(srgb) * torch.where(srgb == 1, 2.0, 1.0)
    dim = truth.clone()
    truth[..., 30:32, 30:32] = 1000.0
    out = network(srgb)
    heard = {}
    for name, light in (("sun", truth), ("none", dim)):
        terms = radiance_loss(out._replace(radiance=light), truth, srgb_curve()[None], srgb)
        heard[name] = terms["lamps"]
    assert heard["sun"] < 1e-3
    assert heard["none"] > 0.2


def test_the_gain_has_no_pattern_of_the_blocks_that_it_is_drawn_in():
    network = RadianceGenerator().eval()
    pattern = torch.randn(1, 16, generator=torch.Generator().manual_seed(0)).expand(3, 16)
    with torch.inference_mode():
        network.head.weight.zero_()
        network.head.bias[:48] = pattern.reshape(48)  # the same in every block of 4 x 4 pixels
        gain = network.fields(torch.ones(1, 3, 64, 64), residual=False).gain[0, :, 8:-8, 8:-8]
    assert gain.mean() > 0.5
    assert gain.max() - gain.min() < 1e-4


def test_the_colour_of_a_sun_stays_out_of_its_rim():
    y, x = torch.meshgrid(torch.arange(96) - 48, torch.arange(96) - 48, indexing="ij")
    sun = ((y * y + x * x) < 64).float()
    gain = 0.05 + sun * torch.tensor([6.0, 5.0, 2.0]).view(1, 3, 1, 1)  # stops
    smoothed = _smoothed(gain, torch.ones(1, 3, 96, 96))[0]
    red, _, blue = smoothed[:, 48, 48]
    assert red > 4.5, "the sun is nearly as bright as it was"
    assert red - blue > 1, "and has its colour"
    rim = smoothed[:, 48, 62:68]  # next to the sun
    assert rim.max() < 0.15
