"""What comes out of a photo: its exposures and its light, drawn when asked for, and the files they are saved as."""

from __future__ import annotations

import builtins
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from hdrgan.files.atomic import atomic_files
from hdrgan.files.exif import bracket_exif, exr_making, hdr_making
from hdrgan.files.names import FINISHED, bracket_names, hdr_names, signed
from hdrgan.files.photo import Photo
from hdrgan.files.radiance import save_exr, save_hdr
from hdrgan.files.ultrahdr import save_ultrahdr
from hdrgan.files.write import save_jpeg, save_photo_as_jpeg, save_png, save_tiff
from hdrgan.files.xmp_iptc import kept_iptc, kept_xmp, response_xmp
from hdrgan.light.fusion import finish
from hdrgan.light.parallel import cores, each
from hdrgan.light.rendering import Exposures, RaisedLight, StoredLight
from hdrgan.light.tonemap import tone_map

PICTURE_FORMATS = ("png", "jpg", "tiff")
HDR_FORMATS = ("exr", "hdr", "ultrahdr")
_WRITTEN_AT_ONCE = 700e6  # bytes of exposures that are encoded at the same time; a codec takes as much again


def caption(ev: float, generated: bool = False) -> str:
    """The caption of an exposure: its EV and what that means for the light; ``generated`` frames are no photo."""
    if ev == 0:
        return "EV 0 · as bright as the photo" if generated else "EV 0 · the photo"
    return f"EV {signed(ev)} · {2 ** abs(ev):g}× {'more' if ev > 0 else 'less'} light".replace("-", "−")


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
        light: what exposures, radiance and invented share are drawn from; None where a network drew the exposures.

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
        self.light: StoredLight | RaisedLight | None = None
        self._radiance, self._invented = radiance, invented

    @classmethod
    def of(cls, photo: Photo, evs: Sequence[float], light: StoredLight | RaisedLight) -> Self:
        """A result whose exposures are drawn from light, but for the photo itself at EV 0."""
        result = cls(photo, Exposures(evs, _Draw(photo, light)), evs, light.radiance, light.invented, light.response)
        result.light = light
        return result

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

    def finished(self) -> np.ndarray:
        """One picture to keep: (H, W, 3) codes like the photo's; see `hdrgan.light.fusion.finish`.

        It is the photo wherever the photo recorded the light; what was blown out is shown as a darker exposure shows
        it.
        """
        return finish(self.photo.pixels, self.radiance, self.invented, self.response)

    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        format: str = "png",
        hdr: Sequence[str] = ("exr",),
        zip: bool = False,
        keep_gps: bool = False,
        name: str | None = None,
    ) -> list[Path]:
        """Write the exposures and the HDR image: all of them, or, where that fails, none.

        Args:
            folder: where to; made if it is not there.
            format: of the exposures: "png" (lossless), "jpg" or "tiff". The photo itself, where it came as a JPEG, goes
                into its "jpg" without being compressed again.
            hdr: any of "exr", "hdr" and "ultrahdr", and "finished" for the picture of `finished` as a JPEG.
            zip: put the exposures into one ``<stem>_bracket.zip`` instead of single files.
            keep_gps: let the files say where the photo was taken, where it says so itself.
            name: what the names of the files begin with; the photo's own where it is left out.

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
        name = self.photo.name if name is None else name
        names = bracket_names(name, self.evs, format)
        with atomic_files(folder) as private:
            if zip:
                with _packed(private, bracket_names(name, self.evs, format, zip=True)[0], names) as inside:
                    self._write_frames(inside, names, format, keep_gps=keep_gps)
            else:
                self._write_frames(private, names, format, keep_gps=keep_gps)
            self._write_hdr(private, name, hdr, keep_gps=keep_gps)
        return [folder / file for file in bracket_names(name, self.evs, format, zip=zip) + hdr_names(name, hdr)]

    def _write_frames(self, folder: Path, names: Sequence[str], format: str, *, keep_gps: bool) -> None:
        def write(index: int) -> None:
            exif = self._frame_exif(index, keep_gps=keep_gps)
            self._write_frame(folder / names[index], format, index, exif, keep_gps=keep_gps)

        at_once = min(cores(), int(_WRITTEN_AT_ONCE / self.photo.pixels.nbytes))
        # The darkest computes the light above white, which all dark ones need; beside it come those that need none.
        each(write, [0, *range(len(self.evs) - 1, 0, -1)], workers=max(1, at_once))

    def _response_facts(self) -> dict[str, Any]:
        """The response as it travels in the files: where it comes from, and its curve."""
        return {"response": self.response_note, "curve": [float(f"{value:.5g}") for value in self.response]}

    def _xmp(self, *, keep_gps: bool) -> bytes | None:
        """What is kept of the photo's XMP, and the response."""
        facts = self._response_facts()
        more = response_xmp(**facts) if self.response_note else ""
        return kept_xmp(self.photo.xmp, keep_gps=keep_gps, more=more)

    def _frame_exif(self, index: int, *, keep_gps: bool) -> bytes:
        size = self.photo.width, self.photo.height
        note = json.dumps(self._response_facts()) if self.response_note else ""
        return bracket_exif(self.photo.exif, size, self.evs[index], keep_gps=keep_gps, comment=note)

    def _write_frame(self, path: Path, format: str, index: int, exif: bytes, *, keep_gps: bool) -> None:
        exposures, photo = self.exposures, self.photo
        pixels = exposures.passing(index) if isinstance(exposures, Exposures) else exposures[index]
        xmp, iptc = self._xmp(keep_gps=keep_gps), kept_iptc(photo.iptc)
        if format == "png":
            save_png(path, pixels, exif=exif, xmp=xmp, iptc=iptc, alpha=photo.alpha)
        elif format == "tiff":
            save_tiff(path, pixels, exif=exif, xmp=xmp, iptc=iptc, alpha=photo.alpha)
        elif pixels is photo.pixels:
            save_photo_as_jpeg(path, photo, exif=exif, xmp=xmp, iptc=iptc)
        else:
            save_jpeg(path, pixels, exif=exif, xmp=xmp, iptc=iptc)

    def save_frame(
        self, folder: str | os.PathLike[str], index: int, format: str = "png", *, keep_gps: bool = False
    ) -> Path:
        """Write one exposure as `save` does; ``index`` is its place in `evs`."""
        one_of(format, PICTURE_FORMATS, "format")
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / bracket_names(self.photo.name, self.evs, format)[index]
        self._write_frame(path, format, index, self._frame_exif(index, keep_gps=keep_gps), keep_gps=keep_gps)
        return path

    def save_hdr(
        self,
        folder: str | os.PathLike[str],
        hdr: Sequence[str] = ("exr",),
        *,
        zip: bool = False,
        keep_gps: bool = False,
        name: str | None = None,
    ) -> list[Path]:
        """Write only the HDR image: ``<stem>.exr``, ``<stem>.hdr``, ``<stem>_ultrahdr.jpg``, ``<stem>_finished.jpg``.

        Arguments, errors and answer as in `save`; ``zip`` puts these files into one ``<stem>_hdr.zip``.
        """
        check_hdr(hdr)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        name = self.photo.name if name is None else name
        with atomic_files(folder) as private:
            if zip:
                with _packed(private, hdr_names(name, hdr, zip=True)[0], hdr_names(name, hdr)) as inside:
                    self._write_hdr(inside, name, hdr, keep_gps=keep_gps)
            else:
                self._write_hdr(private, name, hdr, keep_gps=keep_gps)
        return [folder / file for file in hdr_names(name, hdr, zip=zip)]

    def _write_hdr(self, folder: Path, name: str, hdr: Sequence[str], *, keep_gps: bool) -> None:
        scale = {"comments": "1.0 is the clipping level (white) of the photo; EV 0 is the photo."}
        alpha = self.photo.alpha
        for kind, file in builtins.zip(dict.fromkeys(hdr), hdr_names(name, hdr), strict=True):
            if kind == "ultrahdr":
                save_ultrahdr(folder / file, self.photo, self.radiance, keep_gps=keep_gps, response=self.response)
            elif kind == "exr":
                making = exr_making(self.photo.exif, keep_gps=keep_gps)
                packet = self._xmp(keep_gps=keep_gps)
                if packet:
                    making["xmp"] = packet.decode()
                if self.response_note:
                    facts = self._response_facts()
                    making |= {"hdrganResponse": facts["response"], "hdrganResponseCurve": json.dumps(facts["curve"])}
                save_exr(folder / file, self.radiance, invented=self.invented, metadata=making | scale, alpha=alpha)
            elif kind == FINISHED:
                self._write_finished(folder / file, keep_gps=keep_gps)
            else:
                save_hdr(folder / file, self.radiance, metadata=hdr_making(self.photo.exif, keep_gps=keep_gps) | scale)

    def _write_finished(self, path: Path, *, keep_gps: bool) -> None:
        exif = bracket_exif(self.photo.exif, (self.photo.width, self.photo.height), 0.0, keep_gps=keep_gps)
        pixels = self.finished()
        xmp, iptc = self._xmp(keep_gps=keep_gps), kept_iptc(self.photo.iptc)
        if np.array_equal(pixels, self.photo.pixels):
            save_photo_as_jpeg(path, self.photo, exif=exif, xmp=xmp, iptc=iptc)
        else:
            save_jpeg(path, pixels, exif=exif, xmp=xmp, iptc=iptc)


@dataclass(frozen=True)
class _Draw:
    """Exposures of one photo from its light; a class and no function within one, so that a `Result` can be pickled."""

    photo: Photo
    light: StoredLight | RaisedLight

    def __call__(self, ev: float) -> np.ndarray:
        return self.photo.pixels if ev == 0 else self.light.exposure(ev)


def check_hdr(kinds: Sequence[str]) -> None:
    """ValueError unless every kind is a format in which an HDR image can be written."""
    for kind in kinds:
        one_of(kind, (*HDR_FORMATS, FINISHED), "hdr")


def one_of(value: str, allowed: Sequence[str], what: str) -> None:
    """ValueError, naming ``what`` and the choice there is, unless the value is allowed."""
    if value not in allowed:
        raise ValueError(f"{what} must be one of {', '.join(allowed)}, got {value!r}")


@contextmanager
def _packed(folder: Path, archive_name: str, names: Sequence[str]) -> Iterator[Path]:
    """Lend a folder for files of these names and put them into one uncompressed zip; they are compressed already."""
    inside = folder / "inside"
    inside.mkdir()
    yield inside
    with zipfile.ZipFile(folder / archive_name, "w", zipfile.ZIP_STORED) as archive:
        for name in names:
            # Without a time stamp, so that the same photo gives the same bytes.
            member = zipfile.ZipInfo(name)
            member.external_attr, member.file_size = 0o644 << 16, (inside / name).stat().st_size
            with open(inside / name, "rb") as source, archive.open(member, "w") as target:
                shutil.copyfileobj(source, target, 1 << 20)
            (inside / name).unlink()
    inside.rmdir()
