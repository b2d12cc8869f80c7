"""What is made of every photo of a batch: the settings, and the names and digests of files that follow from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdrgan.files.names import bracket_names, hdr_names
from hdrgan.files.photo import Photo
from hdrgan.models.convert import PICKLE_SUFFIXES
from hdrgan.models.pretrained import locate
from hdrgan.pipeline import Pipeline
from hdrgan.result import PICTURE_FORMATS, Result, check_hdr, one_of


@dataclass(frozen=True)
class OutputSettings:
    """What is made of every photo.

    Args:
        evs: exposures in stops.
        format: of the exposures; None where only the HDR image is wanted.
        hdr: kinds of HDR image.
        zip: whether the exposures, or the HDR images where there are no exposures, go into one archive.
        keep_gps: as in `Result.save`.
        network: other settings that decide what is in the files: model, its weights, response, projection.

    Raises:
        ValueError: a format that there is not.
    """

    evs: tuple[float, ...]
    format: str | None
    hdr: tuple[str, ...]
    zip: bool
    keep_gps: bool
    network: dict[str, Any]

    def __post_init__(self) -> None:
        if self.format is not None:
            one_of(self.format, PICTURE_FORMATS, "format")
        check_hdr(self.hdr)

    def files(self, name: str) -> dict[str, dict[str, Any]]:
        """The files of a photo, each with the settings that decide what is in it."""
        shared = {**self.network, "keep_gps": self.keep_gps}
        frames = [] if self.format is None else bracket_names(name, self.evs, self.format)
        light = hdr_names(name, self.hdr)
        if not self.zip:
            return {file: shared for file in frames + light}
        if self.format is None:
            return dict.fromkeys(hdr_names(name, self.hdr, zip=True), {**shared, "holds": light})
        packed = dict.fromkeys(bracket_names(name, self.evs, self.format, zip=True), {**shared, "holds": frames})
        return packed | {file: shared for file in light}

    def save(self, result: Result, folder: Path, name: str) -> None:
        """Write those files."""
        if self.format is None:
            result.save_hdr(folder, self.hdr, zip=self.zip, keep_gps=self.keep_gps, name=name)
        else:
            result.save(folder, format=self.format, hdr=self.hdr, zip=self.zip, keep_gps=self.keep_gps, name=name)


Process = Callable[[Photo], Result]


def processor(
    pipe: Pipeline, evs: Sequence[float], response: str, projection: str = "auto", *, one_thread: bool
) -> Process:
    """From a photo to its result.

    Args:
        pipe: the network.
        evs, response, projection: as `Pipeline.__call__` takes them.
        one_thread: run the network on one thread, whatever it is. Its sums depend on the number of threads in their
            last bits; photos of a batch are done side by side instead, and are the same however many processes share
            the work.
    """

    def process(photo: Photo) -> Result:
        pipe.set_threads(most=1 if one_thread else None)
        return pipe(photo, evs, response, projection=projection, wait=False)

    return process


def digest_of(model: str) -> str:
    """Twelve hexadecimal digits that tell a network's weights and configuration from any others.

    Args:
        model: a bundled name, a folder, a repository of the Hub, or a published checkpoint.
    """
    checkpoint = Path(model)
    if checkpoint.suffix.lower() in PICKLE_SUFFIXES and checkpoint.is_file():
        files = [checkpoint]
    else:
        files = [locate(model) / name for name in ("config.json", "model.safetensors")]
    digest = hashlib.sha256()
    for path in files:
        digest.update(hashlib.sha256(path.read_bytes()).digest() if path.exists() else b"")
    return digest.hexdigest()[:12]
