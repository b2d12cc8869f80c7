"""Put the weights of a training run into the package, in half precision, with a summary of how they were made.

python -m recipes.bundle_light RUN [RUN ...] [-o hdrgan/weights/radiance]
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path

from hdrgan.models.radiance_generator import RadianceGenerator


def summary(runs: Sequence[Path]) -> dict[str, object]:
    """What the card tells of the training."""
    # The last of the lines "STEP SECONDS s, ..." of each run.
    ends = [re.findall(r"^(\d+) (\d+) s, ", (run / "log.txt").read_text(), re.MULTILINE)[-1] for run in runs]
    return {
        "batch_size": 32,
        "camera": "virtual camera with measured response curves: primaries, noise, mosaic, denoising, style, "
        "sharpening, JPEG; a fifth plain sRGB renders",
        "crop_size": 448,
        "data": [
            {
                "name": "ImageNet weights of EfficientNet-Lite2, as the encoder's start",
                "count": 1281167,
                "licence": "Apache-2.0",
            },
            {
                "name": "Poly Haven / HDRI Haven panoramas and OpenEXR sample images, train split less 12 validation "
                "sites: perspective views (recipes/scenes.tsv)",
                "count": 7856,
                "licence": "CC0-1.0 and BSD-3-Clause",
            },
            {
                "name": "ordinary photos, exposed up until they clip (authors and licences: recipes/photos.tsv)",
                "count": 3614,
                "licence": "CC0, CC-BY, CC-BY-SA, public domain and others",
            },
        ],
        "hardware": "one NVIDIA H200",
        "loss": "stops above white, codes at EV -2 and -4 (of rims too), energy of clipped light in squares; "
        "no adversarial term",
        "optimiser": "AdamW 1e-3 (encoder a fifth), cosine, averaged",
        "recipe": "recipes/README.md",
        "seconds": sum(int(seconds) for _, seconds in ends),
        "steps": sum(int(step) for step, _ in ends),
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
