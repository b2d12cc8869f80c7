"""Make the table of camera curves that the package carries from measured responses.

    python -m recipes.camera_curves CAMERAS.npz [-o hdrgan/light/camera_curves.json]

CAMERAS.npz holds ``response`` (N, K): code in [0, 1] over ``irradiance`` (K,), ``kind``, ``split`` and ``weight`` (N,).
Used are the curves that were fitted to real exposure stacks (kind "stack") of the split "train"; every source of stacks
counts once in all. Written, over the 256 codes of 8 bits:

  mean    the geometric mean of the inverse responses, relative to white
  shapes  the two principal components of the deviation from it, in stops, each for one standard deviation; they
          explain 97 % of the spread: a common scale below white, and toe against middle tones
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

CODES = np.linspace(0, 1, 256)
_SEEN = slice(8, 252)  # codes outside are noise or clipping in most stacks


def camera_curves(responses: Path) -> dict[str, list[float] | list[list[float]]]:
    """Mean (256,) and shapes (2, 256) of the measured inverse responses; see the module."""
    with np.load(responses) as table:
        chosen = (table["kind"] == "stack") & (table["split"] == "train")
        weight = table["weight"][chosen] / table["weight"][chosen].sum()
        inverse = np.array([np.interp(CODES, curve, table["irradiance"]) for curve in table["response"][chosen]])
    logs = np.log2(inverse + 1e-6)
    mean = weight @ logs
    curve = np.exp2(mean) - 1e-6
    curve[0], curve[-1] = 0, 1
    deviation = (logs - mean)[:, _SEEN]
    variances, directions = np.linalg.eigh((deviation * weight[:, None]).T @ deviation)
    shapes = (directions[:, :-3:-1] * np.sqrt(variances[:-3:-1])).T  # (2, codes seen)
    print("share of the spread that each shape explains:", (variances[:-3:-1] / variances.sum()).round(3))  # noqa: T201
    whole = [np.interp(CODES, [*CODES[_SEEN], 1], [*shape * np.sign(shape[0]), 0]) for shape in shapes]
    return {
        "mean": [float(f"{value:.5g}") for value in np.maximum.accumulate(curve)],
        "shapes": [[round(float(value), 4) for value in shape] for shape in whole],
    }


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("responses", type=Path)
    parser.add_argument("-o", "--output", type=Path, default=Path("hdrgan/light/camera_curves.json"))
    args = parser.parse_args()
    args.output.write_text(json.dumps(camera_curves(args.responses)) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
