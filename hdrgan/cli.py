"""The command line: ``hdrgan generate photo.jpg -o out`` and its siblings.

Only typer is imported at the top, so that ``--help`` answers at once; torch is loaded when there is work for it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff", ".heic", ".heif"}

app = typer.Typer(
    name="hdrgan",
    help="One photo in; five exposures and an HDR image out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


class PictureFormat(StrEnum):
    """What the exposures are written as."""

    png = "png"
    jpg = "jpg"
    tiff = "tiff"


class ResponseChoice(StrEnum):
    """What is assumed of the camera's curve."""

    auto = "auto"
    srgb = "srgb"


Photos = Annotated[
    list[Path], typer.Argument(help="Photos, or folders of photos.", show_default=False, metavar="PHOTO…")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results; made if it is not there.")]
Model = Annotated[
    str, typer.Option("--model", "-m", help="Bundled name (radiance, bracket, ein), a folder, or user/repo on the Hub.")
]
Evs = Annotated[str, typer.Option("--evs", help="Exposures in stops relative to the photo, separated by commas.")]
Hdr = Annotated[str, typer.Option("--hdr", help="HDR files to write: exr, hdr, or both separated by a comma.")]
Response = Annotated[
    ResponseChoice,
    typer.Option(help="auto estimates the camera's curve; srgb takes the photo for plain sRGB, as renders are."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is when left out.")]


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.")] = False,
) -> None:
    """One photo in; five exposures and an HDR image out."""
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s: %(message)s")
    if version:
        from hdrgan import __version__

        typer.echo(f"hdrgan {__version__}")
        raise typer.Exit


@app.command(no_args_is_help=True)
def generate(
    photos: Photos,
    output: Output = Path("out"),
    model: Model = "radiance",
    evs: Evs = "-4,-2,0,2,4",
    hdr: Hdr = "",
    format: Annotated[PictureFormat, typer.Option(help="Format of the exposures.")] = PictureFormat.png,
    response: Response = ResponseChoice.auto,
    zip: Annotated[bool, typer.Option("--zip", help="Put the exposures of each photo into one .zip.")] = False,
    device: Device = None,
) -> None:
    """Make an exposure bracket of each photo, and its HDR image with --hdr.

    Writes <stem>_ev-4.png … <stem>_ev+4.png, dark to bright; <stem>_ev+0.png is the photo itself.

    Example: hdrgan generate holiday/*.jpg -o brackets --hdr exr
    """
    with plain_errors():
        stops = [float(ev) for ev in evs.split(",")]
        kinds = split(hdr)
        run(
            photos,
            model,
            device,
            lambda pipe, photo: pipe(photo, stops, response.value).save(
                output, format=format.value, hdr=kinds, zip=zip
            ),
        )


@app.command(no_args_is_help=True)
def reconstruct(
    photos: Photos,
    output: Output = Path("out"),
    model: Model = "radiance",
    hdr: Hdr = "exr",
    response: Response = ResponseChoice.auto,
    device: Device = None,
) -> None:
    """Make only the HDR image of each photo: <stem>.exr, <stem>.hdr, in linear light where 1.0 is the photo's white.

    Example: hdrgan reconstruct window.jpg -o light --hdr exr,hdr
    """
    with plain_errors():
        kinds = split(hdr)
        if not kinds:
            raise ValueError("--hdr must name at least one of exr, hdr")
        run(photos, model, device, lambda pipe, photo: pipe(photo, (0.0,), response.value).save_hdr(output, kinds))


def run(photos: list[Path], model: str, device: str | None, job) -> None:
    """Do ``job(pipeline, photo)`` for every photo; say what failed, go on, and end with exit code 1 if anything did."""
    files = list(find_photos(photos))
    if not files:
        raise ValueError(f"no photos in {', '.join(map(str, photos))}")
    from hdrgan.image_io import PhotoError
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


def split(names: str) -> list[str]:
    """``"exr, hdr"`` to its parts."""
    return [name.strip() for name in names.split(",") if name.strip()]


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an expected failure into one line and exit code 2; a bug keeps its traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"hdrgan: {error}", err=True, fg="red")
        raise typer.Exit(2) from None


def main() -> None:
    """Entry point of ``hdrgan`` and ``python -m hdrgan``."""
    app()


if __name__ == "__main__":
    main()
