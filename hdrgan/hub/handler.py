"""What Hugging Face Inference Endpoints run; pushed as ``handler.py`` beside the weights, it stands on its own.

Request: ``{"inputs": photo, "parameters": {"evs": [-4, -2, 0, 2, 4], "hdr": "exr"}}`` where the photo is the bytes of a
file, base64 of them, or a PIL image. Answer: ``{"evs": [...], "exposures": [...], "hdr": ...}``, the files as base64.
"""

from __future__ import annotations

import base64
import tempfile
from pathlib import Path
from typing import Any

from hdrgan.light.evs import DEFAULT_EVS
from hdrgan.pipeline import Pipeline


class EndpointHandler:
    """Loads the network of a repository once, and answers requests with exposures."""

    def __init__(self, path: str = "") -> None:
        self.pipeline = Pipeline.from_pretrained(path or ".")

    def __call__(self, data: dict[str, Any]) -> dict[str, Any]:
        """Answer one request; see the head of this file."""
        photo, wanted = data["inputs"], data.get("parameters") or {}
        if isinstance(photo, str):
            photo = base64.b64decode(photo, validate=True)
        evs = wanted.get("evs") or DEFAULT_EVS
        result = self.pipeline(photo, tuple(evs))
        kind = wanted.get("hdr")
        with tempfile.TemporaryDirectory() as folder:
            files = result.save(folder, hdr=[kind] if kind else [])
            contents = [base64.b64encode(Path(file).read_bytes()).decode() for file in files]
        answer: dict[str, Any] = {"evs": list(result.evs), "exposures": contents[: len(result.evs)]}
        if kind:
            answer["hdr"] = contents[-1]
        return answer
