"""``hdrgan generate`` and ``hdrgan reconstruct``: photos to exposures and light."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hdrgan.cli.batch import FromList, Jobs, JsonLines, Output, Overwrite, Photos, Recursive, Request, ShardOf, run
from hdrgan.cli.options import (
    Device,
    Evs,
    Finished,
    Hdr,
    IgnoreGainMap,
    KeepGps,
    MaxMegapixels,
    Model,
    Projection,
    Response,
    kinds_of,
    stops_of,
)
from hdrgan.cli.root import app, plain_errors
from hdrgan.light.evs import EVS_TEXT


@app.command(no_args_is_help=True)
def generate(
    photos: Photos = None,
    output: Output = Path("out"),
    model: Model = "radiance",
    evs: Evs = EVS_TEXT,
    hdr: Hdr = "",
    format: Annotated[Literal["png", "jpg", "tiff"], typer.Option(help="Format of the exposures.")] = "png",
    response: Response = "auto",
    projection: Projection = "auto",
    zip: Annotated[bool, typer.Option("--zip", help="Put the exposures of each photo into one .zip.")] = False,
    finished: Finished = False,
    keep_gps: KeepGps = False,
    device: Device = None,
    recursive: Recursive = False,
    from_list: FromList = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: ShardOf = None,
    json: JsonLines = False,
    ignore_gain_map: IgnoreGainMap = False,
    max_megapixels: MaxMegapixels = 250.0,
) -> None:
    """Make an exposure bracket of each photo, and its HDR image with --hdr.

    Writes <stem>_ev-4.png … <stem>_ev+4.png, dark to bright; <stem>_ev+0.png is the photo itself. Photos that are
    complete already are skipped, and nothing that hdrgan did not write is replaced: see docs/scale.md.

    Example: hdrgan generate holiday/*.jpg -o brackets --hdr exr,ultrahdr
    """
    with plain_errors():
        run(
            Request(
                photos or [],
                from_list,
                recursive,
                output,
                overwrite,
                jobs,
                shard,
                json,
                ignore_gain_map,
                max_megapixels,
            ),
            model,
            device,
            evs=stops_of(evs),
            response=response,
            projection=projection,
            format=format,
            hdr=kinds_of(hdr, finished),
            zip=zip,
            keep_gps=keep_gps,
        )


@app.command(no_args_is_help=True)
def reconstruct(
    photos: Photos = None,
    output: Output = Path("out"),
    model: Model = "radiance",
    hdr: Hdr = "exr",
    response: Response = "auto",
    projection: Projection = "auto",
    zip: Annotated[bool, typer.Option("--zip", help="Put the files of each photo into one .zip.")] = False,
    finished: Finished = False,
    keep_gps: KeepGps = False,
    device: Device = None,
    recursive: Recursive = False,
    from_list: FromList = None,
    overwrite: Overwrite = False,
    jobs: Jobs = None,
    shard: ShardOf = None,
    json: JsonLines = False,
    ignore_gain_map: IgnoreGainMap = False,
    max_megapixels: MaxMegapixels = 250.0,
) -> None:
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
        run(
            Request(
                photos or [],
                from_list,
                recursive,
                output,
                overwrite,
                jobs,
                shard,
                json,
                ignore_gain_map,
                max_megapixels,
            ),
            model,
            device,
            evs=[0.0],
            response=response,
            projection=projection,
            format=None,
            hdr=kinds,
            zip=zip,
            keep_gps=keep_gps,
        )
