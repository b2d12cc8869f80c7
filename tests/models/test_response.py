"""Evidence of the response curve, the head that reads it, and what the shipped head makes of known curves."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from small_sets import make_scenes

from hdrgan import RadianceGenerator
from hdrgan.data.camera import sigmoid_response
from hdrgan.light.radiometry import linear_to_srgb, srgb_curve
from hdrgan.models.evidence import EVIDENCE, response_evidence
from hdrgan.models.response import ResponseHead, inverse_response
from hdrgan.training.losses import code_shares, response_loss


def scene(size=256, seed=0):
    """Linear light (size, size, 3) with soft-edged shapes of many brightnesses, lamps among them."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32) / size
    light = np.full((size, size, 3), 0.02, np.float32) + 0.05 * y[..., None]
    for _ in range(60):
        radius, colour = rng.uniform(0.03, 0.2), 10 ** rng.uniform(-2.2, 0.6) * rng.uniform(0.6, 1.0, 3)
        distance = np.hypot(x - rng.random(), y - rng.random()) - radius
        cover = np.clip(0.5 - distance * size, 0, 1)[..., None]  # an edge is a mixture of light, one pixel wide
        light = light * (1 - cover) + cover * colour.astype(np.float32)
    return light


def as_tiles(codes):
    return torch.from_numpy(codes.astype(np.float32) / 255).permute(2, 0, 1)[None, None]


def through_jpeg(codes, quality):
    file = io.BytesIO()
    Image.fromarray(codes).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def encoded(light, curve):
    return (curve(light.clip(0, 1)) * 255).round().astype(np.uint8)


def srgb(light):
    return linear_to_srgb(torch.from_numpy(light)).numpy()


def test_evidence_is_finite_for_any_size_and_counts_tiles_as_one_photo():
    for shape in ((1, 1, 3, 1, 1), (2, 3, 3, 5, 40), (1, 4, 3, 64, 64)):
        assert response_evidence(torch.rand(shape)).shape == (shape[0], EVIDENCE)
        assert response_evidence(torch.ones(shape)).isfinite().all()
        assert response_evidence(torch.zeros(shape)).isfinite().all()
    tile = torch.rand(1, 1, 3, 64, 64)
    torch.testing.assert_close(
        response_evidence(tile.expand(-1, 5, -1, -1, -1))[:, :96], response_evidence(tile)[:, :96], atol=1e-4, rtol=0
    )
    with pytest.raises(ValueError, match="tiles must be"):
        response_evidence(torch.rand(1, 3, 64, 64))


def test_evidence_tells_a_compressed_file_and_a_noisy_one():
    codes = encoded(scene(), srgb)
    noisy = (codes + np.random.default_rng(0).normal(0, 3, codes.shape)).clip(0, 255).astype(np.uint8)
    still = slice(96 + 16, 96 + 32)  # share of pixels within a quarter of a step, by intensity
    coefficients = slice(96 + 96 + 2 + 7, 96 + 96 + 2 + 14)  # near zero on the grid more often than off it
    plain, compressed, grainy = (response_evidence(as_tiles(c))[0] for c in (codes, through_jpeg(codes, 85), noisy))
    assert compressed[coefficients].max() > plain[coefficients].abs().max() + 0.05
    assert grainy[still].mean() < plain[still].mean() - 0.1


def test_edges_bend_with_the_curve():
    """Half light is above half way between the codes of its neighbours in sRGB, and half way where nothing bends."""
    places = slice(-(64 + 64 + 16 + 6 + 7), -(64 + 16 + 6 + 7))
    light = scene()
    bent = response_evidence(as_tiles(encoded(light, srgb)))[0, places]
    straight = response_evidence(as_tiles(encoded(light, lambda x: x)))[0, places]
    assert bent.sum() > straight.sum() + 0.5


def shaded_walls(size=256, seed=0):
    """Linear light (size, size, 3) of walls in many colours, each under light that falls off across it."""
    rng = np.random.default_rng(seed)
    light = np.empty((size, size, 3), np.float32)
    for top in range(0, size, 32):
        for left in range(0, size, 32):
            colour = rng.uniform(0.05, 0.9, 3)
            ramp = np.linspace(1, rng.uniform(0.3, 0.8), 32)[:, None, None]
            light[top : top + 32, left : left + 32] = colour * (ramp if rng.random() < 0.5 else ramp.swapaxes(0, 1))
    return light


def test_shading_tells_how_the_slope_changes_along_the_curve():
    """Nought for sRGB; for another curve the steps of log(x f'(x)) against those of sRGB, from dark codes to bright."""
    first = 96 + 96 + 2 + 14
    places = slice(first, first + 2 * 7)
    light = shaded_walls()
    n, sigma = 0.9, 0.6
    curves = {"srgb": srgb, "sigmoid": sigmoid_response(n, sigma), "linear": lambda x: x}
    found = {
        name: response_evidence(as_tiles(encoded(light, curve)))[0, places].view(2, 7) / 4
        for name, curve in curves.items()
    }
    codes = torch.arange(8) / 8 + 1 / 16
    # For the sigmoid x f'(x) = n c (1 - c / (1 + sigma)); with no curve at all it is c.
    offset = (codes + 0.055).log()
    expected = {
        "srgb": torch.zeros(7),
        "sigmoid": ((codes * (1 - codes / (1 + sigma))).log() - offset).diff(),
        "linear": (codes.log() - offset).diff(),
    }
    for name, steps in found.items():
        # The darkest step has few patches, and the brightest leaves out what is nearly clipped.
        torch.testing.assert_close(
            steps[:, 1:-1], expected[name][1:-1].expand(2, -1), atol=0.06, rtol=0, msg=lambda m, n=name: f"{n}: {m}"
        )
    # Grain rises and falls in each channel by itself, which is no shading: nothing is made up of it.
    grain = np.random.default_rng(0).normal((90, 130, 170), (30, 15, 8), (256, 256, 3)).clip(0, 255).astype(np.uint8)
    assert response_evidence(as_tiles(grain))[0, places].abs().max() < 0.1


def test_an_untrained_head_answers_srgb_and_any_head_ascends():
    head = ResponseHead(8, 16)
    with torch.no_grad():
        curve = inverse_response(head(torch.zeros(1, EVIDENCE)))
        torch.testing.assert_close(curve[0], srgb_curve(), atol=0.02, rtol=0)
        for weight in head.parameters():
            weight.mul_(30)
        curves = inverse_response(head(torch.randn(16, EVIDENCE) * 9))
    assert (curves.diff(dim=1) >= 0).all()


def test_the_loss_is_least_at_the_truth_and_prefers_caution_to_a_lost_bet():
    shares = code_shares(torch.rand(1, 3, 32, 32) ** 2)
    assert shares.sum() == pytest.approx(1)
    n, sigma = 0.9, 0.6
    light = torch.linspace(0, 1, 4096)
    other = torch.from_numpy(
        np.interp(np.linspace(0, 1, 256), sigmoid_response(n, sigma)(light.numpy()), light.numpy()).astype(np.float32)
    )[None]
    plain = srgb_curve()[None]
    assert response_loss(plain, plain, shares=shares) < 1e-6

    def risk(guess):
        return (response_loss(guess, plain, shares=shares) + response_loss(guess, other, shares=shares)) / 2

    assert risk((plain + other) / 2) < risk(plain)
    assert risk((plain + other) / 2) < risk(other)


def test_the_recipe_fits_a_head_and_leaves_a_generator_with_it(root, tmp_path):
    make_scenes(tmp_path / "scenes", 6)
    run = subprocess.run(
        [
            sys.executable,
            root / "recipes/response_head.py",
            *(tmp_path / "scenes", "radiance", tmp_path / "out"),
            *("--views=2", "--view-size=48", "--shots=60", "--epochs=2", "--validation-share=0.3"),
        ],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(root)},
        timeout=300,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("epoch") == 4 * 2
    assert run.stdout.index("identity") < run.stdout.index("together")
    made = RadianceGenerator.from_pretrained(tmp_path / "out").state_dict()
    shipped = RadianceGenerator.from_pretrained("radiance").state_dict()
    changed = {name for name in made if not torch.equal(made[name], shipped[name])}
    assert changed
    assert all(name.startswith("response.") for name in changed)
