"""A network as an ONNX file, for programs that have no torch.

The file of a RadianceGenerator stands alone: it takes a photo and gives radiance; see `hdrgan.models.photo_graph`.
Those of the other networks hold the network, which works at the photo's own size.
"""

from __future__ import annotations

import importlib.util
import logging
import math
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

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

OUTPUTS: dict[type[nn.Module], str] = {
    BracketGenerator: "bracket",
    EIN: "relative_radiance",
    RadianceGenerator: "radiance",
}

_PHOTOS = ((90, 140), (600, 420), (37, 1))
"""Height and width of the photos that a file is tried on: below and above the working size, and a sliver."""


class ExportError(ValueError):
    """Why a network could not be exported, in one sentence."""


def export_onnx(
    network: nn.Module, path: str | os.PathLike[str], radiance_of: Callable[[np.ndarray], np.ndarray] | None = None
) -> float:
    """Write a network as an ONNX file, and run it with onnxruntime at several sizes to see that it is the same.

    The file of a RadianceGenerator takes ``photo`` uint8 (H, W, 3) of any size and, if wanted, ``response`` float32
    (256,); it gives ``radiance`` float32 (H, W, 3). The others take ``srgb`` (1, 3, H, W) float32 in [0, 1], with H
    and W multiples of ``size_multiple``, and give what `OUTPUTS` says, as described at each network's ``forward``. The
    file's metadata name the network and its ``evs``.

    Args:
        network: a BracketGenerator, EIN or RadianceGenerator.
        path: the file; an older one is replaced only after the check passed.
        radiance_of: for a RadianceGenerator, what the file must give: from uint8 (H, W, 3) to radiance float32, read
            with the mean of measured cameras; see `hdrgan.pipeline.Pipeline.export_onnx`.

    Returns:
        The largest difference, relative to the largest value of its output; for a RadianceGenerator to each value.

    Raises:
        ExportError: another kind of network, a package of the extra ``hdrgan[onnx]`` is missing, or the file does not
            compute what the network does.
        OSError: the file cannot be written.
        ValueError: a RadianceGenerator without ``radiance_of``.
    """
    name = next((name for kind, name in OUTPUTS.items() if isinstance(network, kind)), None)
    if name is None:
        known = ", ".join(kind.__name__ for kind in OUTPUTS)
        raise ExportError(f"{type(network).__name__} cannot be exported; {known} can.")
    missing = [name for name in ("onnxscript", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise ExportError(f"{' and '.join(missing)} missing: python -m pip install 'hdrgan[onnx]'.")
    network = network.cpu().float().eval()
    multiple = cast(int, network.size_multiple)
    least = max(2, math.ceil(getattr(network, "minimum_size", 1) / multiple))
    facts = {"network": type(network).__name__}
    if hasattr(network, "evs"):
        facts["evs"] = " ".join(f"{ev:g}" for ev in cast(tuple[float, ...], network.evs))
    if isinstance(network, RadianceGenerator):
        from hdrgan.models import photo_graph  # needs the extra, too

        if radiance_of is None:
            raise ValueError("a RadianceGenerator is compared with a pipeline: use Pipeline.export_onnx")
        reference, light = radiance_of, photo_graph.LightFactor(network).eval()
        exported = _exported(light, "factor", multiple, least).model_proto
        model = photo_graph.photo_model(network, exported, network.mean_camera.numpy())

        def difference(file: Path) -> float:
            return max(_photo_difference(reference, file, *size) for size in _PHOTOS)
    else:
        model = _exported(network, name, multiple, least).model_proto
        facts["size_multiple"] = str(multiple)
        sizes = ((least + 1) * multiple, (least + 2) * multiple), ((least + 4) * multiple, least * multiple)

        def difference(file: Path) -> float:
            return max(_difference(network, file, height, width) for height, width in sizes)

    for key, value in facts.items():
        model.metadata_props.add(key=f"hdrgan.{key}", value=value)
    with atomic_path(path) as temporary:
        temporary.write_bytes(model.SerializeToString())
        worst = difference(temporary)
        if not worst <= TOLERANCE:
            raise ExportError(f"The exported file differs from the network by {worst:.1e} of its range; nothing kept.")
    return worst


def _exported(network: nn.Module, output: str, multiple: int, least: int) -> Any:
    """What torch exports of a network that maps srgb of any size to one output."""
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
            output_names=[output],
            verbose=False,
        )
    assert program is not None
    return program


def _difference(network: nn.Module, path: Path, height: int, width: int) -> float:
    """How far an ONNX file and the network are apart on a picture of 8-bit codes."""
    codes = torch.randint(0, 256, (1, 3, height, width), generator=torch.Generator().manual_seed(0))
    srgb = codes.float() / 255
    with torch.no_grad():
        expected = cast(Tensor, network(srgb)).numpy()
    found = run_onnx(path, {"srgb": srgb.numpy()})
    return float(np.abs(found - expected).max() / max(float(np.abs(expected).max()), 1e-6))


def _photo_difference(radiance_of: Callable[[np.ndarray], np.ndarray], path: Path, height: int, width: int) -> float:
    """How far an ONNX file and a pipeline are apart on a photo with a bright and coloured light in it."""
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    light = 0.2 + 0.1 * np.sin(20 * x + 9 * y) + 6 * np.exp(-60 * ((x - 0.3) ** 2 + (y - 0.4) ** 2))
    scene = (
        light[..., None] * np.array([1.0, 0.9, 0.7]) * np.random.default_rng(0).uniform(0.95, 1.05, (height, width, 1))
    )
    photo = (scene.clip(0, 1) ** 0.45 * 255).astype(np.uint8)
    photo[0, 0] = 255
    expected = radiance_of(photo)
    found = run_onnx(path, {"photo": photo})
    return float((np.abs(found - expected) / (expected + 0.01)).max())


def run_onnx(path: str | os.PathLike[str], inputs: dict[str, np.ndarray]) -> np.ndarray:
    """The first output of an ONNX file, by onnxruntime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # it warns of every input that has a value already
    session = onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    found: Sequence[np.ndarray] = session.run(None, inputs)
    return found[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's notes on packages that nobody needs off the user's terminal."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
