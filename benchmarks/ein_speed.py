"""How much faster EIN answers than the forward that was published, with the same weights on the same machine.

    python benchmarks/ein_speed.py --megapixels 1 --width 32 --runs 5

The published forward runs the encoder three times, on contiguous float32 tensors, with a fresh tensor for every step;
it is written out below from the paper's description, operation for operation, and its answer is compared with ours.
Runs alternate, so that whatever else the machine does falls on both; the ratio of each pair is taken, then the median.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import Tensor

from hdrgan.light.radiometry import soft_clip_masks
from hdrgan.models.ein import EIN


class PublishedForward:
    """The published computation on a state dict: (srgb, under mask, over mask) to relative radiance."""

    def __init__(self, weights: dict[str, Tensor]) -> None:
        self.weights = weights

    def conv(self, x: Tensor, name: str, reach: int, stride: int = 1, dilation: int = 1) -> Tensor:
        if reach:
            x = F.pad(x, (reach,) * 4, mode="reflect")
        return F.conv2d(x, self.weights[f"{name}.weight"], self.weights.get(f"{name}.bias"), stride, 0, dilation)

    def active(self, x: Tensor, name: str, reach: int, stride: int = 1, dilation: int = 1) -> Tensor:
        return F.leaky_relu(self.conv(x, name, reach, stride, dilation), 0.2, inplace=True)

    def channels(self, x: Tensor, name: str) -> Tensor:
        gate = self.conv(F.relu(self.conv(F.adaptive_avg_pool2d(x, 1), f"{name}.conv_du.0", 0)), f"{name}.conv_du.2", 0)
        return x * torch.sigmoid(gate)

    def pooled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return torch.max(x, 1)[0].unsqueeze(1), torch.mean(x, 1).unsqueeze(1)

    def space(self, x: Tensor, name: str) -> Tensor:
        return x * torch.sigmoid(self.conv(torch.cat(self.pooled(x), 1), f"{name}.spatial.1", 2))

    def attention(self, x: Tensor, name: str) -> Tensor:
        return self.space(self.channels(x, f"{name}.CA"), f"{name}.SA").add_(x)

    def down(self, x: Tensor, name: str, reach: int, stride: int) -> Tensor:
        return self.attention(self.active(self.active(x, f"{name}.1", reach, stride), f"{name}.4", 1), f"{name}.6")

    def up(self, x: Tensor, name: str) -> Tensor:
        x = self.active(self.active(self.attention(x, f"{name}.0"), f"{name}.2", 1), f"{name}.5", 1)
        return self.attention(x, f"{name}.7")

    def dense(self, x: Tensor, name: str) -> Tensor:
        grown = x
        for k in range(4):
            layer = f"{name}.residual_dense_layers.{k}.conv.1"
            grown = torch.cat((grown, self.active(grown, layer, 2**k, 1, 2**k)), 1)
        return self.space(self.channels(self.conv(grown, f"{name}.conv_1x1", 0), f"{name}.ca"), f"{name}.sa") + x

    def bottom(self, x: Tensor) -> Tensor:
        for k in range(3):
            x = self.dense(x, f"resblock.{k}")
        return x

    def exposure_mask(self, x: Tensor, name: str) -> Tensor:
        seen = torch.cat((self.conv(x, f"{name}.convd3.1", 1), *self.pooled(x)), 1)
        return torch.sigmoid(self.conv(seen, f"{name}.down_sample.1", 3, 2))

    def part(self, srgb: Tensor, mask: Tensor, which: str) -> list[Tensor]:
        features = self.down(srgb * mask, "dconv_down1_w", 3, 1)
        levels = [features * mask]
        for level in (2, 3, 4):
            half = F.interpolate(mask, scale_factor=0.5, mode="bilinear", align_corners=False)
            mask = self.exposure_mask(features, f"mask_{which}_{level}") * half**2
            features = self.down(levels[-1], f"dconv_down{level}_w", 1, 2)
            features = self.bottom(features) if level == 4 else features
            levels.append(features * mask)
        return levels

    def whole(self, srgb: Tensor) -> list[Tensor]:
        levels = [self.down(srgb, "dconv_down1_w", 3, 1)]
        for level in (2, 3, 4):
            levels.append(self.down(levels[-1], f"dconv_down{level}_w", 1, 2))
        return [*levels[:3], self.bottom(levels[3])]

    def fuse(self, over: Tensor, under: Tensor, whole: Tensor, name: str) -> Tensor:
        local = self.up(torch.cat([under + over, whole], 1), f"{name}.conv")
        joint = self.active(whole, f"{name}.conv_global.1", 1) + local
        return self.active(self.active(joint, f"{name}.conv_out1.1", 3), f"{name}.conv_out2.1", 1)

    def __call__(self, srgb: Tensor, under: Tensor, over: Tensor) -> Tensor:
        dark, bright, whole = self.part(srgb, under, "down"), self.part(srgb, over, "up"), self.whole(srgb)
        y = self.up(self.fuse(bright[3], dark[3], whole[3], "featurefusion4"), "dconv_up4")
        for level in (3, 2, 1):
            y = self.conv(F.interpolate(y, scale_factor=2, mode="nearest"), f"upsample{level}.1", 0)
            k = level - 1
            y = torch.cat([y, self.fuse(bright[k], dark[k], whole[k], f"featurefusion{level}")], 1)
            y = self.up(y, f"dconv_up{level}")
        return torch.sigmoid(self.conv(self.active(y, "conv_last1.1", 1), "conv_last1.4", 3))


def picture(megapixels: float) -> Tensor:
    """A square picture with shapes, grain, black and white: (1, 3, S, S), S a multiple of 8."""
    side = max(72, round((megapixels * 1e6) ** 0.5 / 8) * 8)
    torch.manual_seed(0)
    shapes = F.interpolate(torch.rand(1, 3, 12, 12), size=(side, side), mode="bicubic") * 1.4 - 0.2
    return (shapes + 0.02 * torch.randn(1, 3, side, side)).clamp(0, 1)


def timed(forward, *inputs: Tensor) -> tuple[float, Tensor]:
    start = time.perf_counter()
    answer = forward(*inputs)
    return time.perf_counter() - start, answer


def main(arguments: list[str] | None = None) -> float:
    """Measure, report on standard output, and return the median ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--megapixels", type=float, default=1.0, help="size of the square picture (default: %(default)s)"
    )
    parser.add_argument("--width", type=int, default=32, help="width of the network (default: %(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="pairs of runs after one to warm up (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="threads of torch (default: its own choice)")
    options = parser.parse_args(arguments)
    if options.megapixels <= 0 or options.runs < 1:
        parser.error("--megapixels and --runs must be above 0")
    if options.threads:
        torch.set_num_threads(options.threads)

    srgb = picture(options.megapixels)
    under, over = soft_clip_masks(srgb)
    network = EIN(width=options.width).eval()
    published = PublishedForward(network.state_dict())
    pairs = []
    with torch.inference_mode():
        for run in range(options.runs + 1):
            seconds_theirs, theirs = timed(published, srgb, under, over)
            seconds_ours, ours = timed(network.reconstruct, srgb, under, over)
            if run:
                pairs.append((seconds_theirs, seconds_ours))
    ratio = statistics.median(theirs / ours for theirs, ours in pairs)
    lines = (
        f"EIN width {options.width}, {srgb.shape[-1]}x{srgb.shape[-2]}, float32, {torch.get_num_threads()} threads, "
        f"{platform.processor() or platform.machine()}, torch {torch.__version__}",
        f"published forward  {statistics.median(pair[0] for pair in pairs):8.2f} s  (median of {len(pairs)})",
        f"ours               {statistics.median(pair[1] for pair in pairs):8.2f} s",
        f"ratio              {ratio:8.2f}    (median of pairs; largest difference of the answers "
        f"{(theirs - ours).abs().max():.1e})",
    )
    sys.stdout.write("\n".join(lines) + "\n")
    return ratio


if __name__ == "__main__":
    main()
