"""How often `hdrgan.light.render_signs` calls pictures rendered: photos and renders as lossless pixels without EXIF.

    python -m recipes.render_signs FOLDER_OR_FILE…

For each argument: how many pictures, the share called rendered, and quantiles of the two signs. The limits in
``render_signs.py`` were set with rendered views of the split train and with photos; the split test was left alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from hdrgan.files import colour
from hdrgan.files.photo import PhotoError, load_photo
from hdrgan.light.render_signs import block_steps, equal_neighbours, looks_rendered


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--every", type=int, default=1, help="look at every so many")
    args = parser.parse_args()
    for place in args.pictures:
        files = sorted(place.iterdir()) if place.is_dir() else [place]
        called, steps, equal = [], [], []
        for file in files[:: args.every]:
            try:
                pixels = colour.to_8_bits(load_photo(file).pixels)
            except PhotoError as error:
                print(f"left out: {file}: {error}")  # noqa: T201
                continue
            called.append(looks_rendered(pixels))
            steps.append(block_steps(pixels))
            equal.append(equal_neighbours(pixels))
            if called[-1]:
                print(f"rendered: {file}")  # noqa: T201
        known = [score for score in steps if score is not None]
        quantiles = [0, 0.01, 0.1, 0.5, 0.9, 1]
        print(place, len(called), f"called rendered {np.mean(called):.3f}")  # noqa: T201
        print("  steps", np.quantile(known, quantiles).round(2) if known else "unknown")  # noqa: T201
        print("  equal", np.quantile(equal, quantiles).round(2))  # noqa: T201


if __name__ == "__main__":
    main()
