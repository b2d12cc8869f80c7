"""Colour as files declare it (ICC profiles, code points, gamma and chromaticities) turned into sRGB."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import imagecodecs
import numpy as np

from hdrgan.files import primaries as primary
from hdrgan.files import transfer
from hdrgan.files.primaries import CODED, D65, REC709
from hdrgan.light.parallel import cores, each
from hdrgan.light.srgb import linear_to_srgb, srgb_to_linear

log = logging.getLogger(__name__)

_GAMMA_22, _GAMMA_28, _LINEAR = 4, 5, 8  # ITU-T H.273, table 3
_SIGNATURES = {"gray": b"GRAY", "rgb": b"RGB ", "cmyk": b"CMYK"}
_STRIP_PIXELS = 1 << 19
_FINE = 1 << 20  # steps of the encoding table: where sRGB is steepest, one is less than a 16-bit code


class HdrCoding(NamedTuple):
    """How the codes of a picture stand for more light than white.

    Attributes:
        transfer: `hdrgan.files.transfer.PQ` or ``HLG``.
        primaries: code point of ITU-T H.273, table 2.
        matrix: from these primaries to Rec. 709; None changes nothing.
    """

    transfer: int
    primaries: int
    matrix: np.ndarray | None


def srgb_profile() -> bytes:
    """A small ICC profile of sRGB, the same bytes on every day."""
    profile = bytearray(imagecodecs.cms_profile("srgb"))
    profile[24:36] = bytes.fromhex("07d0 0001 0001 0000 0000 0000".replace(" ", ""))  # the date of creation
    return bytes(profile)


def coded_profile(primaries: int, transfer: int) -> bytes | None:
    """The profile behind the code points of ITU-T H.273, as PNG cICP, AVIF and HEIC use them; None for sRGB.

    PQ and HLG have none: they are no curves of a picture that ends at white; see `hdr_coding`.
    """
    chromaticities = CODED.get(primaries, REC709)
    gamma = {_GAMMA_22: 2.2, _GAMMA_28: 2.8, _LINEAR: 1.0}.get(transfer)
    # The video curves (BT.601, 709, 2020) are shown as sRGB is, and so are code points that say nothing.
    if gamma is None and chromaticities == REC709:
        return None
    return _rgb_profile(D65, chromaticities, gamma)


def hdr_coding(coded: tuple[int, int] | None, icc: bytes | None) -> HdrCoding | None:
    """How a picture is HDR coded, by code points (primaries, transfer) or by its profile; None where it is not.

    A profile says PQ or HLG by a ``cicp`` tag (ICC.1:2022, 9.2.17), by the shape of its curves, or, where it holds
    tables made for printers, by nothing but its name.
    """
    if coded is not None:
        primaries, kind = coded
        if kind not in transfer.NAMES:
            return None
        return HdrCoding(kind, primaries, primary.coded_to_rec709(primaries))
    if icc is None or not _fits(icc, "rgb"):
        return None
    tag = _icc_tag(icc, b"cicp")
    if tag is not None and len(tag) >= 10:
        return hdr_coding((tag[8], tag[9]), None)
    named = re.search(rb"(PQ|HLG|ST ?2084)", (_icc_tag(icc, b"desc") or b"").replace(b"\0", b""))
    if named is None and not _may_be_hdr(icc):
        return None
    parts = linear_parts(icc)
    if parts is not None:
        curves, matrix = parts
        curve = transfer.of_curve(curves[1][:: 65535 // 255])
        if curve is not None:
            # The luminance of HLG is that of Rec. 2020 unless the matrix is another one by far.
            return HdrCoding(curve, 9, matrix)
    if named is not None and parts is None:
        return HdrCoding(transfer.HLG if named[1] == b"HLG" else transfer.PQ, 9, primary.coded_to_rec709(9))
    return None


def linear_parts(icc: bytes) -> tuple[np.ndarray, np.ndarray] | None:
    """An RGB profile as the curves of its channels and a matrix to linear Rec. 709.

    Returns:
        (3, 65536) float32 light of each code of each channel, from 0 to 1, and the (3, 3) matrix that follows; None
        where the profile is more than that.
    """
    tables = _additive_tables(icc) if _fits(icc, "rgb") else None
    if tables is None:
        return None
    matrix = np.stack([table[-1] for table in tables], 1)  # column k: what channel k at its most gives
    strongest = np.abs(matrix).argmax(0)
    curves = np.stack([table[:, j] / table[-1, j] for table, j in zip(tables, strongest, strict=True)])
    return curves.astype(np.float32), matrix


def _may_be_hdr(icc: bytes) -> bool:
    """Whether a curve of the profile is far steeper than that of any screen which ends at white: a cheap first look."""
    body = _icc_tag(icc, b"gTRC")
    if body is None or body[:4] != b"curv" or len(body) < 12:
        return False
    count = int.from_bytes(body[8:12], "big")
    if count < 16 or len(body) < 12 + 2 * count:
        return False
    samples = np.frombuffer(body, ">u2", count, 12)
    return bool(samples[count // 2] < 0.11 * 65535)  # PQ 0.01, HLG 0.08; sRGB 0.21, a gamma of 2.6 0.16


def _icc_tag(icc: bytes, name: bytes) -> bytes | None:
    for k in range(min(int.from_bytes(icc[128:132], "big"), 200)):
        entry = icc[132 + 12 * k : 144 + 12 * k]
        if len(entry) == 12 and entry[:4] == name:
            at, size = (int.from_bytes(entry[j : j + 4], "big") for j in (4, 8))
            return icc[at : at + size] if at + size <= len(icc) else None
    return None


def gamma_profile(gamma: float, chromaticities: Sequence[float] | None, grey: bool) -> bytes | None:
    """The profile behind PNG's gAMA and cHRM; None where they mean sRGB or make no sense.

    Args:
        gamma: exponent of the encoding; 0.45455 stands for sRGB.
        chromaticities: x and y of white, red, green, blue.
        grey: whether the picture has one channel.
    """
    if not 0.2 <= gamma <= 2.0:
        return None
    exponent = None if abs(gamma - 1 / 2.2) < 0.01 else 1 / gamma
    if grey:
        if exponent is None:
            return None
        return bytes(imagecodecs.cms_profile("gray", whitepoint=(*D65, 1.0), gamma=exponent))
    white: Sequence[float] = D65
    primaries: Sequence[float] = REC709
    if chromaticities and all(0 < c < 1 for c in chromaticities):
        white, primaries = chromaticities[:2], chromaticities[2:]
    is_rec709 = np.abs(np.subtract((*white, *primaries), (*D65, *REC709))).max() < 0.005
    if is_rec709 and exponent is None:
        return None
    return _rgb_profile(white, primaries, exponent or (None if is_rec709 else 2.2))


def _rgb_profile(white: Sequence[float], primaries: Sequence[float], gamma: float | None) -> bytes | None:
    curve = {"gamma": gamma} if gamma else {"transferfunction": srgb_to_linear(np.linspace(0, 1, 4096)).astype("f4")}
    try:
        return bytes(imagecodecs.cms_profile("rgb", whitepoint=(*white, 1.0), primaries=list(primaries), **curve))
    except Exception as error:
        log.warning("colour declaration ignored: %s", error)
        return None


def to_srgb(pixels: np.ndarray, space: str, icc: bytes | None) -> np.ndarray:
    """Convert pixels without alpha to sRGB; a profile that cannot be used is ignored, as browsers do.

    Args:
        pixels: (H, W, 1), (H, W, 3) or, CMYK, (H, W, 4), uint8 or uint16, contiguous.
        space: "gray", "rgb" or "cmyk".
        icc: the file's profile; None is sRGB.

    Returns:
        (H, W, 3) of the same type; the array that came in where nothing had to change.
    """
    if icc is not None and _fits(icc, space):
        try:
            return _convert(pixels, space, icc)
        except Exception as error:  # the library's errors have no common type
            log.warning("colour profile ignored: %s", error)
    if space == "cmyk":
        return _from_plain_cmyk(pixels)
    return np.repeat(pixels, 3, axis=2) if space == "gray" else pixels


def is_srgb(icc: bytes) -> bool:
    """Whether an RGB profile says sRGB in effect: it moves no colour of a coarse grid by more than one 8-bit code."""
    if not _fits(icc, "rgb"):
        return False
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(1, -1, 3)
    greys = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, 2)
    probe = np.ascontiguousarray(np.concatenate([grid, greys], 1))
    try:
        moved = _transform(probe, "rgb", icc)
    except Exception as error:
        log.debug("colour profile not usable: %s", error)
        return False
    return int(np.abs(moved.astype(int) - probe).max()) <= 1


def _fits(icc: bytes, space: str) -> bool:
    """Whether this is a whole profile for such pixels (ICC.1:2022, 7.2)."""
    return (
        len(icc) >= 132
        and int.from_bytes(icc[:4], "big") <= len(icc)
        and icc[36:40] == b"acsp"
        and icc[16:20] == _SIGNATURES[space]
        and icc[12:16] not in (b"link", b"abst", b"nmcl")
    )


def _convert(pixels: np.ndarray, space: str, icc: bytes) -> np.ndarray:
    if space == "rgb" and is_srgb(icc):
        return pixels
    tables = _additive_tables(icc) if space == "rgb" and pixels.dtype == np.uint16 else None
    if tables is not None:
        return _by_strips(pixels, lambda strip, out: _apply_tables(strip, tables, out))
    # Every call builds the transform again, which takes a while for printer profiles: one strip for each processor.
    pieces = cores() if pixels.shape[0] * pixels.shape[1] > _STRIP_PIXELS else 1
    return _by_strips(pixels, lambda strip, out: _transform(strip, space, icc, out), pieces)


def _transform(pixels: np.ndarray, space: str, icc: bytes, out: np.ndarray | None = None) -> np.ndarray:
    # At 16 bits the library's optimisation trades 3,000 code values for speed; at 8 bits it costs less than one.
    flags = int(imagecodecs.CMS.FLAGS.BLACKPOINTCOMPENSATION)
    if pixels.dtype == np.uint16:
        flags |= int(imagecodecs.CMS.FLAGS.NOOPTIMIZE)
    into: Any = out
    return imagecodecs.cms_transform(
        np.ascontiguousarray(pixels[..., 0] if space == "gray" else pixels),
        icc,
        srgb_profile(),
        colorspace=space,
        outcolorspace="rgb",
        intent=imagecodecs.CMS.INTENT.RELATIVE_COLORIMETRIC,
        flags=flags,
        out=into,
    )


@lru_cache(maxsize=4)
def _additive_tables(icc: bytes) -> list[np.ndarray] | None:
    """Linear sRGB light of each code value of each channel, (65536, 3) float32 a channel.

    Nearly every RGB profile is three curves and a matrix, so that linear light is the sum of what each channel gives
    alone. Three look-ups and two additions are then as exact as the library without its optimisation and several times
    faster. None where a random sample shows that this profile is not so.
    """
    linear = bytes(imagecodecs.cms_profile("rgb", whitepoint=(*D65, 1.0), primaries=list(REC709), gamma=1.0))

    def light(codes: np.ndarray) -> np.ndarray:
        lit = imagecodecs.cms_transform(
            codes, icc, linear, colorspace="rgb", outcolorspace="rgb", outdtype="f4", intent=1, flags=0x100
        )
        return np.asarray(lit[0])

    ramps = np.zeros((3, 1, 65536, 3), np.uint16)
    for channel in range(3):
        ramps[channel, 0, :, channel] = np.arange(65536)
    black = light(np.zeros((1, 1, 3), np.uint16))
    tables = [light(ramp) - black for ramp in ramps]
    sample = np.random.default_rng(0).integers(0, 65536, (1, 4096, 3), dtype=np.uint16)
    expected = light(sample) - black
    found = sum(table[sample[0, :, k]] for k, table in enumerate(tables))
    if np.abs(black).max() > 1e-4 or np.abs(found - expected).max() > 1e-3:
        return None
    white = sum(table[-1] for table in tables)
    return [table / white for table in tables]  # white stays white to the last code


def _apply_tables(strip: np.ndarray, tables: list[np.ndarray], out: np.ndarray) -> None:
    light = np.take(tables[0], strip[..., 0], axis=0)
    light += np.take(tables[1], strip[..., 1], axis=0)
    light += np.take(tables[2], strip[..., 2], axis=0)
    np.clip(light, 0, 1, out=light)
    light *= _FINE
    np.take(_fine_encoding(), light.astype(np.int32), out=out, mode="clip")


@lru_cache(maxsize=1)
def _fine_encoding() -> np.ndarray:
    return np.round(linear_to_srgb(np.linspace(0, 1, _FINE + 1)) * 65535).astype(np.uint16)


def _from_plain_cmyk(pixels: np.ndarray) -> np.ndarray:
    """Ink on paper without a profile: each channel is (1 - ink)(1 - black)."""

    def convert(strip: np.ndarray, out: np.ndarray) -> None:
        full = np.iinfo(strip.dtype).max
        clear = (full - strip).astype(np.uint32)
        out[:] = (clear[..., :3] * clear[..., 3:] + full // 2) // full

    return _by_strips(pixels, convert)


def flatten(pixels: np.ndarray) -> np.ndarray:
    """Lay (H, W, 4) pixels, the last channel opacity, on white, in encoded values as browsers do; gives (H, W, 3)."""

    def lay(strip: np.ndarray, out: np.ndarray) -> None:
        full = np.iinfo(strip.dtype).max
        opacity = strip[..., 3:].astype(np.uint32)
        out[:] = (strip[..., :3] * opacity + full * (full - opacity) + full // 2) // full

    return _by_strips(pixels, lay)


def _by_strips(
    pixels: np.ndarray, convert: Callable[[np.ndarray, np.ndarray], object], pieces: int | None = None
) -> np.ndarray:
    """Make (H, W, 3) of (H, W, C) by ``convert(strip, out)`` on all processors, so that intermediates stay small."""
    height, width = pixels.shape[:2]
    rows = max(1, -(-height // pieces) if pieces else _STRIP_PIXELS // width)
    out = np.empty((height, width, 3), pixels.dtype)
    strips = [slice(start, start + rows) for start in range(0, height, rows)]
    each(lambda strip: convert(pixels[strip], out[strip]), strips)
    return out


def to_8_bits(pixels: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8; 16-bit codes are divided by 257 and rounded."""
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    table = ((np.arange(65536, dtype=np.uint32) + 128) // 257).astype(np.uint8)
    shown: np.ndarray = table[pixels]
    return shown
