"""PQ and HLG: codes that stand for more light than white, decoded to linear Rec. 709 relative to a photo's white.

Sources: ITU-R BT.2100-2, tables 4 and 5; ITU-R BT.2408 (diffuse white at 203 cd/m2); ITU-T H.273.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from hdrgan.light.parallel import each

PQ, HLG = 16, 18
"""Transfer characteristics of ITU-T H.273, table 3."""

NAMES = {PQ: "PQ", HLG: "HLG"}
WHITE = 203.0
"""cd/m2 of a diffuse white, which is 1.0 here."""

PQ_PEAK = 10_000.0
HLG_PEAK = 1000.0  # cd/m2 of the nominal screen, for which the system gamma is 1.2
_HLG_GAMMA = 1.2
_LUMINANCE = {1: (0.2126, 0.7152, 0.0722), 9: (0.2627, 0.6780, 0.0593), 12: (0.2290, 0.6917, 0.0793)}
_ROWS = 64


def pq_light(encoded: np.ndarray) -> np.ndarray:
    """cd/m2 of PQ values in [0, 1]."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 4096 * 128, 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
    power = np.clip(encoded, 0, 1) ** (1 / m2)
    light: np.ndarray = PQ_PEAK * (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1)
    return light


def hlg_scene(encoded: np.ndarray) -> np.ndarray:
    """Scene light in [0, 1] of HLG values in [0, 1]."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    encoded = np.clip(encoded, 0, 1)
    scene: np.ndarray = np.where(encoded <= 0.5, encoded**2 / 3, (np.exp((encoded - c) / a) + b) / 12)
    return scene


def to_light(pixels: np.ndarray, transfer: int, primaries: int, matrix: np.ndarray | None) -> np.ndarray:
    """Decode PQ or HLG.

    Args:
        pixels: (H, W, 3) uint8 or uint16 codes over the full range of their type.
        transfer: `PQ` or `HLG`.
        primaries: code point of ITU-T H.273, table 2, for the luminance of HLG.
        matrix: from the file's primaries to Rec. 709; None changes nothing.

    Returns:
        (H, W, 3) float32, linear Rec. 709, >= 0, 1.0 = diffuse white; colours outside of Rec. 709 are cut at 0.
    """
    table = _table(transfer, int(np.iinfo(pixels.dtype).max))
    weights = np.asarray(_LUMINANCE.get(primaries, _LUMINANCE[9]), np.float32)
    out = np.empty(pixels.shape, np.float32)

    def decode(top: int) -> None:
        light = table[pixels[top : top + _ROWS]]
        if transfer == HLG:
            luminance = np.maximum(light @ weights, 1e-9)[..., None]
            light = light * luminance ** np.float32(_HLG_GAMMA - 1) * np.float32(HLG_PEAK / WHITE)
        if matrix is not None:
            light = light @ np.float32(matrix.T)
        np.maximum(light, 0, out=out[top : top + _ROWS])

    each(decode, range(0, pixels.shape[0], _ROWS))
    return out


@lru_cache(maxsize=4)
def _table(transfer: int, peak: int) -> np.ndarray:
    encoded = np.linspace(0, 1, peak + 1)
    light = pq_light(encoded) / WHITE if transfer == PQ else hlg_scene(encoded)
    return light.astype(np.float32)


def of_curve(curve: np.ndarray) -> int | None:
    """PQ or HLG, where a profile's curve (evenly spaced samples from 0 to 1 of light, peak 1) is one of them."""
    encoded = np.linspace(0, 1, len(curve))
    seen = encoded > 0.2
    for transfer, expected in ((PQ, pq_light(encoded) / PQ_PEAK), (HLG, hlg_scene(encoded))):
        ratio = np.log2(np.maximum(curve[seen], 1e-9) / np.maximum(expected[seen], 1e-9))
        if np.abs(ratio).max() < 0.1:
            return transfer
    return None
