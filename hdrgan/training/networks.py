"""Networks prepared for training: initial weights, valid crop sizes, parameter groups, frozen parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from hdrgan.data.batch import Batch
from hdrgan.data.survey import PhotoDataset
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.evidence import response_evidence
from hdrgan.models.radiance_generator import RadianceGenerator
from hdrgan.training.photos import spread
from hdrgan.training.preflight import UsageError

CALIBRATION_PHOTOS = 64
HEAD_FASTER = 5.0

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
        generator.training_summary = {}  # it described the earlier training
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
    """The weights to train, grouped by the factor on their learning rate.

    The response head of a RadianceGenerator reads a few hundred measurements, not pictures: it is stable, and still
    learning long after the rest, unless it may take larger steps.
    """
    head = network.response if isinstance(network, RadianceGenerator) else nn.Module()
    apart = {id(p) for p in head.parameters()}
    groups = [
        {"params": [p for p in network.parameters() if p.requires_grad and id(p) not in apart], "faster": 1.0},
        {"params": [p for p in head.parameters() if p.requires_grad], "faster": HEAD_FASTER},
    ]
    return [group for group in groups if group["params"]]


def freeze(network: nn.Module, name: str) -> None:
    """Keep one part of a network as it is.

    Raises:
        UsageError: there is no such part, or nothing would be left to train.
    """
    parts = dict(network.named_children())
    if name not in parts or len(parts) == 1:
        raise UsageError(f"--freeze: {type(network).__name__} has no part {name!r}; it has {', '.join(parts)}")
    parts[name].requires_grad_(False)


def calibrate(generator: RadianceGenerator, dataset: PhotoDataset, evs: Sequence[float]) -> None:
    """Set mean and spread of the response head's inputs from photos of ``dataset``; the same in every process.

    ``evs`` are the stops of its brackets. A single photo has no spread: then nothing changes.
    """
    chosen = spread(len(dataset), CALIBRATION_PHOTOS)
    if len(chosen) < 2:
        return
    measured = []
    for index in chosen:
        items = {name: tensor[None] for name, tensor in dataset[0, index].items()}
        photo = Batch(items, evs, torch.device("cpu")).srgb  # (1, 3, H, W)
        measured.append(response_evidence(photo[:, None]))
    generator.response.calibrate(torch.cat(measured))
