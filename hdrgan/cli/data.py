"""``hdrgan prepare`` and ``hdrgan evaluate``: data sets from scenes, and figures from data sets."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from hdrgan.cli import options
from hdrgan.cli.options import progress_bar
from hdrgan.cli.root import app, plain_errors


@app.command(no_args_is_help=True)
@click.argument("scenes", type=Path, help="Folder of .hdr and .exr scenes, panoramas or pictures.")
@click.argument("output", type=Path, help="Folder for the data set; new or empty.")
@click.option(
    "--layout",
    type=click.Choice(["bracket", "pairs"]),
    required=True,
    help="bracket: five exposures a view. pairs: photo and HDR image.",
)
@click.option("--views", type=click.IntRange(min=1), default=6, help="Views of each scene.")
@click.option("--size", type=click.IntRange(min=16), default=512, help="Side of a view in pixels.")
@click.option("--seed", default=0, help="Of views, exposure, response curves and noise.")
@click.option("--responses", type=Path, help=".npz of measured camera responses, or of the EMoR model.")
@click.option("--skip-bad", is_flag=True, help="Leave bad scenes out rather than refuse.")
def prepare(
    scenes: Path,
    output: Path,
    layout: str,
    views: int,
    size: int,
    seed: int,
    responses: Path | None,
    skip_bad: bool,
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
        click.secho(f"left out: {fault}", err=True, fg="yellow")
    click.echo(f"{done.views} views of {done.scenes} scenes in {output}")


@app.command(no_args_is_help=True)
@click.argument(
    "data",
    type=Path,
    help="A folder of exposure stacks, real brackets, a rendered yardstick, a bracket folder, a pair folder, or a "
    "folder of HDR scenes.",
)
@click.option(
    "--model",
    "-m",
    multiple=True,
    default=["radiance", "bracket"],
    help="Name, folder or user/repo; may be given several times.",
)
@click.option("--output", "-o", type=Path, help="JSON file for the report.")
@click.option("--peers", type=Path, help="Table (.tsv) of other systems' figures on the same data.")
@click.option("--responses", type=Path, help=".npz of the EMoR model, where the data were made with it.")
@options.response
@click.option(
    "--own-calibration",
    is_flag=True,
    help="Of stacks: also with the camera's own curve, by a stack's other shots.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Score only so many inputs.")
@options.device
def evaluate(
    data: Path,
    model: tuple[str, ...],
    output: Path | None,
    peers: Path | None,
    responses: Path | None,
    response: str,
    own_calibration: bool,
    limit: int | None,
    device: str | None,
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
        click.secho(f"left out: {fault}", err=True, fg="yellow")
    click.echo(report.format_report(table))
