"""What every network of ours has in common: configuration, strict loading, safetensors with metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from huggingface_hub import PyTorchModelHubMixin
from safetensors.torch import save_model


class PretrainedModel(PyTorchModelHubMixin):
    """Base of the networks; ``from_pretrained`` is strict, so that a missing weight is an error and not noise."""

    def _save_pretrained(self, save_directory: Path) -> None:
        save_model(self, str(Path(save_directory) / "model.safetensors"), metadata={"format": "pt"})

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path: str | Path, *, strict: bool = True, **kwargs: Any):
        return super().from_pretrained(pretrained_model_name_or_path, strict=strict, **kwargs)
