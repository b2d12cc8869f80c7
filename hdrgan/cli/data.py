"""``hdrgan prepare`` and ``hdrgan evaluate``: data sets from scenes, and figures from data sets."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from hdrgan.cli.options import Device, Response, progress_bar
from hdrgan.cli.root import app, plain_errors


@app.command(no_args_is_help=True)
def prepare(
    scenes: Annotated[Path, typer.Argument(help="Folder of .hdr and .exr scenes, panoramas or pictures.")],
    output: Annotated[Path, typer.Argument(help="Folder for the data set; new or empty.")],
    layout: Annotated[
        Literal["bracket", "pairs"], typer.Option(help="bracket: five exposures a view. pairs: photo and HDR image.")
    ],
    views: Annotated[int, typer.Option(min=1, help="Views of each scene.")] = 6,
    size: Annotated[int, typer.Option(min=16, help="Side of a view in pixels.")] = 512,
    seed: Annotated[int, typer.Option(help="Of views, exposure, response curves and noise.")] = 0,
    responses: Annotated[
        Path | None, typer.Option(help=".npz of measured camera responses, or of the EMoR model.")
    ] = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave bad scenes out rather than refuse.")] = False,
) -> None:
    """Photograph HDR scenes with a virtual camera and write a training set in a published layout.

    Example: hdrgan prepare scenes data --layout bracket
    """
    from hdrgan.data import prepare as preparing

    with plain_errors(), progress_bar("Scenes") as progress:
        done = preparing.prepare(
            scenes,
            output,
            layout=layout,
            views=views,
            size=size,
            seed=seed,
            responses=responses,
            skip_bad=skip_bad,
            progress=progress,
        )
    for fault in done.faults:
        typer.secho(f"left out: {fault}", err=True, fg="yellow")
    typer.echo(f"{done.views} views of {done.scenes} scenes in {output}")


@app.command(no_args_is_help=True)
def evaluate(
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder of exposure stacks, real brackets, a rendered yardstick, a bracket folder, a pair folder, "
            "or a folder of HDR scenes."
        ),
    ],
    model: Annotated[
        list[str], typer.Option("--model", "-m", help="Name, folder or user/repo; may be given several times.")
    ] = ["radiance", "bracket"],  # noqa: B006  # typer reads the default, nobody changes it
    output: Annotated[Path | None, typer.Option("--output", "-o", help="JSON file for the report.")] = None,
    peers: Annotated[Path | None, typer.Option(help="Table (.tsv) of other systems' figures on the same data.")] = None,
    responses: Annotated[
        Path | None, typer.Option(help=".npz of the EMoR model, where the data were made with it.")
    ] = None,
    response: Response = "auto",
    own_calibration: Annotated[
        bool,
        typer.Option(
            "--own-calibration", help="Of stacks: also with the camera's own curve, by a stack's other shots."
        ),
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only so many inputs.")] = None,
    device: Device = None,
) -> None:
    """Score networks on pictures whose light is known, beside doing nothing at all.

    Example: hdrgan evaluate bench --model radiance --peers bench/peers.tsv -o report.json
    """
    from hdrgan.evaluation import report, scenes
    from hdrgan.models.pretrained import locate
    from hdrgan.pipeline import Pipeline

    with plain_errors(), progress_bar("Inputs") as progress:
        if output is not None and not output.absolute().parent.is_dir():  # checked before the work, not after it
            raise ValueError(f"--output {output}: there is no folder {output.parent}")
        systems = []
        for name in model:
            pipe = Pipeline.from_pretrained(name, device=device)
            systems.append(scenes.System.of_model(name, partial(pipe, response=response), locate(name)))
        table = scenes.evaluate(
            data,
            systems,
            responses=responses,
            limit=limit,
            peers=peers,
            own_calibration=own_calibration,
            progress=progress,
        )
        if output is not None:
            report.write_report(table, output)
    for fault in table["data"].get("left_out", ()):
        typer.secho(f"left out: {fault}", err=True, fg="yellow")
    typer.echo(report.format_report(table))
