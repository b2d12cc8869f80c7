"""Options that several commands share, as decorators, and what stands in them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import click

from hdrgan.light.evs import EVS_TEXT

Option = Callable[[Callable[..., None]], Callable[..., None]]

model = click.option(
    "--model",
    "-m",
    default="radiance",
    help="Bundled name (radiance, bracket, ein), a folder, or user/repo on the Hub.",
)
evs = click.option("--evs", default=EVS_TEXT, help="Exposures in stops relative to the photo, separated by commas.")
hdr = partial(click.option, "--hdr", help="HDR files to write: any of exr, hdr, ultrahdr, separated by commas.")
response = click.option(
    "--response",
    default="auto",
    help="The curve a photo is read with: auto, camera (mean of measured cameras), srgb (renders), linear, or a "
    "file of 'hdrgan calibrate'. auto takes the photo's own camera where it was calibrated, else camera; of "
    "renders and screenshots srgb.",
    metavar="auto|camera|srgb|linear|FILE",
)
finished = click.option("--finished", is_flag=True, help="Write one picture to keep as well, <stem>_finished.jpg.")
keep_gps = click.option("--keep-gps", is_flag=True, help="Let the files say where the photo was taken.")
projection = click.option(
    "--projection",
    type=click.Choice(["auto", "flat", "equirectangular"]),
    default="auto",
    help="equirectangular panoramas close around the viewer; auto looks whether their edges meet.",
)
device = click.option("--device", help="cpu, cuda or mps; the best there is when left out.")
ignore_gain_map = click.option(
    "--ignore-gain-map", is_flag=True, help="Take photos with a gain map for ordinary ones: invent their light."
)
max_megapixels = click.option(
    "--max-megapixels",
    type=click.FloatRange(min=0.000001),
    default=250.0,
    help="Refuse larger photos; a photo takes some 40 MB of memory a megapixel.",
)


def together(*options: Option) -> Option:
    """Several options as one decorator, in the order of --help."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def stops_of(evs: str) -> list[float]:
    """``"-2, 0, 2"`` to numbers; ValueError says which option is wrong."""
    try:
        return [float(ev) for ev in evs.split(",")]
    except ValueError:
        raise ValueError(f"--evs must be numbers separated by commas, such as -2,0,2, got {evs!r}") from None


def kinds_of(hdr: str, finished: bool) -> list[str]:
    """What is to be written beside the exposures: the HDR formats, and "finished" for the picture to keep."""
    return [name.strip() for name in hdr.split(",") if name.strip()] + ["finished"] * finished


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[..., None]]:
    """A bar on the terminal and the callback (done, total, …) that moves it; silent where output goes to a file."""
    with click.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int, *_: object) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show
