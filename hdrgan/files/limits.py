"""Limits of decoding, the errors that refuse a file, and what every decoder returns."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from hdrgan.files.gain_map import GainMap


class PhotoError(ValueError):
    """A photo that cannot be taken; the message is one plain sentence: what is wrong and what to do."""


_PACKAGE = re.compile(r"needs another package: pip install [\w.-]+; or ")


def missing_package(kind: str, package: str, instead: str) -> PhotoError:
    """The refusal of a file whose reader is not installed: what to install, or what to give in its place."""
    return PhotoError(f"This is a {kind}, which needs another package: pip install {package}; or {instead}.")


def for_visitors(sentence: str) -> str:
    """The sentence of a `PhotoError` for a visitor of a server, who cannot install packages there."""
    return _PACKAGE.sub("cannot be read on this server; ", sentence)


class RadianceFileError(ValueError):
    """A radiance file that cannot be taken; the message is one plain sentence: which file and what is wrong."""


@dataclass(frozen=True)
class PhotoLimits:
    """Ceilings that are checked before a decoder allocates anything.

    Args:
        bytes: size of the file.
        megapixels: width times height, in millions; 120 admits the largest camera sensors of today.
        side: the longer side in pixels; 65,535 is the most that JPEG can hold.
        scans: passes of a JPEG; cameras write at most a dozen, and each one costs a walk over the whole picture.
        frames: pictures in one file; only the first is ever decoded.
    """

    bytes: int = 768 << 20
    megapixels: float = 120.0
    side: int = 65_535
    scans: int = 100
    frames: int = 1000

    def check_bytes(self, count: int) -> None:
        """Refuse a file of more than `bytes`."""
        if count > self.bytes:
            raise PhotoError(
                f"The file is larger than {self.bytes / 2**20:.0f} MB, the most this service takes; give a smaller one."
            )

    def check_size(self, width: int, height: int) -> None:
        """Refuse an empty picture, and one with too many pixels or too long a side."""
        if width < 1 or height < 1:
            raise PhotoError("The file says its picture is empty (width or height 0); export it again.")
        if width * height > self.megapixels * 1e6:
            raise PhotoError(
                f"The picture is {width} x {height} pixels ({width * height / 1e6:,.1f} megapixels); "
                f"give one of at most {self.megapixels:g} megapixels."
            )
        if max(width, height) > self.side:
            raise PhotoError(
                f"The picture is {width} x {height} pixels; give one whose longer side is at most {self.side}."
            )

    def check_frames(self, count: int) -> None:
        """Refuse a file of more than `frames` pictures."""
        if count > self.frames:
            raise PhotoError(f"The file holds more than {self.frames} pictures; give a single photo.")


@dataclass
class Decoded:
    """Pixels as the file stores them, and what the file says about them.

    Args:
        pixels: (H, W, C) uint8 or uint16 on the full range of its type; C = 1 or 2 (grey, grey and alpha),
            3 or 4 (RGB, RGB and alpha), or 4 for CMYK (0 = no ink).
        space: "gray", "rgb" or "cmyk".
        icc: colour profile; None means sRGB.
        exif: EXIF block, with or without the name ``Exif`` before its TIFF header.
        orientation: EXIF orientation 1..8 where the container decides it, None where EXIF does.
        jpeg: the file's own JPEG, without metadata, where it may stand for the pixels.
        coded: code points of ITU-T H.273 for primaries and transfer, where the file states them.
        gain_map: from these pixels to a brighter or darker rendition, stored as they are.
        light: (H, W, 3) float32 linear Rec. 709, where the file holds light and not a picture; with what holds it, the
            most that one of its channels can record, and the inverse response (256,) to show it by (None is sRGB).
        xmp, iptc: packets of metadata as stored.
    """

    pixels: np.ndarray
    space: str
    icc: bytes | None = None
    exif: bytes | None = None
    orientation: int | None = None
    jpeg: bytes | None = field(default=None, repr=False)
    coded: tuple[int, int] | None = None
    gain_map: GainMap | None = None
    light: np.ndarray | None = field(default=None, repr=False)
    light_source: str = ""
    light_ceiling: float = float("inf")
    light_response: np.ndarray | None = field(default=None, repr=False)
    xmp: bytes | None = field(default=None, repr=False)
    iptc: bytes | None = field(default=None, repr=False)

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is opacity."""
        return self.space != "cmyk" and self.pixels.shape[2] in (2, 4)


Decoder = Callable[[bytes, PhotoLimits], Decoded]


def damaged(kind: str) -> PhotoError:
    """The refusal of a file that breaks the rules of its own format."""
    return PhotoError(f"This {kind} file is damaged; export or download it again.")


def cut_off(kind: str) -> PhotoError:
    """The refusal of a file that ends too early."""
    return PhotoError(f"This {kind} file is cut off before its end; copy or upload it again.")


@contextmanager
def refusing(kind: str) -> Iterator[None]:
    """Turn whatever a library raises on a bad file into a refusal, so that no traceback reaches a user."""
    try:
        yield
    except (PhotoError, MemoryError):
        raise
    except Exception as error:
        # Libraries raise their own types, OSError, ValueError, struct.error, IndexError and more for one cause.
        raise damaged(kind) from error
