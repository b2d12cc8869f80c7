"""The command itself: its name, what stands before every command, and how it answers a mistake."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from hdrgan.files.codec_logs import silence_codecs
from hdrgan.version import __version__


class Command(click.Command):
    """A command that is listed with the whole first paragraph of its help, and whose example is never wrapped."""

    def __init__(self, help: str = "", **settings: Any):
        text = inspect.cleandoc(help)
        example = text.replace("\nExample:", "\n\b\nExample:")
        super().__init__(help=example, short_help=text.partition("\n\n")[0], **settings)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Show the help of a command without arguments on standard output, as --help does."""
        if not args and self.no_args_is_help and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit(2)
        return super().parse_args(ctx, args)


class Group(Command, click.Group):
    """Commands in the order in which they are defined."""

    command_class = Command
    group_class = type

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group("hdrgan", cls=Group, context_settings={"max_content_width": 120, "show_default": True})
@click.option("--verbose", "-v", is_flag=True, help="Say what is being done.")
@click.version_option(__version__, message="hdrgan %(version)s", help="Print the version and end.")
def app(verbose: bool) -> None:
    """One photo in; five exposures and an HDR image out."""
    silence_codecs()
    logging.basicConfig(level=logging.INFO if verbose else logging.WARNING, format="%(levelname)s: %(message)s")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn an expected failure into one line and exit code 2; a bug keeps its traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
        click.secho(f"hdrgan: {error}", err=True, fg="red")
        raise click.exceptions.Exit(2) from None
