"""Light in and out: OpenEXR and Radiance .hdr files as linear Rec. 709 arrays, checked both ways."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from hdrgan.files import exr, rgbe
from hdrgan.files.atomic import write_atomic
from hdrgan.files.limits import RadianceFileError as RadianceFileError  # part of this module's names
from hdrgan.files.primaries import D65, REC709, XYZ_TO_REC709, to_rec709
from hdrgan.light.cancellation import check_cancelled
from hdrgan.version import __version__

log = logging.getLogger(__name__)

MOST_PIXELS = 1 << 27
"""16,384 x 8,192: the largest panoramas in use; 1.6 GB as float32."""

NOMINAL_WHITE = 203.0
"""cd/m2 of 1.0, for software that wants a number: the reference white of ITU-R BT.2408. Our radiance is relative."""

_HALF_MAX = 65504.0
_OVERFLOW_SHARE = 1e-3  # of the pixels
_TRACE = 1e-3  # of all light; what resampling, lossy codecs and colours outside of Rec. 709 take below zero
_SCALE_NOTE = "Relative scene-linear light: 1.0 is the photo's white at EV 0; light of 2^n clips at EV -n."


def load_radiance(path: str | os.PathLike[str]) -> np.ndarray:
    """Read an .exr or .hdr file, known by its content, as light.

    EXR: channels R G B (or those of its only layer), or luminance; any compression; the data window. Radiance: flat
    and both run-length codings, RGBE and XYZE, all eight orientations, divided by EXPOSURE and COLORCORR. Stated
    primaries are converted to Rec. 709 with Bradford adaptation; what falls outside of Rec. 709 is cut at 0.

    Returns:
        (H, W, 3) float32, linear Rec. 709, finite, >= 0, top row first.

    Raises:
        RadianceFileError: naming the file, when it cannot be read, is damaged, cut off or too large, has no colours,
            or holds NaN, infinite or negative values (but see `_refuse_impossible` for what is mended).
    """
    with _opened(path) as file:
        return decode_radiance(file.read(), MOST_PIXELS, Path(path).name)


def radiance_shape(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Rows and columns of what `load_radiance` gives, by the file's header alone.

    Raises:
        RadianceFileError: as there, but for what only the pixels show.
    """
    with _opened(path) as file:
        if is_radiance(file.peek(16)) == "OpenEXR":
            return exr.read_header(file, os.fstat(file.fileno()).st_size, MOST_PIXELS)[2]
        header = rgbe.read_header(file.read(2 * rgbe.LONGEST_HEADER), MOST_PIXELS)
    return (header.lines, header.pixels) if header.first[1] == "Y" else (header.pixels, header.lines)


def save_exr(
    path: str | os.PathLike[str],
    radiance: np.ndarray,
    *,
    invented: np.ndarray | None = None,
    metadata: Mapping[str, str | float] | None = None,
    alpha: np.ndarray | None = None,
) -> None:
    """Write light as OpenEXR: half floats, ZIP, channels R G B and, where given, `invented` and A.

    Args:
        path: where to; an older file is replaced in one step.
        radiance: (H, W, 3) linear Rec. 709, finite, >= 0; values above 65,504, the most a half holds, are cut there.
        invented: (H, W) in [0, 1], the share of each pixel's light that was made up.
        metadata: further attributes; "comments" is put before the note on scale.
        alpha: (H, W) uint8 or uint16 opacity, of light that is laid on white; OpenEXR wants it on black, so that is
            how it is written.

    Raises:
        ValueError: for NaN, infinite or negative light.
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    _check(radiance)
    opacity = None
    if alpha is not None:
        opacity = alpha.astype(np.float32) / np.iinfo(alpha.dtype).max
        radiance = np.maximum(radiance - (1 - opacity)[..., None], 0) * (opacity > 0)[..., None]
    half = np.minimum(radiance, _HALF_MAX).astype(np.float16)
    channels = {name: np.ascontiguousarray(half[..., k]) for k, name in enumerate("RGB")}
    del half
    check_cancelled()
    if opacity is not None:
        channels["A"] = opacity.astype(np.float16)
    if invented is not None:
        if invented.shape != radiance.shape[:2]:
            raise ValueError(f"invented is {invented.shape}, the picture {radiance.shape[:2]}")
        channels["invented"] = np.ascontiguousarray(invented, dtype=np.float16)
    attributes: dict[str, Any] = {
        "chromaticities": (*REC709, *D65),
        "whiteLuminance": NOMINAL_WHITE,
        "software": f"hdrgan {__version__}",
    } | _with_note(metadata)
    check_cancelled()
    write_atomic(path, exr.encode(channels, attributes))


def save_hdr(
    path: str | os.PathLike[str], radiance: np.ndarray, *, metadata: Mapping[str, str | float] | None = None
) -> None:
    """Write light as Radiance .hdr: run-length coded RGBE, EXPOSURE 1, Rec. 709 primaries, top row first.

    Args:
        path: where to; an older file is replaced in one step.
        radiance: (H, W, 3) linear Rec. 709, finite, >= 0. A channel keeps 8 bits of the pixel's brightest one.
        metadata: further header lines, as NAME=value; "comments" is put before the note on scale.

    Raises:
        ValueError: for NaN, infinite or negative light.
        OSError: naming ``path``, when it cannot be written; an older file is then still whole.
    """
    _check(radiance)
    if float(radiance.max(initial=0)) > 1e38:
        raise ValueError("light above 1e38 does not fit the .hdr format")
    height, width = radiance.shape[:2]
    lines = ["#?RADIANCE", f"SOFTWARE=hdrgan {__version__}"]
    for name, value in _with_note(metadata).items():
        word = "".join(c if c.isalnum() else "_" for c in name).upper()
        lines.append(f"{word}={' '.join(str(value).split())[:1000]}")
    primaries = " ".join(f"{c:.4f}" for c in (*REC709, *D65))
    lines += ["EXPOSURE=1.000000", f"PRIMARIES={primaries}", "FORMAT=32-bit_rle_rgbe"]
    head = "\n".join(lines) + f"\n\n-Y {height} +X {width}\n"
    write_atomic(path, head.encode("utf-8", "replace"), *rgbe.encode(radiance))


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[BufferedReader]:
    """A file of either kind; what goes wrong with it is an error that names it."""
    try:
        if not os.path.isfile(path):
            raise RadianceFileError("there is no such file" if not os.path.exists(path) else "it is not a file")
        with open(path, "rb") as file:
            start = file.peek(16)
            if not start or is_radiance(start) is None:
                raise RadianceFileError("it is neither OpenEXR nor Radiance .hdr" if start else "it is empty")
            yield file
    except RadianceFileError as error:
        raise RadianceFileError(f"{os.fspath(path)}: {error}.") from error.__cause__
    except OSError as error:
        raise RadianceFileError(f"{os.fspath(path)}: it cannot be read ({error.strerror or error}).") from error
    except MemoryError as error:
        raise RadianceFileError(f"{os.fspath(path)}: there is not enough memory to open it.") from error
    except Exception as error:  # an unexpected error of a library: the file is damaged
        raise RadianceFileError(f"{os.fspath(path)}: it is damaged.") from error


def is_radiance(data: bytes) -> str | None:
    """ "OpenEXR" or "Radiance .hdr" by the first bytes of a file; None for everything else."""
    return "OpenEXR" if data.startswith(exr.MAGIC) else "Radiance .hdr" if data.startswith(rgbe.MAGIC) else None


def decode_radiance(data: bytes, most_pixels: int, name: str = "") -> np.ndarray:
    """The bytes of an .exr or .hdr file as light; as `load_radiance`, but that errors do not name the file."""
    if data.startswith(exr.MAGIC):
        radiance, primaries, half = exr.read(data, most_pixels)
        _refuse_impossible(radiance, half=half, name=name)
        matrix = to_rec709(primaries)
        return radiance if matrix is None else _multiply(radiance, matrix)
    header = rgbe.read_header(data, most_pixels)
    stored = rgbe.decode(data, header)  # (lines, pixels, 3)
    matrix = XYZ_TO_REC709 if header.xyz else to_rec709(header.primaries)
    if header.exposure != (1.0, 1.0, 1.0):
        matrix = (np.eye(3) if matrix is None else matrix) / np.array(header.exposure)
    radiance = _upright(stored, header.first, header.second)
    if matrix is not None:
        radiance = _multiply(radiance, matrix)
        _refuse_impossible(radiance)
    return radiance


def _upright(stored: np.ndarray, first: str, second: str) -> np.ndarray:
    """Turn scanlines as stored into rows from the top and columns from the left."""
    if first[1] == "X":
        stored, first, second = stored.transpose(1, 0, 2), second, first
    if first[0] == "+":  # y grows upwards
        stored = stored[::-1]
    if second[0] == "-":
        stored = stored[:, ::-1]
    return np.ascontiguousarray(stored)


def _refuse_impossible(radiance: np.ndarray, *, half: bool = False, name: str = "") -> None:
    """Refuse NaN, infinite and negative values, saying how many pixels hold them; (H, W, 3), mended in place.

    Two things are mistakes of how a scene was stored, not of the scene, and are mended: a handful of infinite pixels
    in a half file, which is light beyond the 65,504 that a half holds (the sun); and traces of negative light, which
    the lossy codecs of OpenEXR and resampling leave beside strong edges.
    """
    # One pass tells whether there is anything to count: NaN fails every comparison.
    if 0 <= float(radiance.min()) and float(radiance.max()) < np.inf:
        return
    total = radiance.shape[0] * radiance.shape[1]
    if half:
        overflown = radiance == np.inf
        count = int(overflown.any(-1).sum())
        if 0 < count <= max(1, _OVERFLOW_SHARE * total):
            log.warning("%s: %d pixels beyond the range of half floats are set to %g", name, count, _HALF_MAX)
            radiance[overflown] = _HALF_MAX
    for what, is_wrong in (("not numbers (NaN)", np.isnan), ("infinite", np.isinf)):
        if count := int(is_wrong(radiance).any(-1).sum()):
            raise RadianceFileError(f"{count} of its {total} pixels are {what}")
    lowest, mean = float(radiance.min()), float(radiance.mean(dtype=np.float64))
    if lowest >= 0:
        return
    count = int((radiance < 0).any(-1).sum())
    missing = -float(np.minimum(radiance, 0).mean(dtype=np.float64))
    if missing > _TRACE * mean or lowest < -mean:
        raise RadianceFileError(f"{count} of its {total} pixels are negative, down to {lowest:.3g}")
    log.warning("%s: %d of %d pixels hold traces of negative light, set to 0", name or "a scene", count, total)
    np.maximum(radiance, 0, out=radiance)


def _multiply(radiance: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Apply a 3 x 3 matrix to (H, W, 3) a band of rows at a time; cut what becomes negative at 0."""
    for start in range(0, radiance.shape[0], 64):
        band = radiance[start : start + 64].astype(np.float64) @ matrix.T
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
            radiance[start : start + 64] = np.maximum(band, 0)
    return radiance


def _check(radiance: np.ndarray) -> None:
    if radiance.ndim != 3 or radiance.shape[2] != 3 or 0 in radiance.shape:
        raise ValueError(f"radiance is (H, W, 3), got {radiance.shape}")
    if not (float(radiance.min()) >= 0 and float(radiance.max()) < np.inf):
        raise ValueError("radiance holds NaN, infinite or negative values")


def _with_note(metadata: Mapping[str, str | float] | None) -> dict[str, str | float]:
    own = dict(metadata or {})
    return own | {"comments": " ".join(filter(None, (str(own.get("comments", "")).strip(), _SCALE_NOTE)))}
