"""Put the weights of a training run into the package, in half precision, with a summary of how they were made.

python -m recipes.bundle_light RUN [RUN ...] [-o hdrgan/weights/radiance]
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from hdrgan.models.radiance_generator import RadianceGenerator


def summary(runs: Sequence[Path]) -> dict[str, object]:
    """What the card tells of the training."""
    states = [torch.load(run / "checkpoint.pt", weights_only=True, map_location="cpu") for run in runs]
    return {
        "batch_size": 6,
        "camera": "virtual camera with measured response curves: primaries, noise, mosaic, denoising, style, "
        "sharpening, JPEG; a fifth plain sRGB renders",
        "crop_size": 512,
        "data": [
            {
                "name": "ImageNet weights of EfficientNet-Lite0, as the encoder's start",
                "count": 1281167,
                "licence": "Apache-2.0",
            },
            {
                "name": "Poly Haven / HDRI Haven panoramas and OpenEXR sample images, train split less 12 validation "
                "sites: perspective views (recipes/scenes.tsv)",
                "count": 4392,
                "licence": "CC0-1.0 and BSD-3-Clause",
            },
            {
                "name": "ordinary photos, exposed up until they clip (authors and licences: recipes/photos.tsv)",
                "count": 1966,
                "licence": "CC0, CC-BY, CC-BY-SA, public domain and others",
            },
        ],
        "hardware": "one of two shared CPU cores",
        "loss": "stops above white, codes at EV -2 and -4 (of rims too), energy of clipped light in squares; "
        "no adversarial term",
        "optimiser": "AdamW 1e-3, then 6e-4 (encoder a fifth), cosine each, averaged",
        "recipe": "recipes/README.md",
        "seconds": round(sum(state["spent"] for state in states)),
        "steps": sum(state["step"] for state in states),
    }


def main() -> None:
    """Convert and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+", help="outputs of recipes.train_light, each begun from the last")
    parser.add_argument("-o", "--output", type=Path, default=Path("hdrgan/weights/radiance"))
    args = parser.parse_args()
    network = RadianceGenerator.from_pretrained(args.runs[-1] / "generator").half()
    network.save_pretrained(args.output, training=summary(args.runs))
    (args.output / "README.md").unlink(missing_ok=True)  # the package's own card is made when it is pushed


if __name__ == "__main__":
    main()
