"""The command itself: its name, what stands before every command, and how it answers a mistake."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from hdrgan.files.codec_logs import silence_codecs

app = typer.Typer(
    name="hdrgan",
    help="One photo in; five exposures and an HDR image out.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def print_version(asked: bool) -> None:
    """Print the version and end, before a command is missed."""
    if asked:
        from hdrgan.version import __version__

        typer.echo(f"hdrgan {__version__}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say what is being done.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """One photo in; five exposures and an HDR image out."""
    silence_codecs()
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s: %(message)s")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an expected failure into one line and exit code 2; a bug keeps its traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        typer.secho(f"hdrgan: {error}", err=True, fg="red")
        raise typer.Exit(2) from None
