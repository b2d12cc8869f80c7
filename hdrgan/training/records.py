"""Records of a run: figures by step and by validation, its position."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from hdrgan.evaluation.report import IDENTITY_NAME, new_report
from hdrgan.training.checkpoints import write_text, writing


@dataclass
class Progress:
    """Position of a run; stored in every checkpoint."""

    step: int = 0
    samples: int = 0
    skipped: int = 0
    seconds: float = 0.0  # spent on steps, interruptions not counted


@dataclass
class StepFigures:
    """Sums over the forward passes of one optimiser step."""

    terms: dict[str, Tensor] = field(default_factory=dict)
    passes: int = 0
    bad: bool = False

    def add(self, terms: Mapping[str, Tensor]) -> None:
        """Add one forward pass."""
        for name, value in terms.items():
            self.terms[name] = self.terms.get(name, 0.0) + value.detach().float()
        self.passes += 1


def append_line(file: Path, line: Mapping[str, Any]) -> None:
    """Add one line to a JSONL record.

    Raises:
        CheckpointError: it could not be written.
    """
    with writing(file), file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line) + "\n")


def cut_after(file: Path, step: int) -> dict[str, Any]:
    """Drop lines of a JSONL record that are of later steps, or cut off in writing; returns the last one left."""
    kept, last = [], {}
    for line in file.read_bytes().splitlines(keepends=True) if file.exists() else ():
        try:
            content = json.loads(line)
            if line.endswith(b"\n") and content["step"] <= step:
                kept.append(line)
                last = content
        except (ValueError, KeyError, TypeError):
            continue
    if kept:
        write_text(file, b"".join(kept).decode())
    else:
        file.unlink(missing_ok=True)
    return last


def validation_report(
    figures: Mapping[str, Mapping[str, Any]],
    model: str,
    network: nn.Module,
    sha256: str,
    *,
    data: Mapping[str, Any],
    evs: Sequence[float],
) -> dict[str, Any]:
    """A validation as an evaluation report of exactly these weights.

    Args:
        figures: those of ``model`` and of doing nothing, by name.
        model, network, sha256: what the network is called in ``figures``, itself, and the hash of its weights file.
        data, evs: name, kind and split of the data set, and the stops of its brackets.
    """

    def row(name: str, class_name: str | None, parameters: int | None, sha256: str | None) -> dict[str, Any]:
        shown = {key: value for key, value in figures[name].items() if not key.endswith("l1")}
        facts = {"name": name, "class_name": class_name, "parameters": parameters, "sha256": sha256}
        return facts | {"conditions": {"validation": shown}}

    count = sum(p.numel() for p in network.parameters())
    rows = [row(IDENTITY_NAME, None, None, None), row(model, type(network).__name__, count, sha256)]
    return new_report(data, evs, rows, ["validation"], measured_by="train_accelerate.py")


def peak_memory_mb() -> float:
    """Most memory that this process held at once."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return float(psutil.Process().memory_info().peak_wset) / 2**20
    unit = 2**20 if sys.platform == "darwin" else 2**10  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
