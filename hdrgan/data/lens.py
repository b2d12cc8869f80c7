"""What a lens adds to a view before the sensor: suns and lamps in sight, and the light that it scatters."""

from __future__ import annotations

import math

import numpy as np

from hdrgan.light.srgb import largest_channel


def with_lamp(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Put a sun or a lamp into the brighter part of a view: a few pixels, 100 to 200,000 times as bright as the rest.

    Few scenes have one in sight, and a network that has seen few takes their suns for paper.

    Args:
        view: (H, W, 3) float32 linear light.
        rng: the only source of chance.

    Returns:
        (H, W, 3) float32.
    """
    brightest = largest_channel(view)
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
    """Scatter a part of the light, as the glass and the iris of a lens do.

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
