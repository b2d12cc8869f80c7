"""Options that several commands share, and what stands in them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

import typer

Model = Annotated[
    str, typer.Option("--model", "-m", help="Bundled name (radiance, bracket, ein), a folder, or user/repo on the Hub.")
]
Evs = Annotated[str, typer.Option("--evs", help="Exposures in stops relative to the photo, separated by commas.")]
Hdr = Annotated[str, typer.Option("--hdr", help="HDR files to write: any of exr, hdr, ultrahdr, separated by commas.")]
Response = Annotated[
    str,
    typer.Option(
        help="The curve a photo is read with: auto, camera (mean of measured cameras), srgb (renders), linear, or a "
        "file of 'hdrgan calibrate'. auto takes the photo's own camera where it was calibrated, else camera; of "
        "renders and screenshots srgb.",
        metavar="auto|camera|srgb|linear|FILE",
    ),
]
Finished = Annotated[bool, typer.Option("--finished", help="Write one picture to keep as well, <stem>_finished.jpg.")]
KeepGps = Annotated[bool, typer.Option("--keep-gps", help="Let the files say where the photo was taken.")]
Projection = Annotated[
    Literal["auto", "flat", "equirectangular"],
    typer.Option(help="equirectangular panoramas close around the viewer; auto looks whether their edges meet."),
]
Device = Annotated[str | None, typer.Option(help="cpu, cuda or mps; the best there is when left out.")]
IgnoreGainMap = Annotated[
    bool, typer.Option("--ignore-gain-map", help="Take photos with a gain map for ordinary ones: invent their light.")
]
MaxMegapixels = Annotated[
    float, typer.Option(min=0.000001, help="Refuse larger photos; a photo takes some 40 MB of memory a megapixel.")
]


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
    with typer.progressbar(length=1, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()) as bar:

        def show(done: int, total: int, *_: object) -> None:
            bar.length = max(total, 1)
            bar.update(done - bar.pos)

        yield show
