"""``hdrgan generate`` and ``hdrgan reconstruct``: photos to exposures and light."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from hdrgan.cli.options import Device, Evs, Hdr, Model, Response, saying, split, stops_of
from hdrgan.cli.root import app, plain_errors

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif"}


class PictureFormat(StrEnum):
    """What the exposures are written as."""

    png = "png"
    jpg = "jpg"
    tiff = "tiff"


Photos = Annotated[
    list[Path], typer.Argument(help="Photos, or folders of photos.", show_default=False, metavar="PHOTO…")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; made if it is not there.")]
KeepGps = Annotated[bool, typer.Option("--keep-gps", help="Let the files say where the photo was taken.")]


@app.command(no_args_is_help=True)
def generate(
    photos: Photos,
    output: Output = Path("out"),
    model: Model = "radiance",
    evs: Evs = "-4,-2,0,2,4",
    hdr: Hdr = "",
    format: Annotated[PictureFormat, typer.Option(help="Format of the exposures.")] = PictureFormat.png,
    response: Response = "auto",
    zip: Annotated[bool, typer.Option("--zip", help="Put the exposures of each photo into one .zip.")] = False,
    keep_gps: KeepGps = False,
    device: Device = None,
) -> None:
    """Make an exposure bracket of each photo, and its HDR image with --hdr.

    Writes <stem>_ev-4.png … <stem>_ev+4.png, dark to bright; <stem>_ev+0.png is the photo itself.

    Example: hdrgan generate holiday/*.jpg -o brackets --hdr exr,ultrahdr
    """
    with plain_errors():
        stops = stops_of(evs)
        kinds = split(hdr)
        run(
            photos,
            model,
            device,
            lambda pipe, photo: saying(pipe(photo, stops, response)).save(
                output, format=format.value, hdr=kinds, zip=zip, keep_gps=keep_gps
            ),
        )


@app.command(no_args_is_help=True)
def reconstruct(
    photos: Photos,
    output: Output = Path("out"),
    model: Model = "radiance",
    hdr: Hdr = "exr",
    response: Response = "auto",
    zip: Annotated[bool, typer.Option("--zip", help="Put the files of each photo into one .zip.")] = False,
    keep_gps: KeepGps = False,
    device: Device = None,
) -> None:
    """Make only the HDR image of each photo, in linear light where 1.0 is the photo's white.

    Writes <stem>.exr, <stem>.hdr, and with ultrahdr <stem>_ultrahdr.jpg: the photo itself, which screens that can
    show brighter than white.

    Example: hdrgan reconstruct window.jpg -o light --hdr exr,hdr,ultrahdr
    """
    with plain_errors():
        kinds = split(hdr)
        if not kinds:
            raise ValueError("--hdr must name at least one of exr, hdr, ultrahdr")
        run(
            photos,
            model,
            device,
            lambda pipe, photo: saying(pipe(photo, (0.0,), response)).save_hdr(
                output, kinds, zip=zip, keep_gps=keep_gps
            ),
        )


def run(photos: list[Path], model: str, device: str | None, job: Callable[[Any, Path], list[Path]]) -> None:
    """Do ``job(pipeline, photo)`` for every photo; say what failed, go on, and end with exit code 1 if anything did."""
    files = list(find_photos(photos))
    if not files:
        raise ValueError(f"no photos in {', '.join(map(str, photos))}")
    from hdrgan.files.photo import PhotoError
    from hdrgan.pipeline import Pipeline

    pipe = Pipeline.from_pretrained(model, device=device)
    failed = 0
    shown = len(files) > 1 and sys.stderr.isatty()
    with typer.progressbar(files, label="Photos", file=sys.stderr, hidden=not shown) as bar:
        for file in bar:
            try:
                written = job(pipe, file)
            except PhotoError as error:
                failed += 1
                typer.secho(f"{file}: {error}", err=True, fg="red")
                continue
            if not shown:
                for path in written:
                    typer.echo(path)
    if failed:
        typer.secho(f"{failed} of {len(files)} photos could not be read.", err=True, fg="red")
        raise typer.Exit(1)


def find_photos(paths: list[Path]) -> Iterator[Path]:
    """The photos named, and those in the folders named, in order."""
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.iterdir() if file.suffix.lower() in PHOTO_SUFFIXES)
        elif path.exists():
            yield path
        else:
            raise FileNotFoundError(f"{path} does not exist")
