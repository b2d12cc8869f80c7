"""The command line of the trainer: every flag, its default, and which values are refused."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from hdrgan.data.layout import LAYOUTS
from hdrgan.training.checkpoints import KEPT
from hdrgan.training.hyperparameters import RECIPES

TRACKERS = ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "tensorboard", "trackio", "wandb")
"""Those of accelerate; each is a package of its own that is asked for by name."""


def per_model(name: str) -> str:
    """Text of a default that depends on the network."""
    return ", ".join(f"{getattr(recipe, name):g} {model}" for model, recipe in RECIPES.items())


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the line breaks of the docstring, and shows defaults where there are any."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)


def hyphenated(argv: Sequence[str]) -> list[str]:
    """Flags with hyphens where they were written with underscores, as accelerate's and diffusers' are; values stay."""
    words = []
    for word in argv:
        flag, equals, value = word.partition("=")
        words.append((flag.replace("_", "-") if flag.startswith("--") else flag) + equals + value)
    return words


def dated_folder(model: str) -> Path:
    """Where a run goes that was given no place: ``runs/bracket-20261126-174205``."""
    return Path("runs") / f"{model}-{datetime.now():%Y%m%d-%H%M%S}"


def parse_args(manual: str, argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line; what it leaves open is filled in from the network's recipe.

    Flags may be written with underscores as well as with hyphens. ``output`` is None where no folder was named.

    Args:
        manual: text of the help around the flags: one line, an empty line, the rest.
        argv: words of the command line; None takes those of this process.
    """
    description, epilog = manual.split("\n\n", 1)
    parser = argparse.ArgumentParser(
        description=description,
        epilog=epilog,
        formatter_class=HelpFormatter,
    )
    add = parser.add_argument
    add("--model", choices=sorted(RECIPES), help="network to train; left out: bracket, or with --train ein")
    add("--train", choices=("True", "False"), help="True, as the line of EIN's published trainer has it")
    add(
        *("--dataset", "--root-path"),
        required=True,
        metavar="FOLDER",
        help="training data: a folder, or user/name of a data set on the Hub",
    )
    add("--output", type=Path, metavar="FOLDER", help="where the run leaves everything; runs/MODEL-DATE when left out")
    add("--layout", choices=LAYOUTS, help="of the data; recognised where it is not given")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, help="optimiser steps of the whole run")
    length.add_argument(
        *("--epochs", "--max-epoch"), type=float, help=f"passes over the data, without --steps: {per_model('epochs')}"
    )
    add("--batch-size", type=int, default=8, help="pictures of one process in one forward pass")
    add("--gradient-accumulation-steps", type=int, default=1, help="forward passes to one optimiser step")
    add("--learning-rate", "--lr", type=float, help=f"highest rate; {per_model('learning_rate')}")
    add("--crop-size", type=int, help=f"side of the training crops in pixels; {per_model('crop_size')}")
    add(
        "--l1-weight", type=float, help=f"of the L1: of exposures, of mu-law radiance for ein; {per_model('l1_weight')}"
    )
    add("--adversarial-weight", type=float, help=f"0 trains without a discriminator; {per_model('adversarial_weight')}")
    add("--clip", type=float, help=f"largest norm of the gradients; {per_model('clip')}")
    add("--width", type=int, help="channels of the first level: bracket 64, radiance 48, ein 32")
    add("--init", metavar="FOLDER", help="generator to start from: a folder with its weights, or a name on the Hub")
    add("--freeze", metavar="NAME", help="part that stays as --init has it, as network.encoder of radiance")
    add("--ema", type=float, default=0.999, metavar="DECAY", help="of the averaged generator, which is kept; 0 is off")
    add("--mixed-precision", choices=("no", "fp16", "bf16"), help="without it what accelerate is configured for")
    add(
        "--compile",
        nargs="?",
        const="inductor",
        choices=("inductor", "aot_eager", "eager"),
        help="compile the networks with torch.compile: inductor for speed, the others to find faults",
    )
    add("--gradient-checkpointing", action="store_true", help="of ein: less memory, a third more work")
    add("--cpu", action="store_true", help="leave accelerators alone")
    add("--seed", type=int, default=0, help="of weights, order, crops and camera")
    add("--resume", metavar="latest|PATH", help="go on from the newest checkpoint of --output, or from this one")
    add("--skip-bad", action="store_true", help="leave bad files and rows out instead of refusing the data set")
    add(
        "--validation-share", type=float, default=0.1, help="of the scenes to hold out; pairs have a table of their own"
    )
    add("--validation-photos", type=int, default=16, help="most photos to validate on, spread over the scenes")
    add("--validate-every", type=int, default=500, metavar="STEPS", help="interval of figures and sample sheet")
    add("--checkpoint-every", type=int, default=500, metavar="STEPS", help="interval of checkpoints: most that is lost")
    add("--keep", type=int, default=KEPT, metavar="N", help="newest checkpoints that are kept")
    add("--views", type=int, default=24, help="views of each HDR scene (layout hdr)")
    add("--view-size", type=int, help="side of the views in pixels (layout hdr); the crop size where it is not given")
    add("--responses", type=Path, metavar="FILE.npz", help="measured camera responses, or the EMoR model (layout hdr)")
    add("--workers", type=int, default=min(4, os.cpu_count() or 1), help="processes that read data, for each process")
    add("--cache", type=Path, metavar="FOLDER", help="keep decoded scenes here for other runs, not in --output")
    add("--cache-gb", type=float, default=16.0, help="most disk space for decoded scenes; 0 decodes them every time")
    add("--log-with", choices=TRACKERS, help="besides metrics.jsonl")
    add("--push-to-hub", metavar="REPO", help="publish the network here at the end; login and rights are checked first")
    args = parser.parse_args(hyphenated(sys.argv[1:] if argv is None else argv))
    if args.train == "False":
        parser.error("--train False asks for a test, and this trains: test with hdrgan reconstruct or hdrgan evaluate")
    args.model = args.model or ("ein" if args.train else "bracket")
    recipe = RECIPES[args.model]
    for name in ("learning_rate", "crop_size", "l1_weight", "adversarial_weight", "clip"):
        if getattr(args, name) is None:
            setattr(args, name, getattr(recipe, name))
    if args.steps is None and args.epochs is None:
        args.epochs = recipe.epochs
    args.view_size = args.view_size or args.crop_size
    for name in ("batch_size", "gradient_accumulation_steps", "validate_every", "checkpoint_every", "keep", "views"):
        if getattr(args, name) < 1:
            parser.error(f"--{name.replace('_', '-')} must be at least 1, got {getattr(args, name)}")
    for name in ("steps", "epochs", "learning_rate", "clip", "width"):
        value = getattr(args, name)
        if value is not None and not (value > 0 and math.isfinite(value)):
            parser.error(f"--{name.replace('_', '-')} must be a positive number, got {value}")
    for name in ("l1_weight", "adversarial_weight", "workers", "validation_photos", "cache_gb", "seed"):
        if not getattr(args, name) >= 0:
            parser.error(f"--{name.replace('_', '-')} must not be negative, got {getattr(args, name)}")
    if not 0 <= args.ema < 1:
        parser.error(f"--ema must be in [0, 1), got {args.ema}")
    if not 0 <= args.validation_share < 1:
        parser.error(f"--validation-share must be in [0, 1), got {args.validation_share}")
    if args.freeze is not None and args.init is None:
        parser.error("--freeze keeps weights that are there already: it needs --init")
    if args.init is not None and args.width is not None:
        parser.error("--width is that of the network that --init names")
    if args.model == "ein" and args.adversarial_weight:
        parser.error("ein has no bracket of its own: it trains without a discriminator")
    if args.model != "ein" and args.gradient_checkpointing:
        parser.error("--gradient-checkpointing is for ein: the other networks need little memory")
    if args.output is None and args.resume is not None:
        parser.error("--resume needs the --output of the run that is to go on")
    if args.view_size < args.crop_size:
        parser.error(f"--view-size {args.view_size} is smaller than the crop of {args.crop_size} pixels")
    return args
