"""Fit the response head of a RadianceGenerator to shots of HDR scenes: the second step of the `radiance` recipe.

python -m recipes.response_head HDR_SCENES runs/radiance/generator OUTPUT --responses emor.npz

The head sees measurements, not pixels, so shots are measured once and the fit itself takes minutes. It learns from the
expected error of exposures (`hdrgan.training.losses.response_loss`) with dropout, since scenes are few. Scenes are held
out for validation as in training; the table beside each epoch gives the exposures' PSNR as the curve alone would leave
it, for renders and for camera photos, with sRGB assumed (identity) beside it. OUTPUT gets the generator with the new
head.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageFilter
from tqdm import tqdm

from hdrgan.data import hdr_folder
from hdrgan.data.augment import with_shadows
from hdrgan.data.camera import VirtualCamera
from hdrgan.light.radiometry import srgb_curve
from hdrgan.models.evidence import response_evidence
from hdrgan.models.radiance_generator import RadianceGenerator
from hdrgan.models.response import ResponseHead, inverse_response
from hdrgan.training.losses import response_loss

EVS = (-4.0, -2.0, 2.0, 4.0)


def through_software(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Sharpen, shrink or both, as a photo may have been before anybody asked for its light."""
    picture = Image.fromarray(codes)
    chance = rng.random()
    if chance < 0.5:
        picture = picture.filter(ImageFilter.UnsharpMask(rng.uniform(0.5, 1.5), int(rng.uniform(20, 120)), 0))
    if chance > 0.3:
        share = rng.uniform(0.5, 0.95)
        size = max(64, int(picture.width * share)), max(64, int(picture.height * share))
        picture = picture.resize(size, Image.Resampling(int(rng.choice([1, 3, 4]))))
    return np.asarray(picture)


def varied(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of a view (H, W, 3), mirrored, tinted and with another contrast: scenes that were not photographed."""
    side = int(rng.integers(min(view.shape[:2]) * 11 // 16, min(view.shape[:2]) + 1))
    top, left = (int(rng.integers(0, full - side + 1)) for full in view.shape[:2])
    part = view[top : top + side, left : left + side, :]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    part = part[::-1] if rng.random() < 0.3 else part
    part = part * np.exp(rng.normal(0, 0.12, 3)).astype(np.float32)
    if rng.random() < 0.3:
        grey = part.mean(-1, keepdims=True)
        part = np.maximum(grey + (part - grey) * rng.uniform(0.6, 1.3), 0)
    if rng.random() < 0.3:
        part = part ** np.float32(rng.uniform(0.85, 1.15))
    if rng.random() < 0.2:
        # Deepened in some alone: deep ones in most would make the head take cameras' dark photos for renders.
        part = with_shadows(part, math.exp(rng.uniform(0.2, 1.1)))
    return np.ascontiguousarray(part, np.float32)


def measure(
    views: list[np.ndarray], shots: int, camera: VirtualCamera, seed: int, *, vary: bool
) -> dict[str, torch.Tensor]:
    """Photograph views at random. evidence (N, E); codes (N, 256) share of pixels; truth (N, 256); render (N,)."""
    found: dict[str, list[torch.Tensor]] = {"evidence": [], "codes": [], "truth": [], "render": []}
    for index in tqdm(range(shots), desc="shots", unit="shot"):
        rng = np.random.default_rng([seed, index])
        view = views[int(rng.integers(len(views)))].astype(np.float32)
        render = bool(rng.random() < camera.clean_share)
        try:
            shot = camera.shoot(varied(view, rng) if vary else view, rng, clean=render)
        except ValueError:  # black at the percentile that should become white
            continue
        srgb = shot.srgb if render or not vary or rng.random() >= 0.35 else through_software(shot.srgb, rng)
        tile = torch.from_numpy(srgb.astype(np.float32) / 255).permute(2, 0, 1)[None, None]
        found["evidence"].append(response_evidence(tile)[0])
        found["codes"].append(torch.from_numpy(np.bincount(srgb.reshape(-1), minlength=256) / srgb.size).float())
        found["truth"].append(torch.from_numpy(shot.inverse_response))
        found["render"].append(torch.tensor(float(render)))
    return {name: torch.stack(values) for name, values in found.items()}


def exposures_psnr(curve: torch.Tensor, shots: dict[str, torch.Tensor]) -> str:
    """PSNR of exposures that only the curve has spoilt, over renders and over camera photos."""
    said = []
    for name, chosen in (("render", shots["render"] > 0.5), ("camera", shots["render"] < 0.5)):
        errors = [
            response_loss(
                curve[chosen], shots["truth"][chosen], shares=shots["codes"][chosen], evs=(ev,), light_weight=0.0
            )
            for ev in EVS
        ]
        said.append(f"{name} " + " ".join(f"{-10 * math.log10(max(float(e), 1e-9)):.2f}" for e in errors))
    return " | ".join(said)


def fit(
    train: dict[str, torch.Tensor],
    valid: dict[str, torch.Tensor],
    network: RadianceGenerator,
    epochs: int,
    seed: int,
) -> ResponseHead:
    """Fit the readers of a head, each by itself and from a seed of its own; prints a line an epoch."""
    knots, width, readers = network.knots, network.response_width, network.response_readers
    whole = ResponseHead(knots, width, readers)
    whole.calibrate(train["evidence"])
    identity = srgb_curve().expand(len(valid["truth"]), -1)
    tqdm.write(f"identity  {exposures_psnr(identity, valid)}")
    for k, reader in enumerate(whole.readers):
        one = fit_reader(train, valid, whole, epochs, seed + k)
        reader.load_state_dict(one.readers[0].state_dict())
    with torch.no_grad():
        tqdm.write(f"together  {exposures_psnr(inverse_response(whole(valid['evidence'])), valid)}")
    return whole


def fit_reader(
    train: dict[str, torch.Tensor], valid: dict[str, torch.Tensor], whole: ResponseHead, epochs: int, seed: int
) -> ResponseHead:
    """A head of one reader, on the scale of ``whole``. Of two readers one is held back more: they err differently."""
    torch.manual_seed(seed)
    held_back = seed % 2 == 1
    last = whole.readers[0].layers[-1]
    head = ResponseHead(last.out_features, last.in_features, readers=1, dropout=0.5 if held_back else 0.3)
    head.mean.copy_(whole.mean)
    head.deviation.copy_(whole.deviation)
    optimizer = torch.optim.AdamW(head.parameters(), 2e-3, weight_decay=0.05)
    count = len(train["evidence"])
    batch = min(128, count)
    steps, step = epochs * (count // batch), 0
    for epoch in range(epochs):
        head.train()
        for chosen in torch.randperm(count)[: count // batch * batch].split(batch):
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * min(1.0, (step + 1) / 50) * 0.5 * (1 + math.cos(math.pi * step / steps))
            # A measurement is never exact twice.
            evidence = train["evidence"][chosen]
            evidence = evidence + 0.1 * head.deviation * torch.randn_like(evidence)
            curve = inverse_response(head(evidence))
            loss = 10 * response_loss(curve, train["truth"][chosen], shares=train["codes"][chosen], evs=EVS)
            # The gate inside the head learns its own question as well.
            said = head.readers[0].render(head.scaled(evidence))[:, 0]
            weight = 0.03 if held_back else 0.01
            loss = loss + weight * F.binary_cross_entropy_with_logits(said, train["render"][chosen])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            step += 1
        head.eval()
        with torch.no_grad():
            tqdm.write(f"epoch {epoch + 1:3d} {exposures_psnr(inverse_response(head(valid['evidence'])), valid)}")
    return head


def main() -> None:
    """Read the scenes, measure shots, fit, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, help="folder of HDR scenes, as for train_accelerate.py --layout hdr")
    parser.add_argument("generator", help="folder of the RadianceGenerator, a bundled name, or a name on the Hub")
    parser.add_argument("output", type=Path, help="where the generator goes with its new head; not there yet")
    parser.add_argument("--responses", type=Path, help="EMoR model of real camera responses (.npz)")
    parser.add_argument("--views", type=int, default=40, help="of each scene (default: %(default)s)")
    parser.add_argument("--view-size", type=int, default=256, help="in pixels (default: %(default)s)")
    parser.add_argument("--shots", type=int, default=40000, help="to learn from (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=20, help="passes over them (default: %(default)s)")
    parser.add_argument("--validation-share", type=float, default=0.12, help="of the scenes (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="(default: %(default)s)")
    args = parser.parse_args()
    if args.output.exists():
        parser.error(f"{args.output} is there already: give a new folder")
    started = time.monotonic()
    network = RadianceGenerator.from_pretrained(args.generator)
    scenes, faults, _ = hdr_folder.scan(args.scenes)
    if faults or not scenes:
        parser.error("; ".join(map(str, faults[:5])) or f"{args.scenes} holds no HDR scenes")
    held_out = hdr_folder.held_out_sites(scenes, args.validation_share)
    views: dict[bool, list[np.ndarray]] = {True: [], False: []}
    for scene in tqdm(scenes, desc="scenes", unit="scene"):
        rendered = hdr_folder.render_views(scene, args.views, args.view_size)
        views[scene.site in held_out].extend(np.float16(np.clip(view, 0, 6e4)) for view in rendered)
    # A halo tells how bright a lamp is, and nothing of the response: the bundled head was fitted without.
    camera = VirtualCamera(args.responses, glare_share=0)
    train = measure(views[False], args.shots, camera, args.seed + 1, vary=True)
    valid = measure(views[True], max(64, args.shots // 20), camera, args.seed + 2, vary=False)
    head = fit(train, valid, network, args.epochs, args.seed)
    network.response.load_state_dict(head.state_dict())
    network.save_pretrained(
        args.output,
        training={
            "response_head": {
                "shots": len(train["truth"]),
                "epochs": args.epochs,
                "seed": args.seed,
                "seconds": round(time.monotonic() - started),
            }
        },
    )
    tqdm.write(f"{args.output}: generator with the new head, {time.monotonic() - started:.0f} s")


if __name__ == "__main__":
    main()
