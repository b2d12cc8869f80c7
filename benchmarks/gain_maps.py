"""What becomes of the light that photos record, and how near an Ultra HDR file comes to it that may not look.

    python benchmarks/gain_maps.py photos/

Takes photos with a gain map (Ultra HDR, iPhones, AVIF). The first table gives each file's headroom in stops, that of
the Ultra HDR file made of it, and how far libultrahdr and hdrgan differ in reading that file. The second is of the same
photos read as ordinary ones: RMS error in stops, in their bright parts, of the photo as it is and of the Ultra HDR file
made of it without its own map, against the light that the map records.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

import imagecodecs
import numpy as np

from hdrgan import Photo, Pipeline, load_photo
from hdrgan.files.limits import PhotoError
from hdrgan.files.ultrahdr import encode_ultrahdr
from hdrgan.light.srgb import srgb_to_linear

BRIGHT = 0.5
"""Linear light of the picture shown, from which on a part of it counts as bright."""

_BLACK = 1e-2


class Kept(NamedTuple):
    """What an Ultra HDR file keeps of the light that its photo records.

    Attributes:
        stated: stops of headroom that the photo states.
        written: the same of the file made of it.
        difference: median of the relative difference between two readers of that file.
        error: median relative error of the light against the photo's.
    """

    stated: float
    written: float
    difference: float
    error: float


def kept(photo: Photo) -> Kept:
    """Compare a photo that records its light with the Ultra HDR file made of it."""
    assert photo.light is not None
    assert photo.headroom is not None
    data = b"".join(encode_ultrahdr(photo, photo.light))
    again = load_photo(data)
    assert again.light is not None
    other = imagecodecs.ultrahdr_decode(data).astype(np.float32)[..., :3]
    return Kept(
        photo.headroom,
        again.headroom or 0.0,
        float(np.median(np.abs(other - again.light) / np.maximum(again.light, _BLACK))),
        float(np.median(np.abs(again.light - photo.light) / np.maximum(photo.light, _BLACK))),
    )


def bright_error(light: np.ndarray, recorded: np.ndarray, shown: np.ndarray) -> float:
    """RMS error in stops of light (H, W, 3) against what was recorded, where the picture shown is bright."""
    bright = srgb_to_linear(shown.max(-1) / np.float32(255)) > BRIGHT
    stops = np.log2(np.maximum(light[bright], _BLACK) / np.maximum(recorded[bright], _BLACK))
    return float(np.sqrt(np.mean(np.square(stops)))) if stops.size else 0.0


def without_its_map(path: Path, recorded: np.ndarray, pipe: Pipeline) -> tuple[float, float]:
    """Error in bright parts of the photo as it is, and of the Ultra HDR file made of it as of an ordinary photo."""
    plain = load_photo(path, gain_map=False)
    result = pipe(plain)
    again = load_photo(b"".join(encode_ultrahdr(plain, result.radiance, response=result.response)))
    shown = np.asarray(plain)
    assert again.light is not None
    as_it_is = srgb_to_linear(shown / np.float32(255))
    return bright_error(as_it_is, recorded, shown), bright_error(again.light, recorded, shown)


def main() -> int:
    """Print both tables."""
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("photos", nargs="+", type=Path, help="photos, or folders of them")
    ask.add_argument("--model", default="radiance", help="the network that answers without the map")
    given = ask.parse_args()
    pipe = Pipeline.from_pretrained(given.model, device="cpu")
    files = [f for p in given.photos for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.is_file()]
    sys.stdout.write("headroom in   out  readers  light     as it is  without map  file\n")
    every: list[tuple[float, float]] = []
    for file in files:
        try:
            photo = load_photo(file)
        except PhotoError:
            continue
        if photo.light is None or photo.light_source != "gain map":
            continue
        said = kept(photo)
        errors = (float("nan"), float("nan"))
        if photo.gain_map is not None and photo.headroom and load_photo(file, gain_map=False).light is None:
            errors = without_its_map(file, photo.light, pipe)
            every.append(errors)
        sys.stdout.write(
            f"{said.stated:11.3f} {said.written:5.3f} {said.difference:8.4f} {said.error:6.4f}"
            f" {errors[0]:12.2f} {errors[1]:12.2f}  {file.name}\n"
        )
        sys.stdout.flush()
    if every:
        middle = np.median(np.array(every), 0)
        sys.stdout.write(
            f"median of {len(every)} files: {middle[0]:.2f} as they are, {middle[1]:.2f} without their map\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
