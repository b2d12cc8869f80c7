"""Smaller pictures are means of what they stand for, at any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hdrgan.light.shrink import shrunk


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(300, 1), (300, 2), (300, 40), (2, 300), (1, 1), (60, 90)])
@pytest.mark.parametrize("by", [1, 3])
def test_each_pixel_is_the_mean_of_its_place(mode, size, by):
    # Blocks of one level each: whatever the weights are, they are taken from neighbours that differ little.
    rows, columns = np.indices(size)
    small = (60 + 40 * np.sin(rows / 30) + 40 * np.cos(columns / 30)).round().astype(np.uint8)[..., None] + [0, 20, 60]
    large = np.repeat(np.repeat(small, by, 0), by, 1).astype(np.uint8)
    there = shrunk(torch.from_numpy(large), *size, mode)
    assert there.shape == (*size, 3)
    assert there.dtype == np.uint8
    assert np.abs(there.astype(int) - small).max() <= 2


@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("width", [1, 2, 3, 7])
def test_a_narrow_picture_is_reduced_as_exactly_as_a_wide_one(mode, width):
    levels = np.random.default_rng(0).integers(90, 170, (900, width, 3)).astype(np.uint8)
    wide = shrunk(torch.from_numpy(np.repeat(levels, 8, 1)), 300, 8 * width, mode)
    there = shrunk(torch.from_numpy(levels), 300, width, mode)
    assert np.abs(there.astype(int) - wide.reshape(300, width, 8, 3).mean(2)).max() < 1.5
