"""The networks as they enter training: where their weights come from, what they take, and what learns how fast."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.finding import WEIGHTS_NAME, PretrainedError, bundled_folder, locate
from hdrgan.models.radiance_generator import RadianceGenerator
from hdrgan.models.weights_file import sha256_of
from hdrgan.training.preflight import UsageError

ENCODER_RATE = 0.2
"""Of the encoder of a RadianceGenerator, relative to the learning rate of the rest."""

Generator = BracketGenerator | RadianceGenerator | EIN


def build_generator(
    model: str, evs: Sequence[float] | None, *, width: int | None = None, init: str | None = None
) -> Generator:
    """The network to train: new, or with the weights of ``--init``.

    Args:
        model: which of the three.
        evs: stops of the brackets of the data set, ascending; ein has no use for them. None: any will do.
        width: channels of the first level; None is the usual number.
        init: folder with weights, or a name on the Hub.

    Raises:
        UsageError: the weights cannot be loaded or are of a network for other stops, or no network has this width.
    """
    networks: dict[str, type[Generator]] = {"bracket": BracketGenerator, "radiance": RadianceGenerator, "ein": EIN}
    if init is not None:
        try:
            generator = networks[model].from_pretrained(init).train()
        except PretrainedError as error:
            raise UsageError(f"--init {init}: {error}") from error
        if evs is not None and not isinstance(generator, EIN) and tuple(generator.evs) != tuple(evs):
            raise UsageError(f"--init holds a network for EVs {list(generator.evs)}, the data set has {list(evs)}")
        return generator
    stops: dict[str, Any] = {} if evs is None else {"evs": evs}
    try:
        if model == "bracket":
            return BracketGenerator(**stops, width=width) if width else BracketGenerator(**stops)
        if model == "ein":
            return EIN(width=width) if width else EIN()
        if width:
            usual = RadianceGenerator()
            *widths, edge = (max(1, round(w * width / usual.widths[0])) for w in (*usual.widths, usual.edge_width))
            return RadianceGenerator(**stops, widths=widths, edge_width=edge)
        return RadianceGenerator(**stops)
    except ValueError as error:
        raise UsageError(f"--width {width}: {error}") from error


def check_networks(model: str, *, width: int | None, init: str | None, crop_size: int, frozen: str | None) -> None:
    """Make sure, before any data are read, that the network can be built and trained as asked.

    Args:
        model: which of the three.
        width: of ``--width``.
        init: of ``--init``.
        crop_size: side of the training crops in pixels.
        frozen: of ``--freeze``.

    Raises:
        UsageError: it cannot.
    """
    with torch.device("meta") if init is None else contextlib.nullcontext():  # the shapes alone
        generator = build_generator(model, None, width=width, init=init)
    check_crop(model, generator, crop_size)
    if frozen is not None:
        freeze(generator, frozen)


def lineage(init: str, summary: Mapping[str, Any]) -> dict[str, Any]:
    """Describe the weights that a fine-tuned network started from.

    Args:
        init: of ``--init``; of a local folder only the weights' hash is recorded, because its name is private.
        summary: how those weights were trained, as their file says.
    """
    described: dict[str, Any] = {"sha256": sha256_of(locate(init) / WEIGHTS_NAME), "training": dict(summary)}
    if bundled_folder(init) is not None:
        described["bundled"] = init
    elif not Path(init).expanduser().is_dir():
        described["hub_id"] = init
    return described


def checkpoint_activations(network: EIN) -> None:
    """Let the blocks of EIN compute their activations again for the gradients instead of keeping them."""
    for name, block in network.named_children():
        parts = block if name == "resblock" else [block]
        if name.startswith(("dconv", "resblock", "featurefusion")):
            for part in cast(nn.ModuleList, parts):
                part.forward = partial(checkpoint, part.forward, use_reentrant=False)


def check_crop(model: str, generator: Generator, crop_size: int) -> None:
    """Make sure that a network takes training crops of this side, in pixels.

    Raises:
        UsageError: it does not.
    """
    multiple = generator.size_multiple
    smallest = max(multiple, getattr(generator, "minimum_size", 1))
    if crop_size % multiple or crop_size < smallest:
        raise UsageError(
            f"--crop-size must be a multiple of {multiple} and at least {smallest} for {model}, got {crop_size}"
        )


def rate_groups(network: nn.Module) -> list[dict[str, Any]]:
    """The weights to train, each group with its rate relative to the learning rate.

    The encoder of a RadianceGenerator was pretrained on a million photos; a low rate keeps what it learned.
    """
    encoder = network.network.encoder if isinstance(network, RadianceGenerator) else nn.Module()
    apart = {id(p) for p in encoder.parameters()}
    groups = [
        {"params": [p for p in network.parameters() if p.requires_grad and id(p) not in apart], "rate": 1.0},
        {"params": [p for p in encoder.parameters() if p.requires_grad], "rate": ENCODER_RATE},
    ]
    return [group for group in groups if group["params"]]


def freeze(network: nn.Module, name: str) -> None:
    """Keep one part of a network as it is.

    Raises:
        UsageError: there is no such part, or nothing would be left to train.
    """
    parts = {
        f"{outer}.{inner}" if inner else outer: part
        for outer, child in network.named_children()
        for inner, part in [("", child), *child.named_children()]
        if sum(p.numel() for p in part.parameters()) < sum(p.numel() for p in network.parameters())
    }
    if name not in parts:
        raise UsageError(f"--freeze: {type(network).__name__} has no part {name!r}; it has {', '.join(parts)}")
    parts[name].requires_grad_(False)
