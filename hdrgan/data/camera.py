"""The virtual camera: from linear light to a photo as a camera would take it, with the truth.

The truth is the light that fell on the sensor: what the lens scatters is part of it.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike

import numpy as np
from PIL import Image

from hdrgan.light.radiometry import CURVE_SAMPLES

_LAMP_SHARE = 0.5  # of the shots with glare, into whose view a lamp is put
_IRRADIANCE = np.concatenate([[0.0], np.geomspace(1e-6, 1.0, 2047)])


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


def _srgb(light: np.ndarray) -> np.ndarray:
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


def sigmoid_response(n: float, sigma: float) -> Callable[[np.ndarray], np.ndarray]:
    """f(H) = (1 + sigma) H^n / (H^n + sigma), the camera curves of Eilertsen et al. 2017 (HDRCNN), H in [0, 1]."""
    return lambda light: (1 + sigma) * light**n / (light**n + sigma)


class VirtualCamera:
    """Draws glare, exposure, response, noise, quantisation and JPEG at random.

    Args:
        responses: an .npz of the EMoR model (Grossberg and Nayar 2004: ``irradiance``, ``f0``, ``h``), or None to
            draw from the analytic families alone.
        clean_share: share of shots that are renders: 8 bits, no noise, no JPEG, nearly always sRGB.
        clip: smallest and largest share of pixels that clip.
        glare_share: share of the camera shots whose lens scatters light; see `scatter`.
    """

    def __init__(
        self,
        responses: str | PathLike[str] | None = None,
        *,
        clean_share: float = 0.35,
        clip: tuple[float, float] = (0.02, 0.18),
        glare_share: float = 0.35,
    ):
        if not 0 <= clip[0] <= clip[1] < 1:
            raise ValueError(f"clip must be two ascending shares within [0, 1), got {clip}")
        self.clean_share = clean_share
        self.clip = clip
        self.glare_share = glare_share
        self.emor: tuple[np.ndarray, ...] | None = None
        if responses is not None:
            with np.load(responses) as model:
                missing = {"irradiance", "f0", "h"} - set(model.files)
                if missing:
                    raise ValueError(f"{responses} is no EMoR model: it lacks {', '.join(sorted(missing))}")
                self.emor = tuple(model[key].astype(np.float64) for key in ("irradiance", "f0", "h"))

    def shoot(self, view: np.ndarray, rng: np.random.Generator, *, clean: bool | None = None) -> Shot:
        """Photograph a view.

        Args:
            view: (H, W, 3) linear light on any scale, not black.
            rng: the only source of chance.
            clean: True for a render, False for a camera, None to draw.

        Returns:
            The photo and the truth; see `Shot`.

        Raises:
            ValueError: the view holds no light.
        """
        clean = bool(rng.random() < self.clean_share) if clean is None else clean
        if not clean and rng.random() < self.glare_share:
            view = scatter(with_lamp(view, rng) if rng.random() < _LAMP_SHARE else view, rng)
        brightest = view.max(-1)
        white = float(np.percentile(brightest, 100 * (1 - rng.uniform(*self.clip))))
        if not white > 0:
            raise ValueError("the view is black at the percentile that should become white")
        radiance = np.minimum(view / white, 6e4).astype(np.float32)
        response = _srgb if clean and rng.random() < 0.9 else self._draw_response(rng)
        exposed = radiance.clip(0, 1)
        if not clean:
            shot = 10 ** rng.uniform(-4.8, -3.6)
            read = 10 ** rng.uniform(-6.8, -5.3)
            noise = rng.standard_normal(exposed.shape, dtype=np.float32) * np.sqrt(exposed * shot + read)
            # A well that is full stays full: noise does not pull clipped pixels below white.
            exposed = np.where(exposed >= 1, 1, (exposed + noise).clip(0, 1))
        codes = np.round(response(exposed).clip(0, 1) * 255).astype(np.uint8)
        if not clean and rng.random() < 0.95:
            codes = _through_jpeg(codes, int(rng.integers(80, 100)), int(rng.choice([0, 2, 2])))
        return Shot(codes, radiance, _invert(response))

    def _draw_response(self, rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
        family = rng.random()
        if family < 0.25:
            return _srgb
        if family < 0.70:
            n = float(np.clip(rng.normal(0.9, 0.1), 0.6, 1.2))
            sigma = float(np.clip(rng.normal(0.6, 0.1), 0.3, 1.0))
            return sigmoid_response(n, sigma)
        if family < 0.88 and self.emor is not None:
            return _emor_response(rng, *self.emor)
        if family < 0.94:
            gamma = rng.uniform(1.8, 2.6)
            return lambda light: np.power(light, 1 / gamma)
        # sRGB followed by the S-shaped contrast of a picture style.
        strength = rng.uniform(0.1, 0.7)

        def styled(light: np.ndarray) -> np.ndarray:
            encoded = _srgb(light)
            bent: np.ndarray = (1 - strength) * encoded + strength * encoded * encoded * (3 - 2 * encoded)
            return bent

        return styled


def with_lamp(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a sun or a lamp into the brighter part of a view: a few pixels, 100 to 200,000 times as bright as the rest.

    Few scenes have one in sight, and a network that has seen few takes their suns for paper.

    Args:
        view: (H, W, 3) float32 linear light.
        rng: the only source of chance.

    Returns:
        (H, W, 3) float32.
    """
    brightest = view.max(-1)
    level = float(np.percentile(brightest, 98))
    candidates = np.flatnonzero(brightest >= np.percentile(brightest, 60))
    top, left = divmod(int(rng.choice(candidates)), view.shape[1])
    radius = rng.uniform(0.003, 0.009) * view.shape[0]
    y, x = np.ogrid[: view.shape[0], : view.shape[1]]
    disc = np.exp(-((y - top) ** 2 + (x - left) ** 2) / (2 * radius**2))
    # From white to the red of a low sun; most are nearer to white.
    warmth = rng.uniform(0, 1) ** 2
    colour = np.array([1.0, 1 - 0.45 * warmth, 1 - 0.8 * warmth])
    lamp = level * 10 ** rng.uniform(2.0, 5.3) * disc[..., None] * colour
    lit: np.ndarray = (view + lamp).astype(np.float32)
    return lit


def scatter(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Send a part of the light astray, as the glass and the iris of a lens do.

    Some thousandths to some hundredths of all light end up in a halo that falls off with the square to the cube of the
    distance, sometimes drawn out into rays (veiling glare: Talvala et al. 2007). Diffraction makes it wider for red
    than for blue, so that the rim of a clipped sun is often redder than the sun. Beside paper nobody sees the halo;
    beside the sun it is what tells a photo how bright the sun was.

    Args:
        view: (H, W, 3) float32 linear light.
        rng: the only source of chance.

    Returns:
        (H, W, 3) float32.
    """
    height, width = view.shape[:2]
    share = 10 ** rng.uniform(-2.6, -1.3)
    # A clean lens keeps its halo small; haze, dust and fingerprints make it wide.
    core, fall = 10 ** rng.uniform(-2.4, -1.5) * height, rng.uniform(2.0, 3.0)
    fringe = rng.uniform(0, 0.3)
    # As large as twice the picture, so that nothing comes back in on the other side.
    y, x = (np.fft.fftfreq(2 * side, 1 / (2 * side)).astype(np.float32) for side in (height, width))
    distance = np.hypot(y[:, None], x[None])
    rays: float | np.ndarray = 1.0
    if rng.random() < 0.4:
        blades, turn = rng.integers(3, 10), rng.uniform(0, math.pi)
        angle = np.arctan2(y[:, None], x[None]) + turn
        rays = 1 + rng.uniform(1, 8) * np.abs(np.cos(blades * angle)) ** rng.uniform(10, 80)
    scattered = np.empty_like(view, dtype=np.float32)
    for channel, wider in enumerate((1 + fringe, 1.0, 1 - fringe)):
        halo = rays * (1 + distance / (core * wider)) ** -fall
        spectrum = np.fft.rfft2(halo * (share / halo.sum()))
        light = np.fft.rfft2(view[..., channel], s=halo.shape)
        scattered[..., channel] = np.fft.irfft2(light * spectrum, s=halo.shape)[:height, :width]
    mixed: np.ndarray = (1 - share) * view + scattered.clip(min=0)
    return mixed.astype(np.float32)


def _emor_response(
    rng: np.random.Generator, irradiance: np.ndarray, mean: np.ndarray, components: np.ndarray
) -> Callable[[np.ndarray], np.ndarray]:
    while True:
        weights = rng.normal(0, (1.5, 0.8, 0.4, 0.25, 0.15))
        curve = mean + weights @ components[:5]
        if (np.diff(curve) > 0).all() and curve[0] > -0.02 and curve[-1] < 1.02:
            curve = curve.clip(0, 1)
            return lambda light: np.interp(light, irradiance, curve)


def _invert(response: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    encoded = np.maximum.accumulate(response(_IRRADIANCE).clip(0, 1))
    inverse = np.interp(np.linspace(0, 1, CURVE_SAMPLES), encoded, _IRRADIANCE)
    inverse[0], inverse[-1] = 0.0, 1.0
    return np.asarray(inverse, dtype=np.float32)


def _through_jpeg(codes: np.ndarray, quality: int, subsampling: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(codes).save(buffer, "JPEG", quality=quality, subsampling=subsampling)
    return np.asarray(Image.open(buffer).convert("RGB"))
