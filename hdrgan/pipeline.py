"""A photo to its light: load, run a network, render the exposures, hand back a `Result`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.files.photo import Photo, load_photo, to_tensor
from hdrgan.light.cancellation import Cancellation, check_cancelled
from hdrgan.light.merge import merge
from hdrgan.light.radiometry import luminance, srgb_curve, srgb_to_linear
from hdrgan.light.recorded import above_ceiling, opaque_only, reaches, recorded_only, with_wide_colours
from hdrgan.light.rendering import RaisedLight, StoredLight, peak_of, render, strips
from hdrgan.light.tiling import tiled_strips
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.pretrained import PretrainedError, locate, read_config
from hdrgan.models.radiance_generator import LightFields, RadianceGenerator, clip_mask
from hdrgan.result import Result, one_of

DEFAULT_EVS = (-4.0, -2.0, 0.0, 2.0, 4.0)
_CLIPPED = (0.94, 0.995)  # encoded values between which a channel passes from measured to clipped
_READ_WHOLE = 384**2  # pixels up to which the response is estimated from all of a photo
_PIECES, _PIECE = 64, 32  # of a larger one, and their side: many small ones see more of the scene than few large ones
_FURTHER = 0.5  # size of the second look at a photo, relative to the first
_LIGHT_AT_ONCE = 40e6  # pixels up to which painted exposures and their light are held side by side

Network = RadianceGenerator | BracketGenerator | EIN
_NETWORKS: dict[str, type[Network]] = {net.__name__: net for net in (RadianceGenerator, BracketGenerator, EIN)}

_WORK: dict[type[Network], str] = {RadianceGenerator: "fields", BracketGenerator: "forward", EIN: "reconstruct"}


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
        *,
        cancellation: Cancellation | None = None,
    ) -> Result:
        """Turn a photo into exposures and radiance.

        Args:
            photo: path, bytes, file, PIL image, (H, W, 3) array or `Photo`; any size from 1 x 1. Where it records its
                own light (`Photo.light`), that is the radiance, and only what reached its ceiling is invented.
            evs: stops relative to the photo, ascending; +1 is twice the light.
            response: "auto" lets a RadianceGenerator estimate the camera's curve; "srgb" takes the photo for plain
                sRGB, as renders and screenshots are. The other networks always assume sRGB.
            cancellation: asked at every tile and stage; None is the token that is in force, if any.

        Returns:
            See `Result`. With a RadianceGenerator or EIN the frame at EV 0 is the photo, pixel for pixel.

        Raises:
            PhotoError: the file is no photo that can be read.
            ValueError: ``evs`` or ``response`` make no sense.
            CancelledError: the token was set.
        """
        if cancellation is not None:
            with cancellation.in_force():
                return self(photo, evs, response)
        evs = check_evs(evs)
        one_of(response, ("auto", "srgb"), "response")
        if not isinstance(photo, Photo):
            photo = load_photo(photo, scenes=True)
        check_cancelled()
        curve = srgb_curve().numpy() if photo.response is None else photo.response
        if photo.light is not None and not reaches(photo.light, photo.ceiling):
            return Result.of(photo, evs, recorded_only(photo.pixels, photo.light, curve))
        if isinstance(self.model, RadianceGenerator):
            result = self._run_radiance(photo, evs, response)
        else:
            result = self._run_ein(photo, evs) if isinstance(self.model, EIN) else self._run_bracket(photo, evs)
        if photo.light is not None:
            light = above_ceiling(photo.pixels, photo.light, photo.ceiling, result.radiance, curve)
            return Result.of(photo, evs, light)
        if photo.wide is not None and not isinstance(self.model, BracketGenerator):
            seen = with_wide_colours(photo.pixels, result.radiance, result.invented, photo.wide, result.response)
            result = Result.of(photo, evs, seen)
        if photo.alpha is not None and not isinstance(self.model, BracketGenerator):
            opaque = opaque_only(photo.pixels, result.radiance, result.invented, photo.alpha, result.response)
            return Result.of(photo, evs, opaque)
        return result

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
        if photo.response is not None:
            curve = torch.from_numpy(photo.response)[None].to(self.device)
        elif response == "srgb":
            curve = srgb_curve(self.device)[None]
        else:
            curve = network.curve(_pieces(photo).to(self.device))
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
        check_cancelled()
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
            check_cancelled()
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
                check_cancelled()
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
        check_cancelled()
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
        check_cancelled()
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
