"""How fast the trainer learns, beside a plain loop that does what the published HDR-GAN training does.

    python benchmarks/train_throughput.py                 # images per second, ours and plain, and the time lost waiting
    python benchmarks/train_throughput.py --networks      # time and memory of each network with its default settings

The plain loop opens and resizes the five pictures of every item again with Pillow, in the process that trains, in
float32 without channels_last; it ends the discriminator in a sigmoid and lets the generator's turn fill the
discriminator's gradients, as the published code does. Networks, batch, picture size, optimisers and machine are the
same; the two take turns. Ours is `train_accelerate.py` itself, read from the metrics that it writes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from hdrgan import BracketGenerator, PatchDiscriminator  # noqa: E402
from hdrgan.files.radiance import save_hdr  # noqa: E402

EVS = (-4, -2, 0, 2, 4)
WARM_UP = 3  # steps that are not counted


def scene(seed: int, width: int, height: int) -> np.ndarray:
    """Radiance (H, W, 3) of a made-up scene: slopes, edges, fine texture, sensor noise and some lamps."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    radiance = np.full((height, width, 3), 0.02, np.float32)
    for _ in range(12):
        angle, size = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 30)
        wave = np.sin(size * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6))
        radiance += rng.uniform(0, 0.12, 3).astype(np.float32) * (wave[..., None] > rng.uniform(-0.5, 0.5))
    for _ in range(5):
        lamp = (x - rng.uniform(0, width / height)) ** 2 + (y - rng.uniform(0, 1)) ** 2 < rng.uniform(0.01, 0.12) ** 2
        radiance += 20 * lamp[..., None]
    return radiance * rng.normal(1, 0.03, radiance.shape).astype(np.float32).clip(0.5, 1.5)


def make_brackets(root: Path, scenes: int, width: int, height: int) -> None:
    """A data set in the HDR-GAN layout."""
    for k in range(scenes):
        images = root / f"Scene_{k}" / "images"
        images.mkdir(parents=True)
        light = scene(k, width, height)
        for position, ev in enumerate(EVS):
            encoded = (light * 2.0**ev).clip(0, 1) ** (1 / 2.2)
            Image.fromarray((encoded * 255).round().astype(np.uint8)).save(images / f"0_{position}.png")


class PlainBrackets(Dataset):
    """Five pictures, opened and squashed to a square for every item."""

    def __init__(self, root: Path, size: int):
        self.folders, self.size = sorted(root.glob("*/images")), size

    def __len__(self) -> int:
        return len(self.folders)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        frames = []
        for position in range(5):
            picture = Image.open(self.folders[index] / f"0_{position}.png").convert("RGB")
            picture = picture.resize((self.size, self.size), Image.Resampling.BILINEAR)
            frames.append(torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous().float() / 255)
        return frames[2], torch.stack(frames)


def plain_steps(root: Path, size: int, batch_size: int, steps: int) -> list[tuple[float, float]]:
    """Seconds of each step of the plain loop, and how many of them went into reading."""
    generator, discriminator = BracketGenerator(), PatchDiscriminator()
    g_adam = torch.optim.Adam(generator.parameters(), 2e-4, (0.5, 0.999))
    d_adam = torch.optim.Adam(discriminator.parameters(), 2e-4, (0.5, 0.999))
    spent: list[tuple[float, float]] = []
    loader = DataLoader(PlainBrackets(root, size), batch_size=batch_size, shuffle=True, drop_last=True)
    batches = iter(loader)
    for _ in range(steps):
        started = time.perf_counter()
        try:
            srgb, real = next(batches)
        except StopIteration:
            batches = iter(loader)
            srgb, real = next(batches)
        read = time.perf_counter() - started
        fake = generator(srgb)
        d_adam.zero_grad()
        on_real = torch.sigmoid(discriminator(srgb, real))
        on_fake = torch.sigmoid(discriminator(srgb, fake.detach()))
        d_loss = F.binary_cross_entropy(on_real, torch.ones_like(on_real))
        d_loss = (d_loss + F.binary_cross_entropy(on_fake, torch.zeros_like(on_fake))) / 2
        d_loss.backward()
        d_adam.step()
        g_adam.zero_grad()
        judged = torch.sigmoid(discriminator(srgb, fake))
        g_loss = F.binary_cross_entropy(judged, torch.ones_like(judged)) + 100 * F.l1_loss(fake, real)
        g_loss.backward()
        g_adam.step()
        spent.append((time.perf_counter() - started, read))
    return spent


def train(output: Path, *arguments: object) -> tuple[list[dict], str]:
    """Run the trainer; returns its records and its output."""
    quiet = ["--validation-share", 0, "--validate-every", 10**6, "--checkpoint-every", 10**6]
    command = [sys.executable, str(ROOT / "train_accelerate.py"), *map(str, [*arguments, *quiet, "--output", output])]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONWARNINGS": "ignore"}
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    return [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()], done.stdout


def our_steps(root: Path, output: Path, size: int, batch_size: int, steps: int) -> list[tuple[float, float]]:
    """Seconds of each step of the trainer, and how many of them were spent waiting for data."""
    flags = ["--model", "bracket", "--dataset", root, "--crop-size", size, "--batch-size", batch_size, "--steps", steps]
    records, _ = train(output, *flags)
    return [(record["seconds"], record["waited"]) for record in records]


def compare(args: argparse.Namespace) -> None:
    """Print images per second of both loops."""
    spent: dict[str, list[tuple[float, float]]] = {"plain": [], "ours": []}
    with tempfile.TemporaryDirectory() as folder:
        root = args.dataset or Path(folder) / "data"
        if args.dataset is None:
            make_brackets(root, args.scenes, args.width, args.height)
        for turn in range(args.turns):
            ours = our_steps(root, Path(folder) / f"run_{turn}", args.size, args.batch_size, args.steps + WARM_UP)
            spent["ours"] += ours[WARM_UP:]
            spent["plain"] += plain_steps(root, args.size, args.batch_size, args.steps + WARM_UP)[WARM_UP:]
    rates = {}
    say(
        f"{args.scenes} brackets of 5 x {args.width} x {args.height} PNG" if args.dataset is None else str(args.dataset)
    )
    say(f"{args.turns} turns of {args.steps} steps, batch {args.batch_size} of {args.size} x {args.size}, {machine()}")
    for name, steps in spent.items():
        seconds, waiting = sum(s for s, _ in steps), sum(w for _, w in steps)
        rates[name] = args.batch_size / statistics.median(s for s, _ in steps)
        share = 100 * waiting / seconds
        say(f"{name:6} {rates[name]:7.2f} images/s (median step)   waiting for data {share:5.1f} % of the time")
    say(f"ours / plain {rates['ours'] / rates['plain']:.2f}")


def networks(args: argparse.Namespace) -> None:
    """Print time and memory of each network with the settings that it has by default."""
    rows = [("network", "images/s", "s/step", "peak MB", "hours for 10,000 steps")]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        make_brackets(root / "brackets", 8, 768, 512)
        (root / "scenes").mkdir()
        for k in range(4):
            save_hdr(root / "scenes" / f"{k}.hdr", scene(k, 512, 512))
        for name, flags in (
            ("bracket", ["--model", "bracket", "--dataset", root / "brackets"]),
            ("radiance", ["--model", "radiance", "--dataset", root / "scenes", "--views", 4]),
            ("ein, width 8", ["--model", "ein", "--width", 8, "--dataset", root / "scenes", "--views", 4]),
            ("ein, width 32", ["--model", "ein", "--dataset", root / "scenes", "--views", 4]),
        ):
            steps = max(3, args.steps // 4) + 1
            records, said = train(root / name.replace(" ", "_"), *flags, "--steps", steps)
            seconds = statistics.median(record["seconds"] for record in records[1:])
            peak = re.search(r"peak memory[^0-9]*([\d,]+) MB", said)
            memory = peak[1] if peak else "-"
            rows.append((name, f"{8 / seconds:.2f}", f"{seconds:.2f}", memory, f"{seconds * 10_000 / 3600:.1f}"))
    say(f"batch 8, default crops, {machine()}")
    for row in rows:
        say("  ".join(cell.rjust(22 if k == 4 else 9) if k else cell.ljust(14) for k, cell in enumerate(row)))


def machine() -> str:
    """What this was measured on."""
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads, {platform.machine()}"


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true", help="time and memory of each network instead")
    parser.add_argument("--dataset", type=Path, help="a bracket folder to read instead of made-up scenes")
    parser.add_argument("--scenes", type=int, default=16, help="made-up scenes (default: 16)")
    parser.add_argument("--width", type=int, default=1920, help="of their pictures (default: 1920)")
    parser.add_argument("--height", type=int, default=1080, help="of their pictures (default: 1080)")
    parser.add_argument("--size", type=int, default=256, help="side of what the networks see (default: 256)")
    parser.add_argument("--batch-size", type=int, default=8, help="(default: 8)")
    parser.add_argument("--steps", type=int, default=12, help="counted steps of each turn (default: 12)")
    parser.add_argument("--turns", type=int, default=2, help="times that both are measured (default: 2)")
    args = parser.parse_args()
    networks(args) if args.networks else compare(args)


if __name__ == "__main__":
    main()
