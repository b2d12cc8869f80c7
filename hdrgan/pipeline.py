"""A photo to its light: load, run a network, render the exposures, hand back a `Result`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Self, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.files.exif import sensitivity
from hdrgan.files.photo import Photo, Source, load_photo, shared_tensor, to_tensor
from hdrgan.files.response_choice import ChosenResponse, Response, choose_response
from hdrgan.light.anchoring import anchor
from hdrgan.light.cancellation import Cancellation, check_cancelled
from hdrgan.light.confine import extended
from hdrgan.light.drawn import is_drawn
from hdrgan.light.evs import DEFAULT_EVS, check_evs
from hdrgan.light.merge import merge
from hdrgan.light.panorama import is_wrapped
from hdrgan.light.parallel import cores
from hdrgan.light.quiet import worth_filtering
from hdrgan.light.radiometry import decode, luminance, srgb_curve
from hdrgan.light.recorded import above_ceiling, opaque_only, reaches, recorded_only, with_wide_colours
from hdrgan.light.rendering import RaisedLight, StoredLight, peak_of, render, strips
from hdrgan.light.tiling import OVERLAP, TILE, tiled_strips
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.convert import PICKLE_SUFFIXES, CheckpointError, published_network
from hdrgan.models.ein import EIN
from hdrgan.models.patch_discriminator import PatchDiscriminator
from hdrgan.models.pretrained import PretrainedError, locate, read_config
from hdrgan.models.radiance_generator import CLIPPED, RadianceGenerator, clip_mask
from hdrgan.result import Result, one_of

log = logging.getLogger(__name__)

_AROUND = 8 / 3  # working size of a panorama, which shows six times the angle, relative to a photo's
_OVERLAP = 256  # pixels by which a panorama is continued on both sides: what the network sees beside a place
_LIGHT_AT_ONCE = 40e6  # pixels up to which generated exposures and their light are held together

Network = RadianceGenerator | BracketGenerator | EIN
_NETWORKS: dict[str, type[Network]] = {net.__name__: net for net in (RadianceGenerator, BracketGenerator, EIN)}

_WORK: dict[type[Network], str] = {RadianceGenerator: "light", BracketGenerator: "forward", EIN: "reconstruct"}


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
        working_size: int = RadianceGenerator.working_size,
        compile: bool | str = False,
    ):
        if not isinstance(model, tuple(_NETWORKS.values())):
            raise ValueError(f"model must be one of {', '.join(_NETWORKS)}, got {type(model).__name__}")
        self.device = _device(device)
        self.model = model.to(self.device).eval()
        if not isinstance(model, EIN):  # which chooses for each of its layers
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
        local_files_only: bool = False,
        force_download: bool = False,
        subfolder: str = "",
        dtype: torch.dtype | None = None,
        compile: bool | str = False,
    ) -> Self:
        """Load a bundled model ("radiance", "bracket", "ein"), a folder, a repository of the Hub, or a published .pth.

        Args:
            name: which; a .pth is read as data only, see `hdrgan.models.convert`.
            device: see `Pipeline`.
            revision, token, cache_dir, local_files_only, force_download, subfolder: of the Hub, see
                `hdrgan.models.pretrained.locate`.
            dtype: floating type of the network; None is float32. Light is float32 always.
            compile: see `Pipeline`.

        Raises:
            PretrainedError: the model is missing, damaged, or of an unknown class.
        """
        if Path(name).suffix.lower() in PICKLE_SUFFIXES and Path(name).is_file():
            return cls(_published(name, dtype), device=device, name=Path(name).stem, compile=compile)
        folder = locate(
            name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
            force_download=force_download,
            subfolder=subfolder,
        )
        kind = read_config(folder).get("_class_name")
        if kind not in _NETWORKS:
            raise PretrainedError(
                f"{name} holds {'a ' + str(kind) if kind else 'a network of unknown class'}; "
                f"a pipeline runs {', '.join(_NETWORKS)}."
            )
        network = _NETWORKS[kind].from_pretrained(folder, dtype=dtype)
        return cls(network, device=device, name=str(name), compile=compile)

    def set_threads(self, most: int | None = None) -> None:
        """Let torch run the network on as many threads as suit it: a setting of this thread and those that come after.

        A RadianceGenerator gets one. It gains little by more, its light is then the same to the last bit on every
        number of cores, and the others are free for what is drawn and written meanwhile.

        Args:
            most: of another network; None is one for each core.
        """
        torch.set_num_threads(1 if isinstance(self.model, RadianceGenerator) else most or cores())

    def __call__(
        self,
        photo: Source | Photo,
        evs: Sequence[float] = DEFAULT_EVS,
        response: Response = "auto",
        *,
        projection: str = "auto",
        cancellation: Cancellation | None = None,
        wait: bool = True,
    ) -> Result:
        """Turn a photo into exposures and radiance.

        Args:
            photo: path, bytes, file, PIL image, (H, W, 3) array or `Photo`; any size from 1 x 1. Where it records its
                own light (`Photo.light`), that is the radiance, and only what reached its ceiling is invented.
            evs: stops relative to the photo, ascending; +1 is twice the light.
            response: what the photo, or a generated bracket, is read with: "auto" (its own camera where that was
                calibrated, else the mean of measured cameras; of renders and screenshots sRGB), "camera" (that mean),
                "srgb", "linear", the file of a calibration, or a `CameraCalibration`.
            projection: "equirectangular" for a panorama that closes around the viewer, "flat" for anything else, "auto"
                to look whether the left edge continues the right one.
            cancellation: asked at every tile and stage; None is the token that is in force, if any.
            wait: run the network now. False lets a RadianceGenerator run when its light is first asked for: while it
                does, `Result.save` writes on other cores the exposures that need none. What goes wrong is raised there.

        Returns:
            See `Result`. With a RadianceGenerator or EIN the frame at EV 0 is the photo, pixel for pixel.

        Raises:
            PhotoError: the file is no photo that can be read.
            ValueError: ``evs`` or ``response`` make no sense.
            CancelledError: the token was set.
        """
        if cancellation is not None:
            with cancellation.in_force():
                return self(photo, evs, response, projection=projection, wait=wait)
        evs = check_evs(evs)
        one_of(projection, ("auto", "flat", "equirectangular"), "projection")
        if not isinstance(photo, Photo):
            photo = load_photo(photo, scenes=True)
        check_cancelled()
        chosen = choose_response(photo, response)
        curve = srgb_curve().numpy() if photo.response is None else photo.response
        if photo.light is not None and not reaches(photo.light, photo.ceiling):
            return Result.of(photo, evs, recorded_only(photo.pixels, photo.light, curve))
        around = projection == "equirectangular" or (projection == "auto" and is_wrapped(photo.pixels))
        if isinstance(self.model, RadianceGenerator):
            result = self._run_radiance(photo, evs, chosen, around, wait)
        else:
            run = self._run_ein if isinstance(self.model, EIN) else self._run_bracket
            result = run(photo, evs, chosen.curve, around)
        if photo.light is not None:
            light = above_ceiling(photo.pixels, photo.light, photo.ceiling, result.radiance, curve)
            return Result.of(photo, evs, light)
        if photo.wide is not None and not isinstance(self.model, BracketGenerator):
            seen = with_wide_colours(photo.pixels, result.radiance, result.invented, photo.wide, result.response)
            result = Result.of(photo, evs, seen)
        if photo.alpha is not None and not isinstance(self.model, BracketGenerator):
            opaque = opaque_only(photo.pixels, result.radiance, result.invented, photo.alpha, result.response)
            result = Result.of(photo, evs, opaque)
        result.response_note = chosen.why
        return result

    def export_onnx(self, path: str | os.PathLike[str]) -> float:
        """Write the network as an ONNX file, checked with onnxruntime; see `hdrgan.models.export.export_onnx`.

        That of a RadianceGenerator takes a photo and gives what this pipeline gives with ``response="camera"``.

        Returns:
            The largest difference.

        Raises:
            ExportError: a package of the extra ``hdrgan[onnx]`` is missing, or the file computes something else.
        """
        from hdrgan.models.export import export_onnx  # seldom used

        def radiance_of(pixels: np.ndarray) -> np.ndarray:
            return self(pixels, (0,), "camera", projection="flat").radiance

        return export_onnx(self.model, path, radiance_of)

    def _run_radiance(
        self, photo: Photo, evs: tuple[float, ...], chosen: ChosenResponse, around: bool, wait: bool
    ) -> Result:
        network = cast(RadianceGenerator, self.model)
        # Other cameras clip a channel earlier than the mean one; a calibrated one is known, panoramas gain nothing.
        factor = partial(self._factor, photo, around, 0.0 if chosen.kind == "camera" and not around else 1.0)
        photographed = chosen.kind in ("camera", "calibration")
        return Result.of(
            photo,
            evs,
            RaisedLight(
                photo.pixels,
                chosen.curve,
                factor() if wait else factor,
                lambda codes: clip_mask(torch.from_numpy(codes), network.clip_start, network.clip_end).numpy(),
                photographed=photographed,
                noisy=photographed and worth_filtering(photo.width * photo.height, sensitivity(photo.exif)),
                wrapped=around,
            ),
        )

    @torch.inference_mode()
    def _factor(self, photo: Photo, around: bool, least: float) -> np.ndarray:
        """How many times as bright as white clipped channels are: (h, w, 3) >= ``least``, at the working size."""
        network = cast(RadianceGenerator, self.model)
        check_cancelled()
        size = _bounded(
            photo.height, photo.width, self.working_size * (_AROUND if around else 1), network.largest_enlargement
        )
        if around:  # the network's cells must meet at the seam as they meet anywhere else
            size = (size[0], max(1, round(size[1] / network.size_multiple)) * network.size_multiple)
        if not _clips(photo) or is_drawn(photo.pixels):
            return np.ones((*size, 3), np.float32)
        srgb = to_tensor(photo, _bounded(photo.height, photo.width, max(size)))
        if srgb.shape[-2:] != size:
            srgb = F.interpolate(srgb, size, mode="bilinear", align_corners=False)
        beside = min(_OVERLAP, size[1]) if around else 0
        seen = F.pad(srgb, (beside, beside, 0, 0), mode="circular") if around else srgb
        seen = _padded(seen, network.size_multiple)
        light = network.light(seen.to(self.device))
        check_cancelled()
        factor = light.factor()[..., : size[0], beside : beside + size[1]].cpu().float()
        mask = network.clipped(srgb)
        # Trust a channel most where it clipped; where no channel did, take the neighbours' value.
        factor = extended(factor, torch.maximum(mask, 0.01 * mask.amax(1, keepdim=True))).clamp(min=least)
        return factor[0].permute(1, 2, 0).numpy()

    @torch.inference_mode()
    def _run_ein(self, photo: Photo, evs: tuple[float, ...], response: np.ndarray, around: bool) -> Result:
        curve = torch.from_numpy(response)
        light = torch.empty(photo.height, photo.width, 3)  # first as the network says, then anchored to the photo
        for rows, relative in self._tiles(photo, around=around):
            light[rows] = relative[0].permute(1, 2, 0)
        parts = strips(photo.height, photo.width)
        scale = anchor(((_part_of(photo, rows), light[rows].permute(2, 0, 1)[None]) for rows in parts), curve)
        invented = torch.empty(photo.height, photo.width)
        clips, grey = _clips(photo), _is_grey(photo)
        for rows in strips(photo.height, photo.width):
            check_cancelled()
            srgb = _part_of(photo, rows)
            relative = light[rows].permute(2, 0, 1)[None]
            if grey:  # grey in, grey out
                relative = luminance(relative).expand_as(relative)
            linear = decode(srgb, curve)
            mask = clip_mask(srgb, *CLIPPED) * clips
            radiance = torch.lerp(linear, torch.maximum(relative * scale, linear), mask)  # (1, 3, rows, W)
            made_up = 1 - (linear / radiance.clamp(min=1e-6)).clamp(0, 1)
            invented[rows] = (made_up * mask)[0].amax(0)
            light[rows] = radiance[0].permute(1, 2, 0)
        return Result.of(photo, evs, StoredLight(photo.pixels, response, light.numpy(), invented.numpy()))

    @torch.inference_mode()
    def _run_bracket(self, photo: Photo, evs: tuple[float, ...], response: np.ndarray, around: bool) -> Result:
        frames = {ev: np.empty_like(photo.pixels) for ev in cast(BracketGenerator, self.model).evs if ev in evs}
        others = tuple(ev for ev in evs if ev not in frames)
        light: np.ndarray | None = None
        if others or photo.height * photo.width <= _LIGHT_AT_ONCE:
            light = np.empty((photo.height, photo.width, 3), np.float32)
        self._paint(photo, frames, light, response, around)
        if light is not None:
            frames |= zip(others, render(photo.pixels, light, others, response, keep_photo=False), strict=True)
        return Result(
            photo,
            tuple(frames[ev] for ev in evs),
            evs,
            partial(self._generated_light, photo, response, around) if light is None else light,
            partial(_clipped_share, photo),
            response,
        )

    def _paint(
        self,
        photo: Photo,
        frames: dict[float, np.ndarray],
        light: np.ndarray | None,
        response: np.ndarray,
        around: bool,
    ) -> None:
        """Run a BracketGenerator; fill the exposures that are asked for, and the light merged from all of them."""
        own = cast(BracketGenerator, self.model).evs
        peak, grey = peak_of(photo.pixels), _is_grey(photo)
        # Its receptive field is eleven pixels, so small tiles lose nothing and keep five exposures of a strip small.
        for rows, drawn in self._tiles(photo, around=around, tile=512, overlap=64):  # (1, N, 3, rows, W)
            for part in strips(rows.stop - rows.start, photo.width):
                check_cancelled()
                bracket = drawn[0, :, :, part]
                if grey:  # grey in, grey out
                    bracket = luminance(bracket).expand_as(bracket)
                there = slice(rows.start + part.start, rows.start + part.stop)
                for ev, frame in frames.items():
                    frame[there] = (bracket[own.index(ev)] * peak).round().permute(1, 2, 0).numpy()
                if light is not None:
                    light[there] = merge(bracket, own, torch.from_numpy(response)).permute(1, 2, 0).numpy()

    @torch.inference_mode()
    def _generated_light(self, photo: Photo, response: np.ndarray, around: bool) -> np.ndarray:
        """The light alone, by another run of the network: of a large photo it would not fit beside the exposures."""
        light = np.empty((photo.height, photo.width, 3), np.float32)
        self._paint(photo, {}, light, response, around)
        return light

    def _tiles(
        self, photo: Photo, *, around: bool = False, tile: int = TILE, overlap: int = OVERLAP
    ) -> Iterator[tuple[slice, Tensor]]:
        """The output of a network that works at the photo's own size, in strips: `hdrgan.light.tiling.tiled_strips`."""
        network = cast(BracketGenerator | EIN, self.model)
        beside = min(overlap, photo.width) if around else 0
        pixels = np.pad(photo.pixels, ((0, 0), (beside, beside), (0, 0)), "wrap") if around else photo.pixels
        for rows, output in tiled_strips(
            network,
            shared_tensor(pixels).permute(2, 0, 1)[None],
            tile=tile,
            overlap=overlap,
            multiple=network.size_multiple,
            minimum=network.minimum_size,
            device=self.device,
            half=_half_type(self.device),
        ):
            yield rows, output[..., beside : beside + photo.width]


def _published(pth: str | os.PathLike[str], dtype: torch.dtype | None) -> Network:
    """The network of a published checkpoint; PretrainedError unless it is a generator."""
    try:
        network = published_network(pth)
    except CheckpointError as error:
        raise PretrainedError(str(error)) from error
    if isinstance(network, PatchDiscriminator):
        raise PretrainedError(f"{pth} holds a PatchDiscriminator; a pipeline runs {', '.join(_NETWORKS)}.")
    log.warning(
        "%s is a published checkpoint of %s, read as data only; 'hdrgan convert' keeps it as a folder.",
        *(pth, type(network).__name__),
    )
    return network.to(dtype or torch.float32)


def _clipped_share(photo: Photo) -> np.ndarray:
    """In a generated bracket every pixel is the network's; what the photo had clipped counts as invented."""
    share = np.zeros(photo.pixels.shape[:2], np.float32)
    if not _clips(photo):
        return share
    for rows in strips(photo.height, photo.width):
        share[rows] = clip_mask(_part_of(photo, rows), *CLIPPED).amax(1)[0].numpy()
        check_cancelled()
    return share


def _clips(photo: Photo) -> bool:
    """Whether any channel reached the end of its scale; a photo that stays below it lost no light to clipping.

    The masks begin below white, because JPEG darkens some of what clipped. By themselves they would take bright paper
    for clipped.
    """
    return bool(photo.pixels.max() == peak_of(photo.pixels))


def _is_grey(photo: Photo) -> bool:
    """Whether no pixel has a colour."""
    bands = (photo.pixels[rows] for rows in strips(photo.height, photo.width))
    return all(bool((band[..., :2] == band[..., 1:]).all()) for band in bands)


def _part_of(photo: Photo, rows: slice) -> Tensor:
    """Some rows of a photo as (1, 3, rows, W)."""
    return to_tensor(Photo(photo.pixels[rows]))


def _padded(srgb: Tensor, multiple: int) -> Tensor:
    """Extend (1, 3, H, W) right and down to multiples by repeating the edge."""
    height, width = srgb.shape[2:]
    return F.pad(srgb, (0, -width % multiple, 0, -height % multiple), mode="replicate")


def _bounded(height: int, width: int, longest: float, largest: float = 1.0) -> tuple[int, int]:
    """Height and width for a longest side, at most ``largest`` times as large as they are."""
    scale = min(largest, longest / max(height, width))
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
