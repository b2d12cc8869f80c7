"""What comes out of a photo: its exposures and its light, drawn when asked for, and the files they are saved as."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from hdrgan.files.exif import bracket_exif
from hdrgan.files.photo import Photo
from hdrgan.files.radiance import save_exr, save_hdr
from hdrgan.files.ultrahdr import save_ultrahdr
from hdrgan.files.write import save_jpeg, save_photo_as_jpeg, save_png, save_tiff
from hdrgan.light.parallel import cores, each
from hdrgan.light.rendering import Exposures, RaisedLight, StoredLight
from hdrgan.light.tonemap import tone_map

PICTURE_FORMATS = ("png", "jpg", "tiff")
HDR_FORMATS = ("exr", "hdr", "ultrahdr")
_WRITTEN_AT_ONCE = 700e6  # bytes of exposures that are encoded at the same time; a codec takes as much again


def caption(ev: float, painted: bool = False) -> str:
    """What stands under an exposure: its EV and what that means for the light; ``painted`` frames are no photo."""
    if ev == 0:
        return "EV 0 · as bright as the photo" if painted else "EV 0 · the photo"
    return f"EV {ev:+g} · {2 ** abs(ev):g}× {'more' if ev > 0 else 'less'} light".replace("-", "−")


class Result:
    """A photo, its exposures and its light.

    What is large is made when it is first asked for and kept from then on: who only saves a bracket never holds its
    radiance, and no more than a few exposures at a time.

    Attributes:
        photo: the photo as loaded.
        exposures: one (H, W, 3) array per EV, uint8 or uint16 like the photo, encoded for a screen.
        evs: stops relative to the photo, ascending.
        response: (256,) float32: linear light of each 8-bit code, 0 to 1, that the photo was read with.
        response_note: where that response comes from, in one sentence; "" where nothing was chosen.

    Args:
        photo, exposures, evs, response: as above.
        radiance: the array, or a function that makes it.
        invented: likewise.
    """

    def __init__(
        self,
        photo: Photo,
        exposures: Sequence[np.ndarray],
        evs: Sequence[float],
        radiance: np.ndarray | Callable[[], np.ndarray],
        invented: np.ndarray | Callable[[], np.ndarray],
        response: np.ndarray,
    ):
        self.photo = photo
        self.exposures = exposures
        self.evs = tuple(evs)
        self.response = response
        self.response_note = ""
        self._radiance, self._invented = radiance, invented

    @classmethod
    def of(cls, photo: Photo, evs: Sequence[float], light: StoredLight | RaisedLight) -> Self:
        """A result whose exposures are drawn from light, but for the photo itself at EV 0."""

        def draw(ev: float) -> np.ndarray:
            return photo.pixels if ev == 0 else light.exposure(ev)

        return cls(photo, Exposures(evs, draw), evs, light.radiance, light.invented, light.response)

    def __repr__(self) -> str:
        return f"Result({self.photo!r}, evs={self.evs})"

    @cached_property
    def radiance(self) -> np.ndarray:
        """(H, W, 3) float32, linear Rec. 709, >= 0, 1.0 = the photo's white."""
        return self._radiance() if callable(self._radiance) else self._radiance

    @cached_property
    def invented(self) -> np.ndarray:
        """(H, W) float32 in [0, 1]: share of a pixel's light that the photo did not record."""
        return self._invented() if callable(self._invented) else self._invented

    @property
    def captions(self) -> tuple[str, ...]:
        """One line per exposure, such as ``EV +2 · 4× more light``."""
        return tuple(
            caption(ev, ev == 0 and self.exposures[k] is not self.photo.pixels) for k, ev in enumerate(self.evs)
        )

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """(EV, exposure) pairs, dark to bright."""
        return zip(self.evs, self.exposures, strict=True)

    def tone_mapped(self) -> np.ndarray:
        """All of the light on one screen: (H, W, 3) uint8; see `hdrgan.light.tonemap.tone_map`."""
        return tone_map(self.radiance)

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        format: str = "png",
        hdr: Sequence[str] = ("exr",),
        zip: bool = False,
        keep_gps: bool = False,
    ) -> list[Path]:
        """Write the exposures and the HDR image.

        Args:
            folder: where to; made if it is not there.
            format: of the exposures: "png" (lossless), "jpg" or "tiff". The photo itself, where it came as a JPEG, goes
                into its "jpg" without being compressed again.
            hdr: any of "exr", "hdr" and "ultrahdr".
            zip: put the exposures into one ``<stem>_bracket.zip`` instead of single files.
            keep_gps: let the files say where the photo was taken, where it says so itself.

        Returns:
            The files written: ``<stem>_ev-4.png`` … ``<stem>_ev+4.png`` dark to bright, then ``<stem>.exr`` and so on.

        Raises:
            ValueError: an unknown format.
            OSError: the folder cannot be written.
        """
        one_of(format, PICTURE_FORMATS, "format")
        check_hdr(hdr)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        size = self.photo.width, self.photo.height
        note = json.dumps(self._response_facts()) if self.response_note else ""

        def write(index: int) -> Path:
            ev = self.evs[index]
            path = folder / f"{self.photo.name}_ev{ev:+g}.{format}"
            self._write_frame(
                path, format, index, bracket_exif(self.photo.exif, size, ev, keep_gps=keep_gps, comment=note)
            )
            return path

        at_once = min(cores(), int(_WRITTEN_AT_ONCE / self.photo.pixels.nbytes))
        # From both ends: the darkest works out the light above white, which all dark ones wait for; the brightest does
        # not need it.
        order = sorted(range(len(self.evs)), key=lambda k: -abs(self.evs[k]))
        made = dict(each(lambda k: (k, write(k)), order, workers=max(1, at_once)))
        written = [made[k] for k in range(len(self.evs))]
        if zip:
            written = [_pack(folder / f"{self.photo.name}_bracket.zip", written)]
        return written + self.save_hdr(folder, hdr, keep_gps=keep_gps)

    def _response_facts(self) -> dict[str, Any]:
        """The response as it travels in the files: where it comes from, and its curve."""
        return {"response": self.response_note, "curve": [float(f"{value:.5g}") for value in self.response]}

    def _write_frame(self, path: Path, format: str, index: int, exif: bytes) -> None:
        exposures = self.exposures
        pixels = exposures.passing(index) if isinstance(exposures, Exposures) else exposures[index]
        if format == "png":
            save_png(path, pixels, exif=exif)
        elif format == "tiff":
            save_tiff(path, pixels, exif=exif)
        elif pixels is self.photo.pixels:
            save_photo_as_jpeg(path, self.photo, exif=exif)
        else:
            save_jpeg(path, pixels, exif=exif)

    def save_hdr(
        self,
        folder: str | os.PathLike[str],
        hdr: Sequence[str] = ("exr",),
        *,
        zip: bool = False,
        keep_gps: bool = False,
    ) -> list[Path]:
        """Write only the HDR image: ``<stem>.exr``, ``<stem>.hdr`` and ``<stem>_ultrahdr.jpg``.

        Arguments, errors and answer as in `save`; ``zip`` puts these files into one ``<stem>_hdr.zip``.
        """
        check_hdr(hdr)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        scale = {"comments": "1.0 is the clipping level (white) of the photo; EV 0 is the photo."}
        if self.response_note:
            scale |= {
                "hdrganResponse": self.response_note,
                "hdrganResponseCurve": json.dumps(self._response_facts()["curve"]),
            }
        written = []
        for kind in dict.fromkeys(hdr):
            # Never plain <stem>.jpg: in the photo's own folder that would replace the photo.
            path = folder / f"{self.photo.name}{'_ultrahdr.jpg' if kind == 'ultrahdr' else '.' + kind}"
            if kind == "ultrahdr":
                save_ultrahdr(path, self.photo, self.radiance, keep_gps=keep_gps)
            elif kind == "exr":
                save_exr(path, self.radiance, invented=self.invented, metadata=scale)
            else:
                save_hdr(path, self.radiance, metadata={"comments": scale["comments"]})
            written.append(path)
        return [_pack(folder / f"{self.photo.name}_hdr.zip", written)] if zip else written


def check_hdr(kinds: Sequence[str]) -> None:
    """ValueError unless every kind is a format in which an HDR image can be written."""
    for kind in kinds:
        one_of(kind, HDR_FORMATS, "hdr")


def one_of(value: str, allowed: Sequence[str], what: str) -> None:
    """ValueError, naming ``what`` and the choice there is, unless the value is allowed."""
    if value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {value!r}")


def _pack(path: Path, files: Sequence[Path]) -> Path:
    """Move files into one uncompressed zip, written under another name first; they are compressed already."""
    partial = path.with_name(f".{path.name}.part")
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
            for file in files:
                archive.write(file, file.name)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    for file in files:
        file.unlink()
    return path
