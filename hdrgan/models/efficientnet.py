"""EfficientNet-Lite2, pretrained on a million photos, as an encoder.

Tan and Le 2019 (EfficientNet), in the variant without squeeze-and-excitation that Google published as
EfficientNet-Lite (Apache-2.0; Liu 2020). Each normalisation is folded into the convolution before it, so that nothing
depends on the rest of the batch. The classifier is left out.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan.light.cancellation import check_cancelled

# Expansion, channels, repeats, stride, kernel.
_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 3, 2, 3),
    (6, 48, 3, 2, 5),
    (6, 88, 4, 2, 3),
    (6, 120, 4, 1, 5),
    (6, 208, 5, 2, 5),
    (6, 352, 1, 1, 3),
)
_TAPPED = (1, 2, 4, 6)  # stages whose last block is an output
FEATURES = (24, 48, 120, 352)
"""Channels of the features at strides 4, 8, 16 and 32."""


class _Convolution(nn.Conv2d):
    """A convolution padded as TensorFlow pads it: where the stride is 2, one pixel more after than before.

    It is a stage at which cancelled work stops.
    """

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            check_cancelled()
        weight = self.weight if self.stride == (1, 1) else _one_later(self.weight)
        return F.conv2d(x, weight, self.bias, self.stride, self.kernel_size[0] // 2, 1, self.groups)


def _one_later(weight: Tensor) -> Tensor:
    """A kernel that reads one pixel more after than before: a tenth of the time of copying its input with that pixel.

    By concatenation, because onnxruntime takes a padded kernel for a padded input.
    """
    weight = torch.cat([torch.zeros_like(weight[..., :1, :]), weight], -2)
    return torch.cat([torch.zeros_like(weight[..., :1]), weight], -1)


class _Block(nn.Module):
    """An inverted residual: expand, filter each channel, project."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int):
        super().__init__()
        inner = inputs * expansion
        self.expand = _Convolution(inputs, inner, 1) if expansion > 1 else None
        self.depthwise = _Convolution(inner, inner, kernel, stride, groups=inner)
        self.project = _Convolution(inner, outputs, 1)
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = cast(Tensor, self.project(F.relu6(self.depthwise(y), inplace=True)))
        return x + y if self.residual else y


class EfficientNetLite2(nn.Module):
    """srgb (B, 3, H, W) encoded in [0, 1], H and W multiples of 32, to features at strides 4, 8, 16 and 32.

    Channels are `FEATURES`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = _Convolution(3, 32, 3, 2)
        blocks, inputs, self._taps = [], 32, set()
        for stage, (expansion, outputs, repeats, stride, kernel) in enumerate(_STAGES):
            for repeat in range(repeats):
                blocks.append(_Block(inputs, outputs, expansion, stride if repeat == 0 else 1, kernel))
                inputs = outputs
            if stage in _TAPPED:
                self._taps.add(len(blocks) - 1)
        self.blocks = nn.ModuleList(blocks)

    def forward(self, srgb: Tensor) -> list[Tensor]:
        x = F.relu6(self.stem((srgb * 255 - 127) / 128), inplace=True)
        features = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in self._taps:
                features.append(x)
        return features
