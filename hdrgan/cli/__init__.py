"""The command line: ``hdrgan generate photo.jpg -o out`` and its siblings, a module for each group of commands.

Only click is imported at the top, so that ``--help`` answers at once; torch is loaded when there is work for it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from hdrgan.cli import generate, calibrate, data, networks, programs  # isort: skip  # in the order of --help
from hdrgan.cli.root import app

__all__ = ["app", "calibrate", "data", "generate", "main", "networks", "programs"]

EXTRAS = {
    "accelerate": "train",
    "gradio": "app",
    "onnx": "onnx",
    "onnxruntime": "onnx",
    "onnxscript": "onnx",
    "psutil": "train",
    "python_calamine": "eval",
    "starlette": "app",
    "torchmetrics": "eval",
}
"""Packages that not everyone has, and the extra of hdrgan that brings them."""


def understood(words: Sequence[str]) -> list[str]:
    """The command line as its commands know it.

    Flags may be written with underscores, and the published program's ``--image FILE`` names a photo, as FILE alone
    does. What stands behind ``--`` is left alone.
    """
    known: list[str] = []
    for k, word in enumerate(words):
        if word == "--":
            return [*known, *words[k:]]
        flag, equals, value = word.partition("=")
        if flag == "--image":
            known += [value] if equals else []
        else:
            known.append((flag.replace("_", "-") if flag.startswith("--") else flag) + equals + value)
    return known


def main() -> None:
    """Do what the command line says; the entry point of ``hdrgan`` is `hdrgan.__main__.main`."""
    # Threads that wait by spinning take the processor from those that work, wherever the machine has other things to
    # do as well: up to four times slower, for nothing measurable in return. It is read when torch is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app(args=understood(sys.argv[1:]))
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        extra = EXTRAS.get(package)
        if extra is None:
            raise
        print(f"hdrgan: this needs {package}: python -m pip install 'hdrgan[{extra}]'", file=sys.stderr)  # noqa: T201
        sys.exit(2)
