"""The virtual camera: from linear light to a photo as a camera would take it, with the truth.

It does in order what a camera does; each step is a function below and can be switched off:

  glare       the lens scatters light, some of it of suns and lamps (`hdrgan.data.lens`)
  primaries   light is mixed into the primaries of the sensor and white balanced, and clips there, channel by channel
  noise       photons and read-out, louder in the channels that the white balance amplifies
  mosaic      one colour per photosite (Bayer), interpolated by the linear filters of Malvar, He and Cutler (2004)
  denoising   colours are smoothed, brightness hardly
  style       the tone curve of a measured camera (`hdrgan.data.responses`), then saturation and hue
  sharpening  an unsharp mask
  reduction   the picture is reduced to the size that people share
  jpeg        JPEG as cameras and sites write it

A render has none of this but the sRGB curve. The truth is the light that fell on the sensor: what the lens scatters is
part of it.
"""

from __future__ import annotations

import io
from collections.abc import Collection
from dataclasses import dataclass
from os import PathLike

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from hdrgan.data.lens import scatter, with_lamp
from hdrgan.data.responses import CODES, Responses
from hdrgan.light.srgb import LUMINANCE_WEIGHTS, srgb_response

STEPS = ("glare", "primaries", "noise", "mosaic", "denoising", "style", "sharpening", "jpeg")
_LAMP_SHARE = 0.5  # of the shots with glare, into whose view a lamp is put
_BRIGHTEST = 6e4  # half precision ends at 65504
_LUMA = np.array(LUMINANCE_WEIGHTS)


@dataclass(frozen=True)
class Shot:
    """What the camera made of a view, with the truth.

    srgb: (H, W, 3) uint8, encoded by the camera's own response.
    radiance: (H, W, 3) float32 linear, 1.0 = the level where the photo clips.
    inverse_response: (256,) float32, linear value of each 8-bit code.
    """

    srgb: np.ndarray
    radiance: np.ndarray
    inverse_response: np.ndarray


class VirtualCamera:
    """Draws a camera and an exposure at random for every shot.

    Args:
        responses: a file of camera responses, or None for the spread of measured cameras; see `Responses`.
        clean_share: share of shots that are renders: the sRGB curve, 8 bits, and nothing else.
        clip: smallest and largest share of pixels that clip; drawn evenly in the logarithm.
        glare_share: share of the camera's shots whose lens scatters light visibly.
        steps: the steps that the camera takes, out of `STEPS`.

    Raises:
        ValueError: shares that do not ascend within (0, 1), or a step that is not one of `STEPS`.
    """

    def __init__(
        self,
        responses: str | PathLike[str] | None = None,
        *,
        clean_share: float = 0.2,
        clip: tuple[float, float] = (0.01, 0.3),
        glare_share: float = 0.35,
        steps: Collection[str] = STEPS,
    ):
        if not 0 < clip[0] <= clip[1] < 1:
            raise ValueError(f"clip must be two ascending shares within (0, 1), got {clip}")
        if unknown := set(steps) - set(STEPS):
            raise ValueError(f"the camera has no step {', '.join(sorted(unknown))}; it has {', '.join(STEPS)}")
        self.responses = Responses(responses)
        self.clean_share, self.clip, self.glare_share, self.steps = clean_share, clip, glare_share, frozenset(steps)

    def shoot(
        self, view: np.ndarray, rng: np.random.Generator, *, clean: bool | None = None, reduction: int = 1
    ) -> Shot:
        """Photograph a view.

        Args:
            view: (H, W, 3) linear light on any scale, not black.
            rng: the only source of chance.
            clean: True for a render, False for a camera, None to draw.
            reduction: whole factor by which the finished picture is reduced; H and W must be multiples of it.

        Returns:
            The photo, (H / reduction, W / reduction, 3), and the truth; see `Shot`.

        Raises:
            ValueError: the view holds no light.
        """
        clean = bool(rng.random() < self.clean_share) if clean is None else clean
        if not clean and "glare" in self.steps and rng.random() < self.glare_share:
            view = scatter(with_lamp(view, rng) if rng.random() < _LAMP_SHARE else view, rng)
        share = float(np.exp(rng.uniform(*np.log(self.clip))))
        white = float(np.percentile(view.max(-1), 100 * (1 - share)))
        if not white > 0:
            raise ValueError("the view is black at the percentile that should become white")
        light = np.minimum(view / white, _BRIGHTEST).astype(np.float32)
        curve = srgb_response() if clean else self.responses.draw(rng)
        codes = _encoded(light.clip(0, 1), curve) if clean else self._developed(light, curve, rng)
        pixels = np.round(_reduced(codes, reduction).clip(0, 1) * 255).astype(np.uint8)
        if not clean and "jpeg" in self.steps:
            pixels = _through_jpeg(pixels, int(rng.integers(80, 100)), int(rng.choice([0, 2, 2])))
        return Shot(pixels, _reduced(light, reduction), curve.astype(np.float32))

    def _developed(self, light: np.ndarray, curve: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Light (H, W, 3), 1.0 = white, to what the camera makes of it, encoded and not yet rounded."""
        mix = _primaries(rng) if "primaries" in self.steps else np.eye(3, dtype=np.float32)
        sensor = light @ mix.T
        full = sensor >= 1
        raw = sensor.clip(0, 1)
        if "noise" in self.steps:
            raw = _with_noise(raw, rng)
        # Full wells stay full: noise does not pull clipped pixels below white.
        raw = np.where(full, np.float32(1), raw.clip(0, 1))
        if "mosaic" in self.steps and rng.random() < 0.6:
            raw = interpolated(mosaic(raw)).clip(0, 1)
        if "denoising" in self.steps and rng.random() < 0.7:
            raw = _denoised(raw, rng.uniform(0.5, 2.0))
        codes = _encoded((raw @ np.linalg.inv(mix).T).clip(0, 1), curve)
        if "style" in self.steps:
            codes = _styled(codes, rng.uniform(0.92, 1.25), rng.normal(0, 0.03))
        if "sharpening" in self.steps:
            codes = codes + rng.uniform(0, 0.8) * (codes - _blurred(codes, rng.uniform(0.5, 1.2)))
        developed: np.ndarray = codes.clip(0, 1)
        return developed


def _encoded(light: np.ndarray, inverse_response: np.ndarray) -> np.ndarray:
    """Linear light in [0, 1] to encoded values; zero light is code 0 even where the curve is flat there."""
    codes: np.ndarray = np.interp(light, inverse_response, CODES).astype(np.float32)
    return codes


def _primaries(rng: np.random.Generator) -> np.ndarray:
    """A matrix (3, 3) whose rows add up to one: white stays white, other colours become paler on the sensor."""
    mix = rng.uniform(0, 0.12, (3, 3))
    np.fill_diagonal(mix, 0)
    np.fill_diagonal(mix, 1 - mix.sum(1))
    return mix.astype(np.float32)


def _with_noise(raw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add photon noise (variance in proportion to light) and read noise; white balance amplifies red and blue."""
    shot, read = 10 ** rng.uniform(-4.8, -3.5), 10 ** rng.uniform(-7, -5.3)
    amplified = np.array([rng.uniform(1.2, 2.2), 1.0, rng.uniform(1.2, 2.2)], np.float32)
    variance = raw * (shot * amplified) + read * amplified**2
    noisy: np.ndarray = raw + rng.standard_normal(raw.shape, dtype=np.float32) * np.sqrt(variance)
    return noisy


def mosaic(raw: np.ndarray) -> np.ndarray:
    """What the photosites of an RGGB Bayer sensor see of (H, W, 3): (H, W)."""
    seen = raw[..., 1].copy()
    seen[::2, ::2] = raw[::2, ::2, 0]
    seen[1::2, 1::2] = raw[1::2, 1::2, 2]
    return seen


# Malvar, He and Cutler 2004, figure 2, in eighths: green at red or blue; red at green in a red row; in a red column;
# red at blue. Blue is the same by symmetry.
_MALVAR = (
    torch.tensor(
        [
            [[0, 0, -1, 0, 0], [0, 0, 2, 0, 0], [-1, 2, 4, 2, -1], [0, 0, 2, 0, 0], [0, 0, -1, 0, 0]],
            [[0, 0, 0.5, 0, 0], [0, -1, 0, -1, 0], [-1, 4, 5, 4, -1], [0, -1, 0, -1, 0], [0, 0, 0.5, 0, 0]],
            [[0, 0, -1, 0, 0], [0, -1, 4, -1, 0], [0.5, 0, 5, 0, 0.5], [0, -1, 4, -1, 0], [0, 0, -1, 0, 0]],
            [[0, 0, -1.5, 0, 0], [0, 2, 0, 2, 0], [-1.5, 0, 6, 0, -1.5], [0, 2, 0, 2, 0], [0, 0, -1.5, 0, 0]],
        ]
    )[:, None]
    / 8
)


def interpolated(seen: np.ndarray) -> np.ndarray:
    """Colours from an RGGB mosaic (H, W): (H, W, 3), by Malvar, He and Cutler 2004."""
    samples = torch.from_numpy(seen)[None, None]
    green, along, across, diagonal = F.conv2d(F.pad(samples, (2, 2, 2, 2), mode="reflect"), _MALVAR)[0].numpy()
    out = np.repeat(seen[..., None], 3, -1)
    out[::2, ::2, 1], out[1::2, 1::2, 1] = green[::2, ::2], green[1::2, 1::2]
    out[::2, 1::2, 0], out[1::2, ::2, 0], out[1::2, 1::2, 0] = along[::2, 1::2], across[1::2, ::2], diagonal[1::2, 1::2]
    out[1::2, ::2, 2], out[::2, 1::2, 2], out[::2, ::2, 2] = along[1::2, ::2], across[::2, 1::2], diagonal[::2, ::2]
    return out


def _blurred(picture: np.ndarray, sigma: float) -> np.ndarray:
    """A Gaussian blur of (H, W, 3), edges repeated."""
    radius = max(1, round(2.5 * sigma))
    weights = torch.exp(-0.5 * (torch.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    planes = torch.from_numpy(np.ascontiguousarray(picture, np.float32)).permute(2, 0, 1)[:, None]
    planes = F.conv2d(F.pad(planes, (radius, radius, 0, 0), mode="replicate"), weights.view(1, 1, 1, -1))
    planes = F.conv2d(F.pad(planes, (0, 0, radius, radius), mode="replicate"), weights.view(1, 1, -1, 1))
    return planes[:, 0].permute(1, 2, 0).numpy()


def _denoised(raw: np.ndarray, sigma: float) -> np.ndarray:
    """Smooth the differences of the channels from their mean; clipped pixels stay."""
    grey = raw.mean(-1, keepdims=True)
    return np.where(raw >= 1, raw, (grey + _blurred(raw - grey, sigma)).clip(0, 1)).astype(np.float32)


def _styled(codes: np.ndarray, saturation: float, hue: float) -> np.ndarray:
    """The colours of a picture style: strength and a turn of the hue in radians, around luma; white stays white."""
    luma = (codes @ _LUMA.astype(np.float32))[..., None]
    colour = (codes - luma) * np.float32(saturation)
    turned = colour + np.float32(hue / np.sqrt(3)) * (np.roll(colour, 1, -1) - np.roll(colour, -1, -1))
    styled: np.ndarray = (luma + turned).clip(0, 1)
    return styled


def _reduced(picture: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of ``factor`` pixels: (H, W, 3) to (H / factor, W / factor, 3) float32."""
    if factor == 1:
        return np.ascontiguousarray(picture, np.float32)
    height, width = picture.shape[0] // factor, picture.shape[1] // factor
    means: np.ndarray = picture.reshape(height, factor, width, factor, 3).mean((1, 3), dtype=np.float32)
    return means


def _through_jpeg(codes: np.ndarray, quality: int, subsampling: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))
