"""``hdrgan serve`` and ``hdrgan train``: the page and the trainer, wherever the package is installed."""

from __future__ import annotations

import importlib.util
import os
import sys

import click

from hdrgan.cli.root import app


@app.command()
@click.option("--host", help="Address to listen on; this machine alone when left out.")
@click.option("--port", type=int, help="Port; the first free one from 7860 when left out.")
@click.option("--models", help="Networks on offer: names, folders or Hub ids, separated by commas.")
def serve(host: str | None, port: int | None, models: str | None) -> None:
    """Serve the page until it is stopped; every limit of it is an environment variable, see the README.

    Example: hdrgan serve --port 8080 --models runs/radiance/generator
    """
    given = {"GRADIO_SERVER_NAME": host, "GRADIO_SERVER_PORT": port, "HDRGAN_MODELS": models}
    os.environ.update({name: str(value) for name, value in given.items() if value is not None})
    from hdrgan.page.environment import start

    start()


@app.command(add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})
@click.pass_context
def train(context: click.Context) -> None:
    """Train a network on your own pictures; takes the arguments of train_accelerate.py.

    Example: accelerate launch -m hdrgan train --model bracket --dataset dataset --output runs/bracket
    """
    from hdrgan.models.finding import project_file

    # A script of the top level, so that `accelerate launch train_accelerate.py` works in a checkout: no module of ours.
    spec = importlib.util.spec_from_file_location("train_accelerate", project_file("train_accelerate.py"))
    if spec is None or spec.loader is None:
        raise ImportError("train_accelerate.py cannot be loaded")
    trainer = importlib.util.module_from_spec(spec)
    sys.modules["train_accelerate"] = trainer  # as an import does; other processes have none, and need none
    spec.loader.exec_module(trainer)
    context.exit(trainer.main(context.args))
