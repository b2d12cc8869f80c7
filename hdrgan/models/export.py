"""A network as an ONNX file, for programs that have no torch."""

from __future__ import annotations

import importlib.util
import logging
import math
import os
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from hdrgan.files.atomic import atomic_path
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.radiance_generator import RadianceGenerator

OPSET = 20
"""What the files ask of a runtime: ONNX 1.15, of 2023."""

TOLERANCE = 1e-3
"""Largest difference from torch that an exported network may show, relative to the largest value of an output."""

OUTPUTS: dict[type[nn.Module], tuple[str, ...]] = {
    BracketGenerator: ("bracket",),
    EIN: ("relative_radiance",),
    RadianceGenerator: ("radiance", "gain", "compact"),
}


class ExportError(ValueError):
    """Why a network could not be exported, in one sentence."""


def export_onnx(network: nn.Module, path: str | os.PathLike[str]) -> float:
    """Write a network's forward as an ONNX file, and run it with onnxruntime at two sizes to see that it is the same.

    The file takes ``srgb`` (1, 3, H, W) float32 in [0, 1], with H and W multiples of ``size_multiple``, and gives what
    `OUTPUTS` says, as described at each network's ``forward``. Its metadata name the network and its ``evs``.

    Args:
        network: a BracketGenerator, EIN or RadianceGenerator.
        path: the file; an older one is replaced only after the check passed.

    Returns:
        The largest difference, relative to the largest value of its output.

    Raises:
        ExportError: another kind of network, a package of the extra ``hdrgan[onnx]`` is missing, or the file does not
            compute what the network does.
        OSError: the file cannot be written.
    """
    names = next((names for kind, names in OUTPUTS.items() if isinstance(network, kind)), None)
    if names is None:
        raise ExportError(f"{type(network).__name__} cannot be exported; {_listed(OUTPUTS)} can.")
    missing = [name for name in ("onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{' and '.join(missing)} missing: python -m pip install 'hdrgan[onnx]'.")
    network = network.cpu().float().eval()
    multiple = cast(int, network.size_multiple)
    least = max(2, math.ceil(getattr(network, "minimum_size", 1) / multiple))
    # Every exporter treats sides of 1, and sides that are equal, as something special.
    seen = torch.rand(1, 3, (least + 1) * multiple, (least + 2) * multiple)
    sides = {
        2: multiple * torch.export.Dim("rows", min=least),
        3: multiple * torch.export.Dim("columns", min=least),
    }
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            network,
            (seen,),
            dynamo=True,
            opset_version=OPSET,
            dynamic_shapes={"srgb": sides},
            input_names=["srgb"],
            output_names=list(names),
            verbose=False,
        )
    assert program is not None
    facts = {"network": type(network).__name__, "size_multiple": str(multiple)}
    if hasattr(network, "evs"):
        facts["evs"] = " ".join(f"{ev:g}" for ev in cast(tuple[float, ...], network.evs))
    program.model.metadata_props.update({f"hdrgan.{name}": value for name, value in facts.items()})
    with atomic_path(path) as temporary:
        program.save(str(temporary), external_data=False)
        sizes = ((least + 1) * multiple, (least + 2) * multiple), ((least + 4) * multiple, least * multiple)
        worst = max(_difference(network, temporary, height, width) for height, width in sizes)
        if not worst <= TOLERANCE:
            raise ExportError(f"The exported file differs from the network by {worst:.1e} of its range; nothing kept.")
    return worst


def _difference(network: nn.Module, path: Path, height: int, width: int) -> float:
    """How far an ONNX file and the network are apart on a picture of 8-bit codes."""
    import onnxruntime

    codes = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(0))
    srgb = codes.float() / 255
    with torch.no_grad():
        outputs = network(srgb)
    expected = (outputs,) if isinstance(outputs, Tensor) else tuple(outputs)
    session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    found = session.run(None, {"srgb": srgb.numpy()})
    return max(
        float(np.abs(f - e.numpy()).max() / max(float(e.abs().max()), 1e-6))
        for f, e in zip(found, expected, strict=True)
    )


class _quiet:  # noqa: N801  # used as a function
    """Keep the exporter's notes on packages that nobody needs off the user's terminal."""

    def __enter__(self) -> None:
        self._logger = logging.getLogger("torch.onnx")
        self._level = self._logger.level
        self._logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        self._logger.setLevel(self._level)


def _listed(kinds: dict[type[nn.Module], tuple[str, ...]]) -> str:
    return ", ".join(kind.__name__ for kind in kinds)
