"""Choose whole photos for validation and calibration during training, and crop them to what a network takes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from hdrgan.data.batch import Batch
from hdrgan.data.survey import PhotoDataset

LARGEST_VALIDATION_SIDE = 1024  # pixels; larger photos are cut to their middle


def spread(length: int, count: int) -> list[int]:
    """At most ``count`` indices below ``length``, evenly spread: the same for the same data."""
    count = min(length, count)
    return [k * length // count for k in range(count)]


def whole_photo(
    dataset: PhotoDataset, index: int, evs: Sequence[float], *, multiple: int, device: torch.device
) -> Batch:
    """A whole photo as a batch of one: at most its middle, and at most a few pixels off for the network's sake.

    Args:
        dataset, index: where it is taken from.
        evs: stops of the brackets of ``dataset``, ascending.
        multiple: what both sides must be multiples of, in pixels.
        device: where the tensors go.
    """
    items = {}
    for name, tensor in dataset.whole(index).items():
        if tensor.dim() >= 3:
            for dimension in (-3, -2):
                side = min(tensor.shape[dimension], LARGEST_VALIDATION_SIDE) // multiple * multiple
                tensor = tensor.narrow(dimension, (tensor.shape[dimension] - side) // 2, side)
        items[name] = tensor[None]
    return Batch(items, evs, device)
