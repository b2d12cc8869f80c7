"""HDR-GAN's generator and discriminator: as published, to the last digits, and safe to save, load and train."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.patch_discriminator import PatchDiscriminator
from hdrgan.models.pretrained import PretrainedError

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_seeded_thread")]


def golden(shared, name):
    """Weights in float32, and inputs and outputs, of a published network."""
    tensors = load_file(shared / "golden" / f"{name}.safetensors")
    parts = {"weights": {}, "io": {}}
    for key, value in tensors.items():
        kind, _, rest = key.partition(".")
        parts[kind][rest] = value.float()
    return parts["weights"], parts["io"]


def parameters(network):
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.shared
def test_generator_equals_the_published_one(shared):
    weights, io = golden(shared, "bracket_generator")
    network = BracketGenerator(output="tanh").eval()
    network.load_state_dict(weights, strict=True)
    with torch.inference_mode():
        assert (network.logits(io["srgb"]).tanh() - io["bracket"]).abs().max() <= 1e-5
        assert (network(io["srgb"]) - io["bracket"].clamp(0, 1)).abs().max() <= 1e-5
    assert io["bracket"].min() < -0.01  # the half that no picture has, and that is cut off


@pytest.mark.shared
def test_discriminator_equals_the_published_one(shared):
    weights, io = golden(shared, "patch_discriminator")
    network = PatchDiscriminator().eval()
    network.load_state_dict(weights, strict=True)
    with torch.inference_mode():
        assert (network(io["srgb"], io["bracket"]).sigmoid() - io["probability"]).abs().max() <= 1e-5


def test_numbers_of_parameters_are_the_published_ones():
    assert parameters(BracketGenerator()) == 280_847
    assert parameters(PatchDiscriminator()) == 151_745


def test_generator_computes_what_its_weights_say():
    network = BracketGenerator(width=8).eval()
    w = network.state_dict()
    srgb = torch.rand(2, 3, 12, 20)
    x = F.relu(F.conv2d(srgb, w["encoder.0.weight"], w["encoder.0.bias"], 2, 1))
    x = F.relu(F.conv2d(x, w["encoder.2.weight"], w["encoder.2.bias"], 2, 1))
    x = F.relu(F.conv_transpose2d(x, w["decoder.0.weight"], w["decoder.0.bias"], 2, 1))
    x = F.conv_transpose2d(x, w["decoder.2.weight"], w["decoder.2.bias"], 2, 1)
    expected = torch.stack([x[:, 3 * k : 3 * k + 3] for k in range(5)], 1)
    torch.testing.assert_close(network.logits(srgb), expected)
    torch.testing.assert_close(network(srgb), torch.sigmoid(expected))


def test_discriminator_computes_what_its_weights_say():
    network = PatchDiscriminator(width=8).eval()
    w = network.state_dict()
    srgb, bracket = torch.rand(2, 3, 16, 20), torch.rand(2, 5, 3, 16, 20)
    x = torch.cat([srgb, *bracket.unbind(1)], 1)
    x = F.leaky_relu(F.conv2d(x, w["model.0.weight"], w["model.0.bias"], 2, 1), 0.2)
    x = F.leaky_relu(F.conv2d(x, w["model.2.weight"], w["model.2.bias"], 2, 1), 0.2)
    torch.testing.assert_close(
        network(srgb, bracket), F.conv2d(x, w["model.4.weight"], w["model.4.bias"], 1, 1), atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_flat_pictures_give_brackets_in_range(output, value):
    network = BracketGenerator(width=8, output=output).eval()
    for weight in network.parameters():
        weight.data.mul_(5)
    bracket = network(torch.full((1, 3, 8, 8), value))
    assert bracket.shape == (1, 5, 3, 8, 8)
    assert bracket.isfinite().all()
    assert bracket.min() >= 0
    assert bracket.max() <= 1


@pytest.mark.parametrize("output", ["sigmoid", "tanh"])
def test_every_parameter_gets_a_gradient(output):
    generator, discriminator = BracketGenerator(width=8, output=output), PatchDiscriminator(width=8)
    srgb = torch.rand(2, 3, 32, 32)
    discriminator(srgb, generator(srgb)).square().mean().backward()
    for network in (generator, discriminator):
        for name, weight in network.named_parameters():
            assert weight.grad is not None, name
            assert weight.grad.abs().max() > 0, name


def test_what_is_cut_off_still_passes_a_gradient():
    network = BracketGenerator(width=8, output="tanh")
    network.decoder[2].bias.data.fill_(-2)  # every output below 0
    bracket = network(torch.rand(1, 3, 8, 8))
    assert bracket.abs().max() == 0
    F.l1_loss(bracket, torch.ones_like(bracket)).backward()
    assert network.decoder[2].bias.grad.abs().max() > 0


@pytest.mark.parametrize(
    "network",
    [
        BracketGenerator(evs=(-3, 0, 3.5), width=8),
        BracketGenerator(width=8, output="tanh"),
        PatchDiscriminator(exposures=3, width=8),
    ],
    ids=["sigmoid", "tanh", "discriminator"],
)
def test_saved_and_loaded_networks_answer_bit_for_bit_the_same(network, tmp_path):
    network.eval().save_pretrained(tmp_path)
    loaded = type(network).from_pretrained(tmp_path)
    inputs = [torch.rand(1, 3, 16, 16)]
    if isinstance(network, PatchDiscriminator):
        inputs.append(torch.rand(1, 3, 3, 16, 16))
    else:
        assert loaded.evs == network.evs
        assert loaded.output == network.output
    with torch.inference_mode():
        assert torch.equal(network(*inputs), loaded(*inputs))


def test_a_missing_weight_is_refused(tmp_path):
    BracketGenerator(width=8).save_pretrained(tmp_path)
    state = load_file(tmp_path / "model.safetensors")
    del state["decoder.2.bias"]
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "SHA256SUMS").unlink()
    with pytest.raises(PretrainedError, match=r"decoder\.2\.bias"):
        BracketGenerator.from_pretrained(tmp_path)


def test_the_configuration_holds_all_arguments(tmp_path):
    BracketGenerator(evs=(-1, 0, 1), width=8).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    assert {key: config[key] for key in ("evs", "width", "output")} == {
        "evs": [-1, 0, 1],
        "width": 8,
        "output": "sigmoid",
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"evs": ()}, "evs must be ascending"),
        ({"evs": (0, 0)}, "evs must be ascending"),
        ({"evs": (2, 0)}, "evs must be ascending"),
        ({"evs": (0, float("nan"))}, "evs must be ascending"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"output": "relu"}, "got 'relu'"),
    ],
)
def test_numbers_that_make_no_sense_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BracketGenerator(**arguments)


@pytest.mark.parametrize("size", [(66, 64), (64, 66), (0, 4), (1, 1)])
def test_sizes_that_would_shrink_are_refused(size):
    with pytest.raises(ValueError, match=f"multiples of 4, got {size[0]}x{size[1]}"):
        BracketGenerator(width=8)(torch.zeros(1, 3, *size))


def test_discriminator_refuses_what_does_not_belong_together():
    network = PatchDiscriminator(width=8)
    with pytest.raises(ValueError, match="at least 8"):
        network(torch.zeros(1, 3, 7, 8), torch.zeros(1, 5, 3, 7, 8))
    with pytest.raises(ValueError, match=r"bracket must be \(1, 5, 3, 8, 8\)"):
        network(torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 3, 8, 8))
    assert network(torch.zeros(1, 3, 8, 8), torch.zeros(1, 5, 3, 8, 8)).shape == (1, 1, 1, 1)
    with pytest.raises(ValueError, match="at least 1"):
        PatchDiscriminator(exposures=0)


def test_no_two_networks_share_tags():
    tags = [set(network._hub_mixin_info.model_card_data.tags) for network in (BracketGenerator, PatchDiscriminator)]
    assert "discriminator" in tags[1]
    assert "discriminator" not in tags[0]
