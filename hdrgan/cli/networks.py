"""``hdrgan convert``, ``export`` and ``push``: what is done with a network rather than with a photo."""

from __future__ import annotations

from pathlib import Path

import click

from hdrgan.cli import options
from hdrgan.cli.options import stops_of
from hdrgan.cli.root import app, plain_errors


@app.command(no_args_is_help=True)
@click.argument(
    "kind",
    type=click.Choice(["bracket", "discriminator", "ein"]),
    help="Which published network the checkpoint is of.",
)
@click.argument("checkpoint", type=Path, help="The published .pth state dict.")
@click.argument("folder", type=Path, help="Folder for model.safetensors and config.json.")
@options.evs
def convert(kind: str, checkpoint: Path, folder: Path, evs: str) -> None:
    """Convert a published checkpoint to a model folder; nothing inside it is ever executed.

    Example: hdrgan convert ein ein.pth models/ein && hdrgan generate photo.jpg --model models/ein
    """
    from hdrgan.models.convert import convert_checkpoint

    with plain_errors():
        convert_checkpoint(kind, checkpoint, folder, evs=stops_of(evs))
    click.echo(folder)


@app.group()
def export() -> None:
    """Write a network for programs without torch."""


@export.command(no_args_is_help=True)
@click.argument("model", help="Bundled name, model folder, or user/repo on the Hub.")
@click.argument("file", type=Path, help="The .onnx file to write.")
def onnx(model: str, file: Path) -> None:
    """Write a network as ONNX, and check with onnxruntime that it computes the same.

    The file of radiance takes a photo and gives radiance; those of the others hold the network alone.

    Example: hdrgan export onnx radiance radiance.onnx
    """
    with plain_errors():
        from hdrgan.pipeline import Pipeline

        difference = Pipeline.from_pretrained(model, device="cpu").export_onnx(file)
    click.echo(f"{file}: differs from torch by {difference:.0e} of its range at most")


@app.command(no_args_is_help=True)
@click.argument("model", help="Bundled name or model folder, such as a run's generator; a data set with --dataset.")
@click.argument("repo", help="Where to: user/name.")
@click.option("--private", is_flag=True, help="Nobody else can see it.")
@click.option("--space", is_flag=True, help="Publish the page as a Space of the same name as well.")
@click.option("--hardware", help="Of a new Space: cpu-basic, zero-a10g (ZeroGPU), t4-small and so on.")
@click.option("--evaluation", type=Path, help="Report of `hdrgan evaluate`; its figures go onto the card.")
@click.option(
    "--sample",
    type=Path,
    multiple=True,
    help="Picture for the card; may be given several times. Left out: sheets of the example photos.",
)
@click.option("--dataset", is_flag=True, help="Publish a folder of `hdrgan prepare` as a data set.")
@click.option("--onnx", is_flag=True, help="Publish the network as onnx/model.onnx as well.")
@click.option("--branch", help="Branch to commit to; made if it is not there.")
@click.option("--create-pr", is_flag=True, help="Open a pull request instead of committing.")
@click.option("--tag", help="Name of the commit, such as v1.")
@click.option("--commit-message", "message", help="Message of the commit.")
def push(
    model: str,
    repo: str,
    private: bool,
    space: bool,
    hardware: str | None,
    evaluation: Path | None,
    sample: tuple[Path, ...],
    dataset: bool,
    onnx: bool,
    branch: str | None,
    create_pr: bool,
    tag: str | None,
    message: str | None,
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
            click.echo(push_dataset(Path(model), repo, private=private, message=message))
        return

    from hdrgan.hub import publish
    from hdrgan.pipeline import Pipeline

    with plain_errors(), tempfile.TemporaryDirectory() as folder:
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
            samples=sample or None,
            onnx=graph,
            message=message,
            branch=branch,
            create_pr=create_pr,
            tag=tag,
        )
    click.echo(done.pr_url or done.model_url)
    if done.space_url:
        click.echo(done.space_url)
