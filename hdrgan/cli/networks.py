"""``hdrgan convert``, ``export`` and ``push``: what is done with a network rather than with a photo."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from hdrgan.cli.options import Evs, stops_of
from hdrgan.cli.root import app, plain_errors
from hdrgan.light.evs import EVS_TEXT


@app.command(no_args_is_help=True)
def convert(
    kind: Annotated[
        Literal["bracket", "discriminator", "ein"],
        typer.Argument(help="Which published network the checkpoint is of."),
    ],
    checkpoint: Annotated[Path, typer.Argument(help="The published .pth state dict.")],
    folder: Annotated[Path, typer.Argument(help="Folder for model.safetensors and config.json.")],
    evs: Evs = EVS_TEXT,
) -> None:
    """Convert a published checkpoint to a model folder; nothing inside it is ever executed.

    Example: hdrgan convert ein ein.pth models/ein && hdrgan generate photo.jpg --model models/ein
    """
    from hdrgan.models.convert import convert_checkpoint

    with plain_errors():
        convert_checkpoint(kind, checkpoint, folder, evs=stops_of(evs))
    typer.echo(folder)


exporting = typer.Typer(help="Write a network for programs without torch.", no_args_is_help=True)
app.add_typer(exporting, name="export")


@exporting.callback()
def export() -> None:
    """Write a network for programs without torch."""


@exporting.command(no_args_is_help=True)
def onnx(
    model: Annotated[str, typer.Argument(help="Bundled name, model folder, or user/repo on the Hub.")],
    file: Annotated[Path, typer.Argument(help="The .onnx file to write.")],
) -> None:
    """Write a network as ONNX, and check with onnxruntime that it computes the same.

    The file of radiance takes a photo and gives radiance; those of the others hold the network alone.

    Example: hdrgan export onnx radiance radiance.onnx
    """
    with plain_errors():
        from hdrgan.pipeline import Pipeline

        difference = Pipeline.from_pretrained(model, device="cpu").export_onnx(file)
    typer.echo(f"{file}: differs from torch by {difference:.0e} of its range at most")


@app.command(no_args_is_help=True)
def push(
    model: Annotated[
        str, typer.Argument(help="Bundled name or model folder, such as a run's generator; a data set with --dataset.")
    ],
    repo: Annotated[str, typer.Argument(help="Where to: user/name.")],
    private: Annotated[bool, typer.Option("--private", help="Nobody else can see it.")] = False,
    space: Annotated[
        bool, typer.Option("--space", help="Publish the page as a Space of the same name as well.")
    ] = False,
    hardware: Annotated[
        str | None, typer.Option(help="Of a new Space: cpu-basic, zero-a10g (ZeroGPU), t4-small and so on.")
    ] = None,
    evaluation: Annotated[
        Path | None, typer.Option(help="Report of `hdrgan evaluate`; its figures go onto the card.")
    ] = None,
    sample: Annotated[
        list[Path] | None,
        typer.Option(help="Picture for the card; may be given several times. Left out: sheets of the example photos."),
    ] = None,
    dataset: Annotated[
        bool, typer.Option("--dataset", help="Publish a folder of `hdrgan prepare` as a data set.")
    ] = False,
    onnx: Annotated[bool, typer.Option("--onnx", help="Publish the network as onnx/model.onnx as well.")] = False,
    branch: Annotated[str | None, typer.Option(help="Branch to commit to; made if it is not there.")] = None,
    create_pr: Annotated[bool, typer.Option("--create-pr", help="Open a pull request instead of committing.")] = False,
    tag: Annotated[str | None, typer.Option(help="Name of the commit, such as v1.")] = None,
    message: Annotated[str | None, typer.Option("--commit-message", help="Message of the commit.")] = None,
) -> None:
    """Publish a model on the Hugging Face Hub: weights, configuration, card and pictures in one commit.

    Example: hdrgan push runs/radiance/generator me/my-radiance --evaluation report.json
    """
    import tempfile

    if dataset:
        from hdrgan.hub.datasets import push_dataset

        with plain_errors():
            if space or hardware or evaluation or sample or onnx or branch or create_pr or tag:
                raise ValueError("--dataset goes with --private and --commit-message alone")
            typer.echo(push_dataset(Path(model), repo, private=private, message=message))
        return

    from hdrgan.hub import card, publish
    from hdrgan.pipeline import Pipeline

    with plain_errors(), tempfile.TemporaryDirectory() as folder:
        samples: Sequence[Path | tuple[Path, str]] = sample or ()
        if not samples and publish.makes_pictures(model):  # a discriminator has nothing to show
            sheets = card.sample_sheets(Pipeline.from_pretrained(model), Path(folder))
            samples = [*card.results_figure(model), *sheets]
        graph = None
        if onnx:
            graph = Path(folder) / "model.onnx"
            Pipeline.from_pretrained(model, device="cpu").export_onnx(graph)
        done = publish.push(
            model,
            repo,
            private=private,
            space=space,
            hardware=hardware,
            evaluation=evaluation,
            samples=samples,
            onnx=graph,
            message=message,
            branch=branch,
            create_pr=create_pr,
            tag=tag,
        )
    typer.echo(done.pr_url or done.model_url)
    if done.space_url:
        typer.echo(done.space_url)
