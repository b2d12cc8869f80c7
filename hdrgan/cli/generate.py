"""``hdrgan generate`` and ``hdrgan reconstruct``: photos to exposures and light."""

from __future__ import annotations

from typing import Unpack

import click

from hdrgan.cli import options
from hdrgan.cli.batch import Request, how, run, which
from hdrgan.cli.options import kinds_of, stops_of
from hdrgan.cli.root import app, plain_errors


@app.command(no_args_is_help=True)
@which
@options.evs
@options.hdr(default="", show_default=False)
@click.option("--format", type=click.Choice(["png", "jpg", "tiff"]), default="png", help="Format of the exposures.")
@options.response
@options.projection
@click.option("--zip", is_flag=True, help="Put the exposures of each photo into one .zip.")
@how
def generate(evs: str, hdr: str, format: str, finished: bool, **request: Unpack[Request]) -> None:
    """Make an exposure bracket of each photo, and its HDR image with --hdr.

    Writes <stem>_ev-4.png … <stem>_ev+4.png, dark to bright; <stem>_ev+0.png is the photo itself. Photos that are
    complete already are skipped, and nothing that hdrgan did not write is replaced: see docs/scale.md.

    Example: hdrgan generate holiday/*.jpg -o brackets --hdr exr,ultrahdr
    """
    with plain_errors():
        run(request, evs=stops_of(evs), format=format, hdr=kinds_of(hdr, finished))


@app.command(no_args_is_help=True)
@which
@options.hdr(default="exr")
@options.response
@options.projection
@click.option("--zip", is_flag=True, help="Put the files of each photo into one .zip.")
@how
def reconstruct(hdr: str, finished: bool, **request: Unpack[Request]) -> None:
    """Make only the HDR image of each photo, in linear light where 1.0 is the photo's white.

    Writes <stem>.exr, <stem>.hdr, and with ultrahdr <stem>_ultrahdr.jpg: the photo itself, which screens that can
    show brighter than white. Photos that are complete already are skipped, and nothing that hdrgan did not write is
    replaced: see docs/scale.md.

    Example: hdrgan reconstruct window.jpg -o light --hdr exr,hdr,ultrahdr
    """
    with plain_errors():
        kinds = kinds_of(hdr, finished)
        if not kinds:
            raise ValueError("--hdr must name at least one of exr, hdr, ultrahdr")
        run(request, evs=[0.0], format=None, hdr=kinds)
