"""A photo to its light: load, run a network, render the exposures, hand back a `Result`."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.files.photo import (
    Photo,
    bracket_exif,
    load_photo,
    save_jpeg,
    save_photo_as_jpeg,
    save_png,
    save_tiff,
    to_tensor,
)
from hdrgan.files.radiance import save_exr, save_hdr
from hdrgan.files.ultrahdr import save_ultrahdr
from hdrgan.light.merge import merge
from hdrgan.light.parallel import cores, each
from hdrgan.light.radiometry import luminance, srgb_curve, srgb_to_linear
from hdrgan.light.rendering import Exposures, RaisedLight, StoredLight, peak_of, render, strips
from hdrgan.light.tiling import tiled_strips
from hdrgan.light.tonemap import tone_map
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.pretrained import PretrainedError, locate, read_config
from hdrgan.models.radiance_generator import LightFields, RadianceGenerator, clip_mask

DEFAULT_EVS = (-4.0, -2.0, 0.0, 2.0, 4.0)
PICTURE_FORMATS = ("png", "jpg", "tiff")
HDR_FORMATS = ("exr", "hdr", "ultrahdr")
_CLIPPED = (0.94, 0.995)  # encoded values between which a channel passes from measured to clipped
_READ_WHOLE = 384**2  # pixels up to which the response is estimated from all of a photo
_PIECES, _PIECE = 64, 32  # of a larger one, and their side: many small ones see more of the scene than few large ones
_FURTHER = 0.5  # size of the second look at a photo, relative to the first
_LIGHT_AT_ONCE = 40e6  # pixels up to which painted exposures and their light are held side by side
_WRITTEN_AT_ONCE = 700e6  # bytes of exposures that are encoded at the same time; a codec takes as much again

Network = RadianceGenerator | BracketGenerator | EIN
_NETWORKS: dict[str, type[Network]] = {net.__name__: net for net in (RadianceGenerator, BracketGenerator, EIN)}

_WORK: dict[type[Network], str] = {RadianceGenerator: "fields", BracketGenerator: "forward", EIN: "reconstruct"}


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
        response: (256,) float32: linear light of each 8-bit code, 0 to 1, as assumed or estimated.

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
        _one_of(format, PICTURE_FORMATS, "format")
        check_hdr(hdr)
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)

        def write(index: int) -> Path:
            ev = self.evs[index]
            path = folder / f"{self.photo.name}_ev{ev:+g}.{format}"
            self._write_frame(path, format, index, bracket_exif(self.photo, ev, keep_gps=keep_gps))
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
        compile: True to run the network through ``torch.compile``, which takes a C++ compiler and a minute at the first
            photo and pays for itself on a graphics card or over many photos; or the name of one of its backends.
    """

    def __init__(
        self,
        model: Network,
        *,
        device: str | torch.device | None = None,
        name: str = "",
        working_size: int = 384,
        compile: bool | str = False,
    ):
        if not isinstance(model, tuple(_NETWORKS.values())):
            raise ValueError(f"model must be one of {', '.join(_NETWORKS)}, got {type(model).__name__}")
        self.device = _device(device)
        self.model = model.to(self.device).eval()
        if isinstance(model, BracketGenerator):  # the others choose for each of their layers
            self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's types lack it
        self.model_name = name or type(model).__name__
        self.working_size = working_size
        if compile:
            work = _WORK[type(model)]
            backend = compile if isinstance(compile, str) else "inductor"
            setattr(model, work, torch.compile(getattr(model, work), backend=backend))

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        device: str | torch.device | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        compile: bool | str = False,
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
        return cls(_NETWORKS[kind].from_pretrained(folder), device=device, name=str(name), compile=compile)

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
        network = cast(RadianceGenerator, self.model)
        fields = self._fields(photo, response)
        if fields.gain.shape[-2:] == photo.pixels.shape[:2]:
            lit = network.apply_fields(to_tensor(photo), fields)
            invented = 1 - torch.exp2(-lit.log_gain[0].amax(0))
            return Result.of(photo, evs, _stored(photo, fields.inverse_response[0], lit.radiance, invented))
        # The residual was seen on averaged pixels, whose noise is not the photo's; without it, measured pixels are
        # a table and the gain is all that has to be brought to the photo's size.
        return Result.of(
            photo,
            evs,
            RaisedLight(
                photo.pixels,
                fields.inverse_response[0].numpy(),
                fields.gain[0].permute(1, 2, 0).numpy(),
                lambda codes: clip_mask(torch.from_numpy(codes), network.clip_start, network.clip_end).numpy(),
            ),
        )

    def _fields(self, photo: Photo, response: str) -> LightFields:
        """What the network says of a photo, at the size at which it looked: (1, C, h, w) on the CPU.

        It looks twice, the second time from further away, and the gains are averaged: what lies above white is told
        by what is around it, and how much of that a photo shows is chance.
        """
        network = cast(RadianceGenerator, self.model)
        size = _bounded(photo.height, photo.width, self.working_size)
        curve = srgb_curve(self.device)[None] if response == "srgb" else network.curve(_pieces(photo).to(self.device))
        near = self._look(photo, size, curve, residual=size == photo.pixels.shape[:2])
        if _clips(photo):
            further = (max(1, round(size[0] * _FURTHER)), max(1, round(size[1] * _FURTHER)))
            far = self._look(photo, further, curve, residual=False)
            gain = F.interpolate(far.gain, size=size, mode="bilinear", align_corners=False)
            gain = (near.gain + gain) / 2
        else:
            gain = torch.zeros_like(near.gain)
        return LightFields(*(field.cpu() for field in (curve, gain, near.residual)))

    def _look(self, photo: Photo, size: tuple[int, int], curve: Tensor, *, residual: bool) -> LightFields:
        """Fields of the photo brought to ``size``."""
        network = cast(RadianceGenerator, self.model)
        srgb = _padded(to_tensor(photo, size), network.size_multiple).contiguous().to(self.device)
        fields = network.fields(srgb, curve=curve, residual=residual)
        gain, correction = (field[..., : size[0], : size[1]] for field in (fields.gain, fields.residual))
        return LightFields(curve, gain, correction)

    @torch.inference_mode()
    def _run_ein(self, photo: Photo, evs: tuple[float, ...]) -> Result:
        light = torch.empty(photo.height, photo.width, 3)  # first as the network says, then anchored to the photo
        for rows, relative in self._tiles(photo):
            light[rows] = relative[0].permute(1, 2, 0)
        scale = _anchor(photo, light)
        invented = torch.empty(photo.height, photo.width)
        clips = _clips(photo)
        for rows in strips(photo.height, photo.width):
            srgb = _part_of(photo, rows)
            relative = light[rows].permute(2, 0, 1)[None]
            linear = srgb_to_linear(srgb)
            mask = clip_mask(srgb, *_CLIPPED) * clips
            radiance = torch.lerp(linear, torch.maximum(relative * scale, linear), mask)  # (1, 3, rows, W)
            made_up = 1 - (linear / radiance.clamp(min=1e-6)).clamp(0, 1)
            invented[rows] = (made_up * mask)[0].amax(0)
            light[rows] = radiance[0].permute(1, 2, 0)
        return Result.of(photo, evs, StoredLight(photo.pixels, srgb_curve().numpy(), light.numpy(), invented.numpy()))

    @torch.inference_mode()
    def _run_bracket(self, photo: Photo, evs: tuple[float, ...]) -> Result:
        frames = {ev: np.empty_like(photo.pixels) for ev in cast(BracketGenerator, self.model).evs if ev in evs}
        others = tuple(ev for ev in evs if ev not in frames)
        light: np.ndarray | None = None
        if others or photo.height * photo.width <= _LIGHT_AT_ONCE:
            light = np.empty((photo.height, photo.width, 3), np.float32)
        self._paint(photo, frames, light)
        curve = srgb_curve().numpy()
        if light is not None:
            frames |= zip(others, render(photo.pixels, light, others, curve, keep_photo=False), strict=True)
        return Result(
            photo,
            tuple(frames[ev] for ev in evs),
            evs,
            partial(self._painted_light, photo) if light is None else light,
            partial(_clipped_share, photo),
            curve,
        )

    def _paint(self, photo: Photo, frames: dict[float, np.ndarray], light: np.ndarray | None) -> None:
        """Run a BracketGenerator; fill those of its exposures that are asked for, and the light that they agree on."""
        own = cast(BracketGenerator, self.model).evs
        peak = peak_of(photo.pixels)
        # It sees eleven pixels far, so that small tiles lose nothing, and five exposures of a strip stay small.
        for rows, drawn in self._tiles(photo, tile=512, overlap=64):  # (1, N, 3, rows, W)
            for part in strips(rows.stop - rows.start, photo.width):
                bracket = drawn[0, :, :, part]
                there = slice(rows.start + part.start, rows.start + part.stop)
                for ev, frame in frames.items():
                    frame[there] = (bracket[own.index(ev)] * peak).round().permute(1, 2, 0).numpy()
                if light is not None:
                    light[there] = merge(bracket, own).permute(1, 2, 0).numpy()

    @torch.inference_mode()
    def _painted_light(self, photo: Photo) -> np.ndarray:
        """The light alone, by another run of the network: of a large photo it would not fit beside the exposures."""
        light = np.empty((photo.height, photo.width, 3), np.float32)
        self._paint(photo, {}, light)
        return light

    def _tiles(self, photo: Photo, *, tile: int = 1024, overlap: int = 128) -> Iterator[tuple[slice, Tensor]]:
        """What a network that works at the photo's own size says, in strips; see `hdrgan.light.tiling.tiled_strips`."""
        network = cast(BracketGenerator | EIN, self.model)
        return tiled_strips(
            network,
            torch.from_numpy(photo.pixels).permute(2, 0, 1)[None],
            tile=tile,
            overlap=overlap,
            multiple=network.size_multiple,
            minimum=network.minimum_size,
            device=self.device,
            half=_half_type(self.device),
        )


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


def _pieces(photo: Photo) -> Tensor:
    """What the response is estimated from: (1, T, 3, h, w) at the photo's own resolution, all of it or a spread of it.

    Averaging pixels would hide noise and compression, and make every edge look like one of linear light. The pieces
    stand on the 8 x 8 grid of JPEG.
    """
    height, width = photo.pixels.shape[:2]
    tops, lefts, rows, columns = [0], [0], height, width
    if height * width > _READ_WHOLE:
        rows, columns = min(_PIECE, height), min(_PIECE, width)
        down = min(height // rows, math.isqrt(_PIECES))
        across = min(width // columns, _PIECES // down)
        down = min(height // rows, _PIECES // across)  # more of them where the photo is narrow
        tops, lefts = (
            [int(start) // 8 * 8 for start in np.linspace(0, size - side, count)]
            for size, side, count in ((height, rows, down), (width, columns, across))
        )
    pixels = np.stack([photo.pixels[top : top + rows, left : left + columns] for top in tops for left in lefts])
    return torch.from_numpy(pixels.astype(np.float32) / peak_of(photo.pixels)).permute(0, 3, 1, 2)[None]


def _stored(photo: Photo, response: Tensor, radiance: Tensor, invented: Tensor) -> StoredLight:
    """Light in memory from tensors: radiance (1, 3, H, W), invented (H, W)."""
    light = np.ascontiguousarray(radiance[0].permute(1, 2, 0).numpy())
    return StoredLight(photo.pixels, response.numpy(), light, invented.numpy())


def _anchor(photo: Photo, relative: Tensor) -> Tensor:
    """The scale that brings EIN's relative radiance (H, W, 3) onto the photo's, by the pixels that did not clip."""
    ratios = []
    for rows in strips(photo.height, photo.width):
        srgb = _part_of(photo, rows)
        trusted = (srgb.amax(1) < 0.90) & (srgb.amin(1) > 0.05)
        predicted = luminance(relative[rows].permute(2, 0, 1))
        measured = luminance(srgb_to_linear(srgb)[0])
        trusted = trusted & (predicted > 1e-6) & (measured > 1e-6)
        ratios.append(torch.log(measured[trusted]) - torch.log(predicted[trusted]))
    every = torch.cat(ratios)
    return every.median().exp() if every.numel() else torch.ones(())


def _clipped_share(photo: Photo) -> np.ndarray:
    """Every pixel of a painted bracket is the network's; what counts as invented is what the photo had clipped."""
    share = np.zeros(photo.pixels.shape[:2], np.float32)
    if not _clips(photo):
        return share
    for rows in strips(photo.height, photo.width):
        share[rows] = clip_mask(_part_of(photo, rows), *_CLIPPED).amax(1)[0].numpy()
    return share


def _clips(photo: Photo) -> bool:
    """Whether any channel reached the end of its scale; a photo that stays below it lost no light to clipping.

    The masks begin below white, because JPEG darkens some of what clipped. By themselves they would take bright paper
    for clipped.
    """
    return bool(photo.pixels.max() == peak_of(photo.pixels))


def _part_of(photo: Photo, rows: slice) -> Tensor:
    """Some rows of a photo as (1, 3, rows, W)."""
    return to_tensor(Photo(photo.pixels[rows]))


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


def _half_type(device: torch.device) -> torch.dtype | None:
    """The half precision in which tiles run there; None where it would only cost accuracy."""
    if device.type != "cuda":
        return None
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


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
