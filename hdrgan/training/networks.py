"""The networks as they enter training: where their weights come from, what they take, and what learns how fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.radiance_generator import RadianceGenerator
from hdrgan.training.preflight import UsageError

ENCODER_RATE = 0.2
"""Of the encoder of a RadianceGenerator, relative to the learning rate of the rest."""

Generator = BracketGenerator | RadianceGenerator | EIN


def build_generator(
    model: str, evs: Sequence[float], *, width: int | None = None, init: str | None = None
) -> Generator:
    """The network to train: new, or with the weights of ``--init``.

    Args:
        model: which of the three.
        evs: stops of the brackets of the data set, ascending; ein has no use for them.
        width: channels of the first level; None is the usual number.
        init: folder with weights, or a name on the Hub.

    Raises:
        UsageError: the weights are of a network for other stops.
    """
    networks: dict[str, type[Generator]] = {"bracket": BracketGenerator, "radiance": RadianceGenerator, "ein": EIN}
    if init is not None:
        generator = networks[model].from_pretrained(init).train()
        generator.training_summary = {}  # is that of another training
        if not isinstance(generator, EIN) and tuple(generator.evs) != tuple(evs):
            raise UsageError(f"--init holds a network for EVs {list(generator.evs)}, the data set has {list(evs)}")
        return generator
    if model == "bracket":
        return BracketGenerator(evs=evs, width=width) if width else BracketGenerator(evs=evs)
    if model == "ein":
        return EIN(width=width) if width else EIN()
    if width:
        usual = RadianceGenerator().widths
        return RadianceGenerator(evs=evs, widths=[max(1, round(w * width / usual[0])) for w in usual])
    return RadianceGenerator(evs=evs)


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

    The encoder of a RadianceGenerator has seen a million photos, and must not forget them over a few thousand.
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
