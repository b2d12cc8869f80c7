"""Brackets of a camera whose response is known: light, noise, a hand that drifts, something that moves, JPEG."""

import io
import math

import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from hdrgan.light.response import deviating_camera

TIMES = {  # what a camera does, and what it writes
    1 / 512: (1, 500), 1 / 256: (1, 250), 1 / 128: (1, 125), 1 / 64: (1, 60), 1 / 32: (1, 30),
    1 / 16: (1, 15), 1 / 8: (1, 8), 1 / 4: (1, 4), 1 / 2: (1, 2), 1: (1, 1), 2: (2, 1),
}  # fmt: skip
CODES = np.linspace(0, 1, 256)


def scene(height=360, width=480, seed=0, stops=11.0):
    """Light (H, W, 3) of a room: smooth shading, many flat patches, soft colours; from dark to bright in stops."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    logs = stops * (0.55 * x + 0.2 * y)
    for _ in range(160):
        top, left = rng.uniform(0, 1, 2)
        tall, wide = rng.uniform(0.03, 0.25, 2)
        patch = (y >= top) & (y < top + tall) & (x >= left) & (x < left + wide)
        logs[patch] += rng.normal(0, 0.12 * stops)
    tint = np.zeros((height, width, 3))
    for _ in range(40):
        top, left = rng.uniform(0, 1, 2)
        patch = (y >= top) & (y < top + 0.2) & (x >= left) & (x < left + 0.2)
        tint[patch] = rng.normal(0, 0.25, 3)
    return np.exp2(logs[..., None] + tint - np.median(logs))


def bracket(
    times,
    *,
    deviations=(1.0, -0.8),
    light=None,
    response=None,
    drift=3,
    moving=True,
    noise=(2e-4, 1e-6),
    quality=92,
    level=0.18,
    seed=0,
):
    """Shots of one scene as bytes of JPEG files, and the camera's inverse response.

    Args:
        times: seconds of each shot.
        drift: pixels by which the hand moves in all.
        moving: whether a grey card walks through the scene.
        noise: photon and read noise.
        level: linear value of the scene's median at the middle time.
    """
    rng = np.random.default_rng(seed)
    response = deviating_camera(np.asarray(deviations)) if response is None else response
    light = scene(seed=seed) if light is None else light
    middle = sorted(times)[len(times) // 2]
    shots = []
    for k, time in enumerate(times):
        seen = light.copy()
        height, width = seen.shape[:2]
        if moving:
            left = int(width * (0.1 + 0.7 * k / max(1, len(times) - 1)))
            seen[height // 3 : 2 * height // 3, left : left + width // 12] = 1.5
        step = round(drift * k / max(1, len(times) - 1))
        seen = np.roll(seen, (step, -step), (0, 1))
        linear = (seen * (level * time / middle)).clip(0, None)
        linear = linear + rng.normal(size=linear.shape) * np.sqrt(linear.clip(0, 1) * noise[0] + noise[1])
        codes = np.interp(linear.clip(0, 1), response, CODES)
        stream = io.BytesIO()
        picture = Image.fromarray((codes * 255).round().astype(np.uint8))
        exif = Image.Exif()
        exif[271], exif[272] = "Acme", "One"
        written = TIMES.get(time, (round(time * 1_000_000), 1_000_000))
        exif.get_ifd(0x8769).update({33434: IFDRational(*written), 33437: 8.0, 34855: 100})
        picture.save(stream, "JPEG", quality=quality, exif=exif)
        shots.append(stream.getvalue())
    return shots, response


def stops(times):
    """Exposures of times, in stops."""
    return [math.log2(time) for time in times]
