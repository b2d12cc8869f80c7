"""The default network: what it may change, what it must leave alone, and what its loss hears."""

import pytest
import torch

from hdrgan.light.radiometry import decode, encode, srgb_curve
from hdrgan.models.efficientnet import FEATURES, EfficientNetLite2
from hdrgan.models.radiance_generator import Light, RadianceGenerator, _with_colour_beside
from hdrgan.training.light_loss import light_losses, weighted

WIDTHS = (8, 8, 8, 8)


@pytest.fixture
def network() -> RadianceGenerator:
    torch.manual_seed(0)
    made = RadianceGenerator(widths=WIDTHS)
    with torch.no_grad():  # strong enough that a mistake would show
        made.network.gain.weight.mul_(20)
        made.network.compact.weight.mul_(20)
    return made.eval()


def photo(value=None, size=64):
    generator = torch.Generator().manual_seed(3)
    return torch.rand(2, 3, size, size, generator=generator) if value is None else torch.full((1, 3, size, size), value)


def test_the_encoder_gives_features_at_four_sizes():
    features = EfficientNetLite2()(torch.rand(1, 3, 64, 96))
    sizes = [(1, width, 64 // stride, 96 // stride) for width, stride in zip(FEATURES, (4, 8, 16, 32), strict=True)]
    assert [tuple(feature.shape) for feature in features] == sizes


def test_unclipped_pixels_keep_their_light_and_clipped_ones_lose_little(network):
    srgb = photo()
    with torch.inference_mode():
        radiance = network(srgb).radiance
    measured = decode(srgb, network.mean_camera)
    assert torch.equal(radiance[srgb <= 0.94], measured[srgb <= 0.94])
    assert (radiance >= 0.75 * measured).all()
    assert (radiance[srgb > 0.999] > measured[srgb > 0.999]).any()


def test_the_response_is_given(network):
    srgb = photo() * 0.9  # nothing clips
    with torch.inference_mode():
        torch.testing.assert_close(network(srgb, srgb_curve()).radiance, decode(srgb, srgb_curve()))
        torch.testing.assert_close(network(srgb).radiance, decode(srgb, network.mean_camera))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_photos_give_finite_light(network, value):
    with torch.inference_mode():
        out = network(photo(value))
    assert all(tensor.isfinite().all() and (tensor >= 0).all() for tensor in (out.radiance, out.compact))


def test_a_photo_without_colour_gets_light_without_colour(network):
    grey = photo()[:, :1].expand(-1, 3, -1, -1).clone()
    grey[..., :32] = 1
    coloured = grey.clone()
    coloured[:, 0, 40:] *= 0.5
    with torch.inference_mode():
        for tensor in network.light(grey):
            assert torch.equal(tensor[:, 0], tensor[:, 2])
        gain, compact = network.light(coloured)
    assert not torch.equal(gain[:, 0], gain[:, 2])
    assert (compact[:, 0] >= compact[:, 2]).all(), "a compact light is never bluer than white"


def test_compact_lights_keep_the_energy_of_their_cell_wherever_in_it_they_are(network):
    network.network.compact.weight.data.zero_()
    with torch.inference_mode():
        energy = []
        for place in (0, 7):
            network.network.compact.bias[:] = 0
            network.network.compact.bias[0] = 5.0
            network.network.compact.bias[1 + place] = 20.0
            compact = network.network(photo(), network.clipped(photo())).compact
            energy.append(compact[0, 1].mean())
            assert compact[0, 1].max() > 10 * compact[0, 1].mean()
    torch.testing.assert_close(energy[0], energy[1])
    torch.testing.assert_close(energy[0], torch.exp2(torch.nn.functional.softplus(torch.tensor(5.0))) - 1)


def test_where_some_channels_clipped_the_colour_beside_has_a_say(network):
    """The glow of an orange lamp stays orange, and no channel is raised far above the colour beside it."""
    curve = network.mean_camera
    light = torch.linspace(0.1, 2.0, 128).repeat(3, 128, 1)[None] * torch.tensor([1.0, 0.25, 0.1]).view(1, 3, 1, 1)
    sky = torch.linspace(0.3, 1.0, 128).repeat(3, 128, 1)[None] * torch.tensor([0.45, 0.45, 1.1]).view(1, 3, 1, 1)
    for view, given, channel in ((light, 0.0, 0), (sky, 2.0, 2)):
        srgb = encode(view.clamp(max=1), curve)
        mask = network.clipped(srgb)
        before = Light(torch.full_like(srgb, given), torch.zeros_like(srgb))
        after = _with_colour_beside(before, srgb, mask, curve)
        some = (mask.amin(1) == 0) & (mask[:, channel] == 1)
        true = view.log2()[:, channel][some]
        assert some.sum() > 1000
        left = (after.gain[:, channel][some] - true).abs().mean() / (given - true).abs().mean()
        assert left < 0.6
    whole = torch.ones(1, 3, 128, 128)
    before = Light(torch.rand(1, 3, 128, 128), torch.rand(1, 3, 128, 128))
    for kept, given in zip(_with_colour_beside(before, whole, whole, curve), before, strict=True):
        torch.testing.assert_close(kept, given)


def test_a_channel_that_a_camera_clips_early_is_lowered_and_leaves_no_red_ring(network):
    """Where red is full and the others are not, the colour beside says how bright it can have been."""
    curve = network.mean_camera
    glow = torch.linspace(0.1, 1.2, 128).repeat(3, 128, 1)[None] * torch.tensor([1.0, 0.6, 0.3]).view(1, 3, 1, 1)
    early = glow * torch.tensor([1.25, 1.0, 1.0]).view(1, 3, 1, 1)
    early[:, 0] = torch.where(glow[:, 0] > 0.75, early[:, 0], glow[:, 0])
    srgb = encode(early.clamp(max=1), curve)
    mask = network.clipped(srgb)
    after = _with_colour_beside(Light(torch.zeros_like(srgb), torch.zeros_like(srgb)), srgb, mask, curve)
    ring = (mask[:, 0] == 1) & (glow[:, 0] < 0.95)
    true = glow.log2()[:, 0][ring]
    assert ring.sum() > 1000
    assert -0.4 <= after.gain[:, 0][ring].min() < -0.1
    assert (after.gain[:, 0][ring] - true).abs().mean() < 0.7 * true.abs().mean()


def test_every_parameter_gets_a_gradient():
    torch.manual_seed(0)
    network = RadianceGenerator(widths=WIDTHS)
    srgb = photo()
    srgb[..., :32, :] = 1.0
    stops = torch.where(srgb >= 1, 3.0, 0.0)
    out = network(srgb)
    mask = network.clipped(srgb)
    terms = weighted(light_losses(Light(out.gain, out.compact), mask, stops, torch.ones(2, 1, 64, 64)))
    torch.stack(list(terms.values())).sum().backward()
    assert [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_each_term_of_the_loss_is_least_for_the_truth():
    mask = torch.zeros(1, 3, 64, 64)
    mask[..., 16:48, 16:48] = 1
    truth = 2.0 * mask
    truth[..., 30:32, 30:32] = 10.0
    truth[..., 20:22, 30:32] = 10.0  # within the rim
    known = torch.ones(1, 1, 64, 64)
    none = torch.zeros(1, 3, 64, 64)
    right = light_losses(Light(truth, none), mask, truth, known)
    for wrong in (truth + 0.5, truth.clamp(max=2), none):
        for name, value in light_losses(Light(wrong, none), mask, truth, known).items():
            assert value > right[name] + 1e-3, name


def test_the_loss_hears_the_energy_of_a_sun_more_than_its_place():
    mask = torch.ones(1, 3, 64, 64)
    known = torch.ones(1, 1, 64, 64)
    truth = torch.full((1, 3, 64, 64), 1.0)
    truth[..., 26:28, 26:28] = 12.0
    none = torch.zeros(1, 3, 64, 64)
    moved = light_losses(Light(truth.roll(2, 3), none), mask, truth, known)["energy"]
    missing = light_losses(Light(truth.clamp(max=1), none), mask, truth, known)["energy"]
    assert missing > 2 * moved


def test_what_is_unknown_has_no_say():
    mask = torch.ones(1, 3, 64, 64)
    truth = torch.full((1, 3, 64, 64), 2.0)
    known = torch.ones(1, 1, 64, 64)
    known[..., :32] = 0
    other = truth.clone()
    other[..., :32] = 9.0
    light = Light(torch.full((1, 3, 64, 64), 1.5), torch.zeros(1, 3, 64, 64))
    one, two = (light_losses(light, mask, stops, known) for stops in (truth, other))
    assert one["stops"] == two["stops"]
    assert one["exposures"] == two["exposures"]


def test_wrong_shapes_and_numbers_are_refused(network):
    with pytest.raises(ValueError, match="multiples of 64"):
        network(torch.zeros(1, 3, 48, 64))
    for bad in ({"widths": (8,)}, {"widths": (8, 8, 8, 0)}, {"edge_width": 0}, {"clip_start": 0.9, "clip_end": 0.8}):
        with pytest.raises(ValueError, match="must"):
            RadianceGenerator(**bad)


def test_saved_and_loaded_it_answers_the_same_to_the_last_bit(network, tmp_path):
    network.save_pretrained(tmp_path)
    again = RadianceGenerator.from_pretrained(tmp_path)
    with torch.inference_mode():
        assert torch.equal(network(photo()).radiance, again(photo()).radiance)


def test_light_that_no_channel_measured_is_neither_green_nor_purple_and_keeps_its_brightness():
    from hdrgan.models.radiance_generator import _between_warm_and_cool

    weights = torch.tensor([0.2126, 0.7152, 0.0722]).view(1, 3, 1, 1)
    gain = torch.tensor([[6.0, 11.0, 4.0], [3.0, 1.0, 3.0], [5.0, 4.0, 2.0]]).T[None, :, :, None]  # (1, 3, 3, 1)
    bounded = _between_warm_and_cool(gain, torch.ones(1, 1, 3, 1))
    red, green, blue = bounded[0, :, :, 0]
    assert bool((green <= torch.maximum(red, blue) + 0.101).all() and (green >= torch.minimum(red, blue) - 0.101).all())
    torch.testing.assert_close((torch.exp2(bounded) * weights).sum(1), (torch.exp2(gain) * weights).sum(1))
    torch.testing.assert_close(bounded[..., 2, 0], gain[..., 2, 0])  # was between already
    torch.testing.assert_close(_between_warm_and_cool(gain, torch.zeros(1, 1, 3, 1)), gain)  # a channel was measured
