"""A photo to its light: load, run a network, render the exposures, hand back a `Result`."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan import image_io
from hdrgan.bracket import merge
from hdrgan.gain_map import save_ultrahdr
from hdrgan.hdr_io import save_exr, save_hdr
from hdrgan.image_io import Photo, load_photo, to_tensor
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.radiance_generator import LightFields, RadianceGenerator, clip_mask
from hdrgan.pretrained import PretrainedError, locate, read_config
from hdrgan.radiometry import match_exposure, srgb_curve, srgb_to_linear
from hdrgan.tiling import run_tiled
from hdrgan.tonemap import tone_map

DEFAULT_EVS = (-4.0, -2.0, 0.0, 2.0, 4.0)
PICTURE_FORMATS = ("png", "jpg", "tiff")
HDR_FORMATS = ("exr", "hdr", "ultrahdr")
_STRIP = 256  # rows worked on at a time, so that memory grows with the width of a photo and not its area
_NETWORKS: dict[str, type[nn.Module]] = {net.__name__: net for net in (RadianceGenerator, BracketGenerator, EIN)}


def caption(ev: float, painted: bool = False) -> str:
    """What stands under an exposure: its EV and what that means for the light; ``painted`` frames are no photo."""
    if ev == 0:
        return "EV 0 · as bright as the photo" if painted else "EV 0 · the photo"
    return f"EV {ev:+g} · {2 ** abs(ev):g}× {'more' if ev > 0 else 'less'} light".replace("-", "−")


@dataclass
class Result:
    """A photo, its exposures and its light.

    Attributes:
        photo: the photo as loaded.
        exposures: one (H, W, 3) array per EV, uint8 or uint16 like the photo, encoded for a screen.
        evs: stops relative to the photo, ascending.
        radiance: (H, W, 3) float32, linear Rec. 709, >= 0, 1.0 = the photo's white.
        invented: (H, W) float32 in [0, 1]: share of a pixel's light that the photo did not record.
        response: (256,) float32: linear light of each 8-bit code, 0 to 1, as assumed or estimated.
    """

    photo: Photo
    exposures: tuple[np.ndarray, ...]
    evs: tuple[float, ...]
    radiance: np.ndarray
    invented: np.ndarray
    response: np.ndarray

    @property
    def captions(self) -> tuple[str, ...]:
        """One line per exposure, such as ``EV +2 · 4× more light``."""
        return tuple(caption(ev, frame is not self.photo.pixels) for ev, frame in self.frames())

    def frames(self) -> Iterator[tuple[float, np.ndarray]]:
        """(EV, exposure) pairs, dark to bright."""
        return zip(self.evs, self.exposures, strict=True)

    def tone_mapped(self) -> np.ndarray:
        """All of the light on one screen: (H, W, 3) uint8; see `hdrgan.tonemap.tone_map`."""
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
            format: of the exposures: "png" (lossless), "jpg" or "tiff".
            hdr: any of "exr", "hdr" and "ultrahdr".
            zip: put the exposures into one ``<stem>_bracket.zip`` instead of single files.
            keep_gps: let the files say where the photo was taken, where it says so itself.

        Returns:
            The files written: ``<stem>_ev-4.png`` … ``<stem>_ev+4.png`` dark to bright, then ``<stem>.exr`` and so on.

        Raises:
            ValueError: an unknown format.
            OSError: the folder cannot be written.
        """
        _one_of(format, PICTURE_FORMATS, "format")
        check_hdr(hdr)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for ev, pixels in self.frames():
            path = folder / f"{self.photo.name}_ev{ev:+g}.{format}"
            exif = image_io.bracket_exif(self.photo, ev, keep_gps=keep_gps)
            if format == "png":
                image_io.save_png(path, pixels, exif=exif)
            elif format == "jpg":
                image_io.save_jpeg(path, pixels, exif=exif)
            else:
                image_io.save_tiff(path, pixels, exif=exif)
            written.append(path)
        if zip:
            written = [_pack(folder / f"{self.photo.name}_bracket.zip", written)]
        return written + self.save_hdr(folder, hdr, keep_gps=keep_gps)

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
        written = []
        for kind in dict.fromkeys(hdr):
            # Never plain <stem>.jpg: in the photo's own folder that would replace the photo.
            path = folder / f"{self.photo.name}{'_ultrahdr.jpg' if kind == 'ultrahdr' else '.' + kind}"
            if kind == "ultrahdr":
                save_ultrahdr(path, self.photo, self.radiance, keep_gps=keep_gps)
            elif kind == "exr":
                save_exr(path, self.radiance, invented=self.invented, metadata=scale)
            else:
                save_hdr(path, self.radiance, metadata=scale)
            written.append(path)
        return [_pack(folder / f"{self.photo.name}_hdr.zip", written)] if zip else written


class Pipeline:
    """A network with everything between a photo and its light.

    >>> pipe = Pipeline.from_pretrained("radiance")                               # doctest: +SKIP
    >>> pipe("photo.jpg").save("out")                                             # doctest: +SKIP

    Args:
        model: a RadianceGenerator, BracketGenerator or EIN.
        device: where it runs: "cpu", "cuda", "mps" or None for the best there is.
        name: what the model is called in captions, logs and files.
        working_size: longest side, in pixels, at which a RadianceGenerator looks at a photo. What it finds is smooth
            and is brought to the photo's own size; the photo's pixels are never resampled.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        device: str | torch.device | None = None,
        name: str = "",
        working_size: int = 512,
    ):
        if not isinstance(model, tuple(_NETWORKS.values())):
            raise ValueError(f"model must be one of {', '.join(_NETWORKS)}, got {type(model).__name__}")
        self.device = _device(device)
        self.model = model.to(self.device).eval()
        self.model_name = name or type(model).__name__
        self.working_size = working_size

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
    ) -> Self:
        """Load a bundled model ("radiance", "bracket", "ein"), a folder, or a repository of the Hub.

        Raises:
            PretrainedError: the model is not there, is damaged, or is none of ours.
        """
        folder = locate(name, revision=revision, token=token, cache_dir=cache_dir)
        kind = read_config(folder).get("_class_name")
        if kind not in _NETWORKS:
            raise PretrainedError(
                f"{name} holds {'a ' + str(kind) if kind else 'a network of unknown class'}; "
                f"a pipeline runs {', '.join(_NETWORKS)}."
            )
        return cls(_NETWORKS[kind].from_pretrained(folder), device=device, name=str(name))

    def __call__(
        self,
        photo: Any,
        evs: Sequence[float] = DEFAULT_EVS,
        response: str = "auto",
    ) -> Result:
        """Turn a photo into exposures and radiance.

        Args:
            photo: path, bytes, file, PIL image, (H, W, 3) array or `Photo`; any size from 1 x 1.
            evs: stops relative to the photo, ascending; +1 is twice the light.
            response: "auto" lets a RadianceGenerator estimate the camera's curve; "srgb" takes the photo for plain
                sRGB, as renders and screenshots are. The other networks always assume sRGB.

        Returns:
            See `Result`. With a RadianceGenerator or EIN the frame at EV 0 is the photo, pixel for pixel.

        Raises:
            PhotoError: the file is no photo that can be read.
            ValueError: ``evs`` or ``response`` make no sense.
        """
        evs = check_evs(evs)
        _one_of(response, ("auto", "srgb"), "response")
        if not isinstance(photo, Photo):
            photo = load_photo(photo)
        if isinstance(self.model, RadianceGenerator):
            return self._run_radiance(photo, evs, response)
        if isinstance(self.model, EIN):
            return self._run_ein(photo, evs)
        return self._run_bracket(photo, evs)

    @torch.inference_mode()
    def _run_radiance(self, photo: Photo, evs: tuple[float, ...], response: str) -> Result:
        network: RadianceGenerator = self.model
        srgb = to_tensor(photo)  # (1, 3, H, W)
        size = _bounded(photo.height, photo.width, self.working_size)
        seen = F.interpolate(srgb, size=size, mode="area") if size != (photo.height, photo.width) else srgb
        fields = _flip_averaged(network, _padded(seen, network.size_multiple).to(self.device), size)
        if response == "srgb":
            fields = fields._replace(inverse_response=srgb_curve(self.device)[None])
        fields = LightFields(*(field.cpu() for field in fields))
        if size != (photo.height, photo.width):
            # The residual was seen on averaged pixels, whose noise is not the photo's.
            fields = fields._replace(residual=torch.zeros(1, 3, 1, 1))
        radiance = np.empty((photo.height, photo.width, 3), np.float32)
        invented = np.empty((photo.height, photo.width), np.float32)
        for rows, gain, residual in _field_strips(fields, photo.height, photo.width):
            part = srgb[:, :, rows]
            lit = network.apply_fields(part, LightFields(fields.inverse_response, gain, residual))
            radiance[rows] = lit.radiance[0].permute(1, 2, 0).numpy()
            invented[rows] = 1 - torch.exp2(-lit.log_gain[0].amax(0)).numpy()
        curve = fields.inverse_response[0].numpy()
        return Result(photo, render(photo, radiance, evs, curve), evs, radiance, invented, curve)

    @torch.inference_mode()
    def _run_ein(self, photo: Photo, evs: tuple[float, ...]) -> Result:
        srgb = to_tensor(photo)
        relative = self._tiled(srgb)
        linear = srgb_to_linear(srgb)
        trusted = (srgb.amax(1, keepdim=True) < 0.90) & (srgb.amin(1, keepdim=True) > 0.05)
        anchored = relative * match_exposure(relative, linear, trusted)
        mask = clip_mask(srgb, 0.94, 0.995)
        radiance = torch.lerp(linear, torch.maximum(anchored, linear), mask)  # (1, 3, H, W)
        made_up = 1 - (linear / radiance.clamp(min=1e-6)).clamp(0, 1)
        light = np.ascontiguousarray(radiance[0].permute(1, 2, 0).numpy())
        invented = (made_up * mask)[0].amax(0).numpy()
        curve = srgb_curve().numpy()
        return Result(photo, render(photo, light, evs, curve), evs, light, invented, curve)

    def _tiled(self, srgb: Tensor) -> Tensor:
        network = self.model
        return run_tiled(
            network, srgb, multiple=network.size_multiple, minimum=network.minimum_size, device=self.device
        )

    @torch.inference_mode()
    def _run_bracket(self, photo: Photo, evs: tuple[float, ...]) -> Result:
        srgb = to_tensor(photo)
        frames = self._tiled(srgb)[0]  # (N, 3, H, W)
        own = self.model.evs
        light = np.ascontiguousarray(merge(frames, own).permute(1, 2, 0).numpy())
        curve = srgb_curve().numpy()
        peak = 255 if photo.bits == 8 else 65535
        drawn = {
            ev: np.ascontiguousarray((frame * peak).round().permute(1, 2, 0).numpy().astype(photo.pixels.dtype))
            for ev, frame in zip(own, frames, strict=True)
            if ev in evs
        }
        rest = tuple(ev for ev in evs if ev not in drawn)
        drawn |= zip(rest, render(photo, light, rest, curve, keep_photo=False), strict=True)
        # Every pixel of these frames was painted by the network; what counts is how far it left the photo.
        clipped = clip_mask(srgb, 0.94, 0.995).amax(1)[0].numpy()
        return Result(photo, tuple(drawn[ev] for ev in evs), evs, light, clipped, curve)


def check_hdr(kinds: Sequence[str]) -> None:
    """ValueError unless every kind is a format in which an HDR image can be written."""
    for kind in kinds:
        _one_of(kind, HDR_FORMATS, "hdr")


def check_evs(evs: Sequence[float]) -> tuple[float, ...]:
    """Coerce EVs to floats; ValueError unless they are at least one, finite, ascending and within 20 stops."""
    stops = tuple(float(ev) for ev in evs)
    if not stops or not all(np.isfinite(stops)) or list(stops) != sorted(set(stops)) or max(map(abs, stops)) > 20:
        raise ValueError(f"evs must be ascending numbers of stops between -20 and 20 without repeats, got {tuple(evs)}")
    return stops


def render(
    photo: Photo, radiance: np.ndarray, evs: Sequence[float], inverse_response: np.ndarray, *, keep_photo: bool = True
) -> tuple[np.ndarray, ...]:
    """Draw exposures of radiance with a camera's curve.

    Args:
        photo: gives the number of bits, and itself at EV 0 unless ``keep_photo`` is off.
        radiance: (H, W, 3) float32, 1.0 = white.
        evs: stops.
        inverse_response: (256,) as in `Result.response`.

    Returns:
        One (H, W, 3) uint8 or uint16 array per EV.
    """
    peak = 255 if photo.bits == 8 else 65535
    codes = np.linspace(0, peak, len(inverse_response), dtype=np.float32)
    # An even grid over the square root of light makes the curve a table; a search per pixel would be ten times slower.
    grid = np.linspace(0, 1, 4096, dtype=np.float32)
    table = np.interp(grid.astype(np.float64) ** 2, inverse_response, codes)
    fine = np.append(table, table[-1]).astype(np.float32)
    frames = [photo.pixels if keep_photo and ev == 0 else np.empty_like(photo.pixels) for ev in evs]
    for top in range(0, radiance.shape[0], _STRIP):
        root = np.sqrt(radiance[top : top + _STRIP])
        for frame, ev in zip(frames, evs, strict=True):
            if frame is photo.pixels:
                continue
            position = np.minimum(root * np.float32(2.0 ** (ev / 2)), 1) * np.float32(4095)
            below = position.astype(np.int32)
            position -= below
            low = fine[below]
            frame[top : top + _STRIP] = low + (fine[below + 1] - low) * position + np.float32(0.5)
    return tuple(frames)


def _flip_averaged(network: RadianceGenerator, srgb: Tensor, size: tuple[int, int]) -> LightFields:
    """Fields of the photo and of its mirror image, averaged: a free second opinion. Cropped to ``size``."""
    both = network.fields(torch.cat([srgb, srgb.flip(-1)]))
    gain, residual = ((field[:1] + field[1:].flip(-1)) / 2 for field in (both.gain, both.residual))
    curve = both.inverse_response.mean(0, keepdim=True)
    height, width = size
    return LightFields(curve, gain[..., :height, :width], residual[..., :height, :width])


def _field_strips(fields: LightFields, height: int, width: int) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield (rows, gain, residual) at the photo's size, a strip at a time, interpolated bilinearly."""
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))
        yield rows, *(_resampled_rows(field, rows, height, width) for field in (fields.gain, fields.residual))


def _resampled_rows(field: Tensor, rows: slice, height: int, width: int) -> Tensor:
    """Rows of ``field`` (1, C, h, w) resized to (height, width) bilinearly, without making the other rows."""
    h, w = field.shape[2:]
    if (h, w) == (height, width):
        return field[:, :, rows]
    position = ((torch.arange(rows.start, rows.stop) + 0.5) * h / height - 0.5).clamp(0, h - 1)
    below = position.floor().long().clamp(max=max(h - 2, 0))
    fraction = (position - below).view(-1, 1)
    above = (below + 1).clamp(max=h - 1)
    blended = torch.lerp(field[:, :, below], field[:, :, above], fraction)  # (1, C, rows, w)
    return F.interpolate(blended, size=(len(position), width), mode="bilinear", align_corners=False)


def _padded(srgb: Tensor, multiple: int) -> Tensor:
    """Extend (1, 3, H, W) right and down to multiples by repeating the edge."""
    height, width = srgb.shape[2:]
    return F.pad(srgb, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _bounded(height: int, width: int, longest: int) -> tuple[int, int]:
    scale = min(1.0, longest / max(height, width))
    return max(1, round(height * scale)), max(1, round(width * scale))


def _device(device: str | torch.device | None) -> torch.device:
    if device is None:
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    chosen = torch.device(device)
    if chosen.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"device {device} was asked for, but this machine or this build of torch has no CUDA")
    return chosen


def _one_of(value: str, allowed: Sequence[str], what: str) -> None:
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
