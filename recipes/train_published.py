"""Train `bracket` or `ein` from packed scenes on one device: the run that made the bundled weights.

    python -m recipes.train_published PACKED OUTPUT --model bracket --init bracket --minutes 7

PACKED is as for ``recipes.train_light``; of it the scenes are used. Losses, optimisers and rates are those of
``train_accelerate.py``; what differs is that photos lie on the graphics card. OUTPUT/log.txt tells the error that is
trained on, and for bracket PSNR of each exposure, of held-out scenes. OUTPUT/generator is what the package bundles:
half floats, with a summary of how they were made.
"""

from __future__ import annotations

import argparse
import copy
import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from hdrgan.data.batch import Batch
from hdrgan.light.evs import DEFAULT_EVS
from hdrgan.models.bracket_generator import BracketGenerator
from hdrgan.models.ein import EIN
from hdrgan.models.patch_discriminator import PatchDiscriminator
from hdrgan.training import objectives
from hdrgan.training.hyperparameters import RECIPES
from hdrgan.training.networks import lineage
from recipes.pack_light import WHITE
from recipes.packed import Packed

_HELD_OUT_SIDE = 320  # of held-out photos at most, a multiple of what the networks take


def batch_of(data: Packed, chosen: np.ndarray, places: np.ndarray, side: int) -> Batch:
    """Squares of photos: ``places`` (B, 2) says where each begins, as a share of what is left beside it."""
    srgb, light, _, curve = data.items(chosen)
    side = min(side, srgb.shape[1])
    corners = (places * (srgb.shape[1] + 1 - side)).astype(int)

    def cut(pictures: Tensor) -> Tensor:
        return torch.stack([p[y : y + side, x : x + side] for p, (y, x) in zip(pictures, corners, strict=True)])

    items = {"srgb": cut(srgb), "radiance": cut(light).float() / WHITE, "inverse_response": curve}
    return Batch(items, DEFAULT_EVS, data.device)


@torch.no_grad()
def measure(model: str, generator: nn.Module, data: Packed) -> str:
    """Figures of held-out photos; see the module."""
    errors, squares = [], []
    for chosen in np.array_split(np.arange(len(data)), max(1, len(data) // 8)):
        batch = batch_of(data, chosen, np.full((len(chosen), 2), 0.5), _HELD_OUT_SIDE)
        output = generator(batch.srgb)
        # As each error is measured: of exposures, or of light on EIN's own scale.
        prediction = objectives.Prediction(output, output * objectives.EIN_HEADROOM)
        errors.append(objectives.trained_l1(model, prediction, batch))
        if model == "bracket":
            squares.append(((output - batch.bracket) ** 2).mean((2, 3, 4)))  # (B, N)
    told = f"L1 {np.mean(errors):.4f}"
    if squares:
        psnr = (-10 * torch.cat(squares).clamp(min=1e-6).log10()).mean(0)
        told += " EV " + " ".join(f"{float(value):.2f}" for value in psnr)
    return told


def summary(args: argparse.Namespace, base: Mapping[str, object], photos: int, steps: int, seconds: float) -> dict:
    """What the card tells of the training."""
    return {
        "base": lineage(args.init, base),
        "crop_size": args.crop_size,
        "data": [
            {
                "name": "Poly Haven / HDRI Haven panoramas and OpenEXR sample images, train split less 12 validation "
                "sites: perspective views (recipes/scenes.tsv)",
                "count": photos,
                "licence": "CC0-1.0 and BSD-3-Clause",
            }
        ],
        "ema": 1 - args.average,
        "hardware": "one NVIDIA H200, shared with two other trainings",
        "learning_rate": args.learning_rate,
        "loss": "as published" if args.model == "bracket" else "as published without the VGG-19 term",
        "pictures a step": args.batch_size,
        "recipe": "recipes/README.md",
        "seconds": round(seconds),
        "seed": args.seed,
        "steps": steps,
    }


def main() -> None:
    """Train, and write OUTPUT/generator after every check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--model", choices=("bracket", "ein"), required=True)
    parser.add_argument("--init", required=True, help="weights to start from: a bundled network or a folder")
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--minutes", type=float, default=1e9, help="end by then: the rate falls with what is nearer")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--crop-size", type=int, default=192)
    parser.add_argument("--learning-rate", type=float, default=2e-4)
    parser.add_argument("--average", type=float, default=0.001, help="share of a step in the averaged weights")
    parser.add_argument("--most", type=int, default=12000, help="photos to hold: 2 MB each at 448 pixels")
    parser.add_argument("--check-every", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(1)
    torch.set_float32_matmul_precision("high")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    args.output.mkdir(parents=True, exist_ok=True)
    log = (args.output / "log.txt").open("a", buffering=1)
    training, held = (Packed(args.packed, out, device, args.most, ("scenes",)) for out in (False, True))
    training.watch()

    recipe = RECIPES[args.model]
    network: BracketGenerator | EIN = (BracketGenerator if args.model == "bracket" else EIN).from_pretrained(args.init)
    base = network.training_summary
    generator = network.float().to(device, memory_format=torch.channels_last).train()
    average = copy.deepcopy(generator).eval()
    discriminator = PatchDiscriminator().to(device) if recipe.adversarial_weight else None
    objective = objectives.make_objective(
        args.model, device, l1_weight=recipe.l1_weight, adversarial_weight=recipe.adversarial_weight
    )
    optimizers = [
        torch.optim.Adam(network.parameters(), args.learning_rate, recipe.betas)
        for network in (generator, discriminator)
        if network is not None
    ]

    def check(step: int) -> None:
        print(f"step {step}: {measure(args.model, average, held)}", file=log)
        told = summary(args, base, len(training), step, time.monotonic() - started)
        copy.deepcopy(average).half().save_pretrained(args.output / "generator", training=told)

    started, step = time.monotonic(), 0
    check(step)
    while step < args.steps and time.monotonic() - started < args.minutes * 60:
        rng = np.random.default_rng((args.seed, step))
        done = max(step / args.steps, (time.monotonic() - started) / (args.minutes * 60))
        rate = args.learning_rate * min(1, (step + 1) / 100) * (0.5 * (1 + math.cos(math.pi * done)) + 0.01)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        training.grow()
        chosen = rng.integers(len(training), size=args.batch_size)
        batch = batch_of(training, chosen, rng.random((args.batch_size, 2)), args.crop_size)
        fake, terms = objective(generator, batch)
        if discriminator is not None and fake is not None:
            real_logits, fake_logits = (discriminator(batch.srgb, x) for x in (batch.bracket, fake.detach()))
            optimizers[1].zero_grad(set_to_none=True)
            objectives.discriminator_loss(real_logits, fake_logits).backward()
            optimizers[1].step()
            discriminator.requires_grad_(False)
            judged = objectives.generator_adversarial_loss(discriminator(batch.srgb, fake))
            terms["adversarial"] = recipe.adversarial_weight * judged
        optimizers[0].zero_grad(set_to_none=True)
        torch.stack(list(terms.values())).sum().backward()
        nn.utils.clip_grad_norm_(generator.parameters(), recipe.clip)
        optimizers[0].step()
        if discriminator is not None:
            discriminator.requires_grad_(True)
        step += 1
        with torch.no_grad():
            torch._foreach_lerp_(
                list(average.parameters()), list(generator.parameters()), max(args.average, 9 / (10 + step))
            )
        if step % 100 == 0:
            told = " ".join(f"{name} {value.item():.4f}" for name, value in terms.items())
            print(f"{step} {time.monotonic() - started:.0f} s, {len(training)} photos: {told}", file=log)
        if step % args.check_every == 0:
            check(step)
    check(step)


if __name__ == "__main__":
    main()
