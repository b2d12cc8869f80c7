"""Random crops, flips and quarter turns, the same for every picture of an item; pictures are never squashed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def item_rng(seed: int, epoch: int, index: int) -> np.random.Generator:
    """The chance of one item in one epoch: the same in any process, in any order, before and after a restart."""
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
