"""The quick way from photo to result gives what the plain way gives: every pixel in float, all at once."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hdrgan import EIN, BracketGenerator, Photo, Pipeline, RadianceGenerator
from hdrgan.bracket import merge
from hdrgan.image_io import to_tensor
from hdrgan.models.radiance_generator import LightFields, clip_mask
from hdrgan.pipeline import _pieces
from hdrgan.radiometry import match_exposure, srgb_curve, srgb_to_linear
from hdrgan.tiling import run_tiled

EVS = (-4.0, -1.5, 0.0, 0.5, 3.0)
WORKING_SIZE = 64


def scene(height, width, dtype=np.uint8, clipped=0.95, seed=0):
    """A photo with slopes, grain, lamps that clip in one channel or all, and hard edges."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    light = np.stack([0.2 + 0.7 * x, 0.1 + 0.6 * y, 0.5 + 0.4 * np.sin(9 * x + 7 * y)], -1)
    for _ in range(4):
        lamp = np.exp(-((x - rng.random()) ** 2 + (y - rng.random()) ** 2) / 0.01)
        light += lamp[..., None] * rng.uniform(0.1, 1.5, 3)
    light[height // 3 : height // 2, width // 5 : width // 3] = (1, clipped, 0.9)
    peak = np.iinfo(dtype).max
    return np.round((light + rng.normal(0, 0.01, light.shape)).clip(0, 1) * peak).astype(dtype)


def network(kind):
    torch.manual_seed(1)
    made = {
        "radiance": lambda: RadianceGenerator(widths=(8, 8), context=8),
        "bracket": lambda: BracketGenerator(width=4),
        "ein": lambda: EIN(width=8),
    }[kind]()
    with torch.no_grad():  # strong enough that a mistake would show
        for weight in made.parameters():
            weight.mul_(1.5)
    return made


def area_average(srgb, size):
    return F.interpolate(srgb, size=size, mode="area")


def plain_radiance(model, photo, response):
    """Radiance, invented and curve of a RadianceGenerator, with every step on the whole photo in float32."""
    srgb = to_tensor(photo).contiguous()
    height, width = photo.height, photo.width
    scale = min(1.0, WORKING_SIZE / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    seen = area_average(srgb, size)
    m = model.size_multiple
    padded = F.pad(seen, (0, -size[1] % m, 0, -size[0] % m), mode="replicate")
    both = model.fields(torch.cat([padded, padded.flip(-1)]))
    gain, residual = (((f[:1] + f[1:].flip(-1)) / 2)[..., : size[0], : size[1]] for f in (both.gain, both.residual))
    curve = model.curve(_pieces(photo)) if response == "auto" else srgb_curve()[None]
    if size != (height, width):
        residual = torch.zeros(1, 3, height, width)
        gain = F.interpolate(gain, size=(height, width), mode="bilinear", align_corners=False)
    lit = model.apply_fields(srgb, LightFields(curve, gain, residual))
    return lit.radiance, 1 - torch.exp2(-lit.log_gain[0].amax(0)), curve[0]


def plain_ein(model, photo):
    srgb = to_tensor(photo).contiguous()
    relative = run_tiled(model, srgb, multiple=model.size_multiple, minimum=model.minimum_size)
    linear = srgb_to_linear(srgb)
    trusted = (srgb.amax(1, keepdim=True) < 0.90) & (srgb.amin(1, keepdim=True) > 0.05)
    anchored = relative * match_exposure(relative, linear, trusted)
    mask = clip_mask(srgb, 0.94, 0.995)
    radiance = torch.lerp(linear, torch.maximum(anchored, linear), mask)
    made_up = 1 - (linear / radiance.clamp(min=1e-6)).clamp(0, 1)
    return radiance, (made_up * mask)[0].amax(0), srgb_curve()


def plain_bracket(model, photo):
    srgb = to_tensor(photo).contiguous()
    frames = run_tiled(model, srgb, multiple=model.size_multiple, minimum=model.minimum_size)[0]
    return frames, merge(frames, model.evs)[None], clip_mask(srgb, 0.94, 0.995).amax(1)[0], srgb_curve()


def plain_render(photo, radiance, evs, curve, keep_photo=True):
    """Exposures by a search per pixel in float64."""
    peak = np.iinfo(photo.pixels.dtype).max
    light = radiance[0].permute(1, 2, 0).double().numpy()
    codes = np.linspace(0, peak, len(curve))
    drawn = [np.interp(np.minimum(light * 2.0**ev, 1), curve.double().numpy(), codes).round() for ev in evs]
    return [photo.pixels if keep_photo and ev == 0 else frame for ev, frame in zip(evs, drawn, strict=True)]


@torch.inference_mode()
def plain(model, photo, response="auto"):
    """What a pipeline is to answer: exposures at EVS, radiance (H, W, 3), invented, response."""
    if isinstance(model, BracketGenerator):
        frames, radiance, invented, curve = plain_bracket(model, photo)
        peak = np.iinfo(photo.pixels.dtype).max
        exposures = plain_render(photo, radiance, EVS, curve, keep_photo=False)
        for k, ev in enumerate(model.evs):
            if ev in EVS:
                exposures[EVS.index(ev)] = (frames[k] * peak).round().permute(1, 2, 0).numpy()
    else:
        radiance, invented, curve = (
            plain_ein(model, photo) if isinstance(model, EIN) else plain_radiance(model, photo, response)
        )
        exposures = plain_render(photo, radiance, EVS, curve)
    return exposures, radiance[0].permute(1, 2, 0).numpy(), invented.numpy(), curve.numpy()


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (48, 64), (65, 63), (331, 209), (90, 701)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("kind", ["radiance", "bracket", "ein"])
def test_a_result_equals_the_plain_computation(kind, dtype, size):
    model = network(kind).eval()
    pipe = Pipeline(model, device="cpu", working_size=WORKING_SIZE)
    photo = Photo(scene(*size, dtype))
    for response in ("auto", "srgb") if kind == "radiance" else ("auto",):
        exposures, radiance, invented, curve = plain(model, photo, response)
        result = pipe(photo, EVS, response)
        np.testing.assert_allclose(result.response, curve, atol=1e-6)
        # Where the curve is steep a last bit of the response is a few of the light's.
        np.testing.assert_allclose(result.radiance, radiance, rtol=2e-4, atol=2e-6)
        np.testing.assert_allclose(result.invented, invented, atol=1e-4)
        for ours, theirs in zip(result.exposures, exposures, strict=True):
            assert ours.dtype == dtype
            assert np.abs(ours.astype(float) - theirs).max() <= (1 if dtype == np.uint8 else 80)
