"""Light for the browser: small, bounded, and true to a fraction of what a screen shows."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from hdrgan.light.tonemap import KNEE, shoulder, white_point
from hdrgan.page.viewer import BRIGHTEST, DARKEST, MAX_SIDE, STEPS, pack_light


def unpack(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Radiance and invented share, as the script in the page reads them."""
    width, height = struct.unpack_from("<HH", data)
    raw = np.frombuffer(zlib.decompress(data[12:]), np.uint8).reshape(7, height, width)
    codes = (raw[0:6:2].astype(np.uint16) << 8) + raw[1:6:2]
    codes = np.cumsum(codes, axis=2, dtype=np.uint16)
    light = np.where(codes > 0, 2.0 ** (codes / STEPS + DARKEST), 0)
    return light.transpose(1, 2, 0), raw[6] / 255


def test_light_comes_back_within_half_a_step():
    random = np.random.default_rng(0)
    radiance = (2.0 ** random.uniform(DARKEST + 1, BRIGHTEST, (37, 53, 3))).astype(np.float32)
    invented = random.random((37, 53), np.float32)
    light, share = unpack(pack_light(radiance, invented))
    assert np.abs(np.log2(light / radiance)).max() <= 0.5001 / STEPS
    assert np.abs(share - invented).max() <= 0.5001 / 255


def test_black_stays_black_and_the_sun_is_bounded():
    radiance = np.zeros((2, 3, 3), np.float32)
    radiance[1, 1] = 1e9
    light, _ = unpack(pack_light(radiance, np.zeros((2, 3), np.float32)))
    assert light[0].max() == 0
    assert light[1, 1] == pytest.approx([2.0**BRIGHTEST] * 3)


def test_the_tone_curve_travels_with_the_light():
    for peak in (0.5, 4.0, 1000.0):
        radiance = np.full((2, 3, 3), peak, np.float32)
        sent = struct.unpack_from("<ff", pack_light(radiance, np.zeros((2, 3), np.float32)), 4)
        assert sent == pytest.approx(shoulder(white_point(radiance)))
        softness, slope = sent
        assert KNEE + slope * np.log1p((white_point(radiance) - KNEE) / softness) == pytest.approx(1, abs=1e-4)


def test_smooth_light_travels_in_few_bytes():
    radiance = np.repeat(np.linspace(0.01, 4, 512, dtype=np.float32)[None, :, None], 512, 0).repeat(3, -1)
    assert len(pack_light(radiance, np.zeros((512, 512), np.float32))) < 512 * 512 / 4


def test_what_would_be_too_large_for_the_page_is_refused():
    with pytest.raises(ValueError, match=f"at most {MAX_SIDE} pixels"):
        pack_light(np.zeros((1, MAX_SIDE + 1, 3), np.float32), np.zeros((1, MAX_SIDE + 1), np.float32))
    with pytest.raises(ValueError, match=r"\(3, 2\)"):
        pack_light(np.zeros((2, 3, 3), np.float32), np.zeros((3, 2), np.float32))
