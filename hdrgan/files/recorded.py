"""What a file records of its light, beyond what its picture shows: by a gain map, by PQ or HLG, or as light itself."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from hdrgan.files import colour, transfer
from hdrgan.files.gain_map import GainMap
from hdrgan.files.limits import Decoded
from hdrgan.light.parallel import each
from hdrgan.light.srgb import linear_to_srgb, srgb_to_linear

_ROWS = 64
_WIDER = 1.02  # what a channel at its most gives in Rec. 709, from which on primaries count as wider
_CLIPPED = 0.99  # of the largest code: what is brighter may have clipped in the camera
_NEARLY, _STRONGER = 0.8, 1.01  # light of a channel in sRGB, and how much more than in the file's own primaries
_FINE = 1 << 16


class Recorded(NamedTuple):
    """Light that a file records, in the orientation in which it is stored.

    Attributes:
        pixels: (H, W, 3) uint16 sRGB, what a screen that ends at white shows of it; None where that is the file's own
            picture.
        light: (H, W, 3) float32, linear Rec. 709, >= 0, 1.0 = the picture's white.
        source: what recorded it: "gain map", "PQ", "HLG" and so on.
        gain_map: from the picture shown to the light, where the file holds one.
        ceiling: light that a channel can record at most; what reaches it may have been brighter.
        response: (256,) float32 inverse response by which ``pixels`` show the light; None is sRGB.
    """

    pixels: np.ndarray | None
    light: np.ndarray
    source: str
    gain_map: GainMap | None = None
    ceiling: float = float("inf")
    response: np.ndarray | None = None


def recorded_light(decoded: Decoded, *, gain_map: bool = True) -> Recorded | None:
    """The light that a decoded file records; None for an ordinary photo.

    Args:
        decoded: what a decoder gave.
        gain_map: whether a gain map counts.
    """
    if decoded.light is not None:
        light = _on_white(decoded.light, decoded)
        curve = decoded.light_response
        return Recorded(shown(light, curve), light, decoded.light_source, None, decoded.light_ceiling, curve)
    gains = decoded.gain_map if gain_map else None
    coding = colour.hdr_coding(decoded.coded, decoded.icc) if decoded.space != "cmyk" else None
    if coding is not None:
        light = transfer.to_light(_colours(decoded), coding.transfer, coding.primaries, coding.matrix)
        if gains is not None and gains.base_is_hdr:
            picture = shown(_on_white(gains.alternate(light.copy()), decoded))
            return Recorded(picture, _on_white(light, decoded), "gain map", turned_round(gains))
        light = _on_white(light, decoded)
        return Recorded(shown(light), light, transfer.NAMES[coding.transfer])
    if gains is None or gains.base_is_hdr or decoded.space == "cmyk":
        return None
    return Recorded(None, _on_white(_behind(decoded, gains), decoded), "gain map", gains)


def beyond_srgb(decoded: Decoded) -> np.ndarray | None:
    """Light near 1 and above in colours that sRGB cannot hold, which converting clips though the camera did not.

    Returns:
        (H, W, 3) float16, linear Rec. 709: the light of such channels, 0 everywhere else; None where there are none.
    """
    if decoded.space != "rgb" or decoded.icc is None or colour.is_srgb(decoded.icc):
        return None
    parts = colour.linear_parts(decoded.icc)
    if parts is None or float(parts[1].max()) < _WIDER:
        return None
    curves, matrix = parts
    codes = _colours(decoded)
    most = np.iinfo(codes.dtype).max
    tables = np.ascontiguousarray(curves[:, :: 257 if most == 255 else 1])
    wide = np.zeros(codes.shape, np.float16)

    def look(top: int) -> bool:
        rows = slice(top, top + _ROWS)
        own = np.stack([tables[k][codes[rows, :, k]] for k in range(3)], -1)
        light = own @ np.float32(matrix.T)
        measured = codes[rows].max(-1, keepdims=True) < _CLIPPED * most
        # What is only near white in sRGB would be taken for half clipped; greys are as near white in both.
        outside = light > np.maximum(_NEARLY, _STRONGER * own.max(-1, keepdims=True))
        np.multiply(light, outside & measured, out=wide[rows], casting="same_kind")
        return bool(wide[rows].any())

    found = each(look, range(0, codes.shape[0], _ROWS))
    return wide if any(found) else None


def turned_round(gains: GainMap) -> GainMap:
    """The same map with its two renditions exchanged."""
    return replace(
        gains,
        base_offset=gains.alternate_offset,
        alternate_offset=gains.base_offset,
        base_headroom=gains.alternate_headroom,
        alternate_headroom=gains.base_headroom,
        jpeg=None,
    )


def shown(light: np.ndarray, response: np.ndarray | None = None) -> np.ndarray:
    """Light up to white as (H, W, 3) uint16 codes, by sRGB or an inverse response (256,); what is brighter is white."""
    position = np.linspace(0, 1, _FINE)
    # Square roots space the table's entries about as evenly as sRGB does.
    linear = position**2
    encoded = linear_to_srgb(linear)
    if response is not None:
        encoded = np.interp(linear, response, np.linspace(0, 1, len(response)))
    table = np.round(encoded * 65535).astype(np.uint16)
    out = np.empty(light.shape, np.uint16)

    def encode(top: int) -> None:
        rows = slice(top, top + _ROWS)
        place = np.sqrt(np.clip(light[rows], 0, 1)) * np.float32(_FINE - 1) + np.float32(0.5)
        np.take(table, place.astype(np.int32), out=out[rows], mode="clip")

    each(encode, range(0, light.shape[0], _ROWS))
    return out


def _colours(decoded: Decoded) -> np.ndarray:
    """(H, W, 3) codes without opacity."""
    pixels = decoded.pixels[..., :-1] if decoded.has_alpha else decoded.pixels
    return np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else pixels


def _behind(decoded: Decoded, gains: GainMap) -> np.ndarray:
    """The light behind an ordinary picture with a gain map: applied in the picture's own primaries."""
    codes, icc = _colours(decoded), decoded.icc if decoded.space == "rgb" else None
    parts = colour.linear_parts(icc) if icc is not None and not colour.is_srgb(icc) else None
    matrix: np.ndarray | None = None
    if parts is not None:
        curves, matrix = parts
    else:
        if decoded.icc is not None:
            pixels = decoded.pixels[..., :-1] if decoded.has_alpha else decoded.pixels
            codes = colour.to_srgb(np.ascontiguousarray(pixels), decoded.space, decoded.icc)
        curves = np.tile(srgb_to_linear(np.linspace(0, 1, 65536)).astype(np.float32), (3, 1))
    step = 257 if codes.dtype == np.uint8 else 1
    tables = np.ascontiguousarray(curves[:, ::step])
    light = np.empty(codes.shape, np.float32)

    def decode(top: int) -> None:
        rows = slice(top, top + _ROWS)
        for k in range(3):
            light[rows, :, k] = tables[k][codes[rows, :, k]]

    each(decode, range(0, len(light), _ROWS))
    if matrix is not None and not gains.base_primaries:
        _multiply(light, matrix)
    light = gains.alternate(light)
    if matrix is not None and gains.base_primaries:
        _multiply(light, matrix)
    return light


def _multiply(light: np.ndarray, matrix: np.ndarray) -> None:
    def apply(top: int) -> None:
        rows = slice(top, top + _ROWS)
        light[rows] = np.maximum(light[rows] @ np.float32(matrix.T), 0)

    each(apply, range(0, light.shape[0], _ROWS))


def _on_white(light: np.ndarray, decoded: Decoded) -> np.ndarray:
    """Light laid on white paper where the picture is not opaque."""
    if not decoded.has_alpha:
        return light
    opacity = decoded.pixels[..., -1:].astype(np.float32) / np.float32(np.iinfo(decoded.pixels.dtype).max)
    laid: np.ndarray = light * opacity + (1 - opacity)
    return laid
