"""Published ``.pth`` checkpoints of HDR-GAN and EIN become networks, and folders that ``from_pretrained`` loads.

A checkpoint is read as data only: a pickle that would run code is refused before it runs. Every tensor must be one
that the network has, with its shape; nothing is guessed and nothing is left random.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hdrgan.light.evs import NETWORK_EVS
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.patch_discriminator import PatchDiscriminator

KINDS = ("bracket", "ein", "discriminator")
PICKLE_SUFFIXES = (".ckpt", ".pt", ".pth")

_LANDMARKS = {"decoder.2.weight": "bracket", "dconv_down1_w.1.weight": "ein", "model.0.weight": "discriminator"}
Published = BracketGenerator | EIN | PatchDiscriminator


class CheckpointError(ValueError):
    """A checkpoint that cannot be converted; the message is one plain sentence."""


def load_checkpoint(pth: str | PathLike[str]) -> dict[str, Tensor]:
    """Read a state dict, safely.

    Args:
        pth: file written by ``torch.save(network.state_dict(), …)``, also of a network wrapped in DataParallel, also
            under the key "state_dict" of a larger dictionary.

    Returns:
        Tensors by name, float32 on the CPU, without the ``module.`` that wrappers put before every name.

    Raises:
        CheckpointError: the file is missing, damaged, holds code or objects, or is not a state dict.
    """
    path = Path(pth)
    if not path.is_file():
        raise CheckpointError(f"{path}: there is no such file.")
    try:
        loaded: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path.name} holds more than tensors, which could run code, or is damaged; "
            "save the network's state_dict() and convert that."
        ) from error
    # A damaged zip or pickle ends in whatever the reader trips over, and all of it means the same.
    except Exception as error:
        raise CheckpointError(
            f"{path.name} is not a readable PyTorch checkpoint; its download may be incomplete."
        ) from error
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    if not isinstance(loaded, Mapping) or not loaded:
        raise CheckpointError(f"{path.name} holds no state dict: names with tensors were expected.")
    for name, value in loaded.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{path.name} holds no state dict: {name!r} is no name with a tensor.")
        if not value.is_floating_point() or value.layout is not torch.strided:
            raise CheckpointError(f"{path.name}: {name} must hold finite floating-point numbers, and does not.")
        # Strides can make a few bytes look like terabytes: nothing is computed with a tensor that is larger than it is.
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{path.name}: {name} claims to be larger than what the file holds of it.")
        if not value.isfinite().all():
            raise CheckpointError(f"{path.name}: {name} must hold finite floating-point numbers, and does not.")
    state = {name: value.float() for name, value in loaded.items()}
    # Only a prefix that every name has is a wrapper's; anything else called "module" is a layer's own name.
    while all(name.startswith("module.") for name in state):
        state = {name.removeprefix("module."): value for name, value in state.items()}
    return state


def _channels(state: Mapping[str, Tensor], name: str, dim: int, file: str, kind: str) -> int:
    if name not in state or state[name].dim() != 4:
        raise CheckpointError(f"{file} is not a checkpoint of the published {kind} network: {name} is missing.")
    return state[name].shape[dim]


def _network(kind: str, state: Mapping[str, Tensor], evs: Sequence[float], file: str) -> Published:
    if kind == "ein":
        return EIN(width=_channels(state, "dconv_down1_w.1.weight", 0, file, kind))
    if kind == "bracket":
        exposures = _channels(state, "decoder.2.weight", 1, file, kind) // 3
        if exposures != len(evs):
            raise CheckpointError(
                f"{file} draws {exposures} exposures, but {len(evs)} evs were given: say which with --evs."
            )
        width = _channels(state, "encoder.0.weight", 0, file, kind)
        return BracketGenerator(evs=tuple(evs), width=width, output="tanh")
    return PatchDiscriminator(
        exposures=_channels(state, "model.0.weight", 1, file, kind) // 3 - 1,
        width=_channels(state, "model.0.weight", 0, file, kind),
    )


def published_network(
    pth: str | PathLike[str], kind: str | None = None, *, evs: Sequence[float] = NETWORK_EVS
) -> Published:
    """Load a published checkpoint.

    Args:
        pth: the checkpoint, see `load_checkpoint`.
        kind: "bracket", "ein" or "discriminator"; None tells it by the names of the tensors. The width is read from
            their shapes.
        evs: stops of the exposures of a bracket, dark to bright: the published network does not know its own.

    Returns:
        The network, in eval mode. A bracket network keeps the activation it was trained with (``output="tanh"``).

    Raises:
        CheckpointError: the file is no sound checkpoint of such a network.
        ValueError: ``kind`` is none of the above.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    state, file = load_checkpoint(pth), Path(pth).name
    kind = kind or next((known for name, known in _LANDMARKS.items() if name in state), None)
    if kind is None:
        raise CheckpointError(f"{file} is a checkpoint of none of the published networks: {', '.join(KINDS)}.")
    try:
        with torch.device("meta"):  # the shapes alone: what does not fit must not cost its memory first
            blueprint = _network(kind, state, evs, file)
        _compare(blueprint, state, file, kind)
        network = _network(kind, state, evs, file)
    except CheckpointError:
        raise
    except (ValueError, TypeError, ArithmeticError, RuntimeError) as error:
        raise CheckpointError(f"{file} does not fit the published {kind} network: {error}.") from error
    network.load_state_dict(state, strict=True)
    return network.eval()


def _compare(blueprint: Published, state: Mapping[str, Tensor], file: str, kind: str) -> None:
    expected = {name: tuple(value.shape) for name, value in blueprint.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in state.items()}
    for problem, names in (
        ("lacks", expected.keys() - found.keys()),
        ("has unknown", found.keys() - expected.keys()),
        ("has the wrong shape for", {name for name in expected.keys() & found.keys() if expected[name] != found[name]}),
    ):
        if names:
            shown = ", ".join(sorted(names)[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
            raise CheckpointError(f"{file} {problem} {shown}; it is no checkpoint of the published {kind} network.")


def convert_checkpoint(
    kind: str,
    pth: str | PathLike[str],
    folder: str | PathLike[str],
    *,
    evs: Sequence[float] = NETWORK_EVS,
) -> Published:
    """Convert a published checkpoint to a folder with ``model.safetensors`` and ``config.json``.

    Args:
        kind, pth, evs: as for `published_network`.
        folder: where the network goes; made if need be, and only after the checkpoint was found to be sound.

    Returns:
        The network, as from `published_network`.

    Raises:
        CheckpointError: the file is no sound checkpoint of this network, or the folder cannot be written.
        ValueError: ``kind`` is none that is published.
    """
    network = published_network(pth, kind, evs=evs)
    try:
        network.save_pretrained(Path(folder))
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be written: {error.strerror or error}.") from error
    return network
