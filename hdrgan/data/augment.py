"""Random crops, flips and quarter turns, the same for every picture of an item; pictures are never squashed.

Light, from which photos are yet to be made, can be varied further: zoomed, and given other colours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import Dataset

from hdrgan.data.scene_cache import Entry, SceneCache
from hdrgan.light.srgb import largest_channel

_TURNED = 0.1  # share of varied views that may be turned by a quarter or upside down


def item_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """Random numbers of one item in one epoch: the same in any process, in any order, before and after a restart."""
    return np.random.default_rng((seed, epoch, index))


@dataclass(frozen=True)
class Window:
    """A square cut out of a picture, then mirrored and turned by quarters."""

    top: int
    left: int
    size: int
    mirrored: bool
    quarter_turns: int

    @classmethod
    def draw(cls, rng: np.random.Generator, height: int, width: int, size: int) -> Window:
        """Draw a window of ``size`` pixels inside (height, width)."""
        if size > min(height, width):
            raise ValueError(f"a crop of {size} pixels does not fit into {width} x {height}")
        return cls(
            top=int(rng.integers(0, height - size + 1)),
            left=int(rng.integers(0, width - size + 1)),
            size=size,
            mirrored=bool(rng.integers(0, 2)),
            quarter_turns=int(rng.integers(0, 4)),
        )

    def cut(self, pictures: np.ndarray) -> np.ndarray:
        """(..., H, W, 3) to a contiguous copy (..., size, size, 3)."""
        cut = pictures[..., self.top : self.top + self.size, self.left : self.left + self.size, :]
        if self.mirrored:
            cut = cut[..., ::-1, :]
        # Always a copy: what comes in may be a file that is mapped read-only.
        return np.array(np.rot90(cut, self.quarter_turns, axes=(-3, -2)), order="C")


class CroppedFolder(Dataset[dict[str, Tensor]]):
    """Brackets or pairs as items: each of their arrays, (..., size, size, 3), cropped alike; index with (epoch, index).

    Args:
        entries: that passed `SceneCache.examine`.
        crop_size: side of the random crops in pixels.
        seed: of crops, flips and turns.
        cache: where decoded entries are kept.
    """

    def __init__(self, entries: Sequence[Entry], *, crop_size: int, seed: int, cache: SceneCache):
        self.entries, self.crop_size, self.seed, self.cache = list(entries), crop_size, seed, cache

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, place: tuple[int, int]) -> dict[str, Tensor]:
        epoch, index = place
        arrays = self.cache.arrays_of(self.entries[index])
        height, width = next(iter(arrays.values())).shape[-3:-1]
        window = Window.draw(item_rng(self.seed, epoch, index), height, width, self.crop_size)
        return {name: torch.from_numpy(window.cut(array)) for name, array in arrays.items()}

    def whole(self, index: int) -> dict[str, Tensor]:
        """The whole entry, for validation."""
        arrays = self.cache.arrays_of(self.entries[index])
        return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}

    def title(self, index: int) -> str:
        """Name of an item on sheets."""
        return self.entries[index].title


def vary_light(view: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A square part of a view, at random larger or smaller, mirrored, turned, and in other colours.

    Light comes from above in most pictures, which networks should learn; so few views are turned. White balance varies
    by a tenth or so for each channel, in some pictures by a third, as at dusk or under bulbs, so that the network does
    not take every cloud for white; the colours of some are paler or stronger. Shadows are deepened or opened in most:
    see `with_shadows`.

    Args:
        view: (H, W, 3) float32 linear light.
        size: side of the answer, at most H and W; larger parts are reduced to it.
        rng: the only source of randomness.

    Returns:
        (size, size, 3) float32.
    """
    side = int(rng.integers(size, min(view.shape[:2]) + 1))
    window = Window.draw(rng, view.shape[0], view.shape[1], side)
    if rng.random() >= _TURNED:
        window = replace(window, quarter_turns=0)
    cast = 0.3 if rng.random() < 0.3 else 0.1
    part = window.cut(view) * np.exp(rng.normal(0, cast, 3)).astype(np.float32)
    if rng.random() < 0.3:
        grey = part.mean(-1, keepdims=True)
        part = np.maximum(grey + (part - grey) * np.float32(rng.uniform(0.6, 1.3)), 0)
    if rng.random() < 0.7:
        part = with_shadows(part, math.exp(rng.normal(0, 0.5)))
    return reduced(part, size)


def with_shadows(light: np.ndarray, power: float) -> np.ndarray:
    """Deepen the shadows of a view, or open them; what is brighter than nearly all stays as it is.

    Most cameras darken shadows, so most dark pictures come from cameras. A network that learns this mistakes a
    render of a dark place for a photo, and brightens shadows that no camera had darkened.

    Args:
        light: (H, W, 3) float32 linear.
        power: that brightness is raised to below its 95th percentile; above 1 shadows are deepened.

    Returns:
        (H, W, 3) float32 of the same colours.
    """
    brightest = largest_channel(light)  # (H, W)
    bright = float(np.percentile(brightest, 95))
    if not bright > 0:
        return light
    relative = (brightest / bright).clip(1e-5, 1)
    varied: np.ndarray = light * relative[..., None] ** np.float32(power - 1)
    return varied


def reduced(view: np.ndarray, size: int) -> np.ndarray:
    """A square of light (S, S, 3) averaged down to (size, size, 3) float32, S >= size."""
    if len(view) == size:
        return np.ascontiguousarray(view, np.float32)
    planes = torch.from_numpy(np.ascontiguousarray(view, np.float32)).permute(2, 0, 1)[None]
    smaller = F.interpolate(planes, size=(size, size), mode="bilinear", antialias=True, align_corners=False)
    return smaller[0].permute(1, 2, 0).clamp(min=0).contiguous().numpy()
