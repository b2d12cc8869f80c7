"""Photos for the tests of batches."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="session")
def make_photo():
    """Writes a photo that is like no other: ``make_photo(path, seed)``."""

    def make(path, seed=0, size=(24, 16), **options):
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(seed)
        pixels = rng.integers(20, 256, (size[1], size[0], 3), np.uint8)
        pixels[: size[1] // 2] = np.maximum(pixels[: size[1] // 2], 250)
        Image.fromarray(pixels).save(path, **options)
        return path

    return make


def tree(folder, hidden=True):
    """Every file below a folder with a digest of its content."""
    folder = Path(folder)
    return {
        path.relative_to(folder).as_posix(): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (hidden or ".hdrgan" not in path.parts)
    }


@pytest.fixture(scope="session")
def files_in():
    """`tree`."""
    return tree
