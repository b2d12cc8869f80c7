"""EIN, the exposure-induced network: one photo to relative linear radiance.

Liu et al., "EIN: Exposure-Induced Network for Single-Image HDR Reconstruction", ACM TOMM 21(10), 2025, doi
10.1145/3763240. The photo, its bright parts and its dark parts go through one encoder; soft clip masks travel with
the features; at each level the features of the parts are merged with those of the whole.

Layer names are those of the published state dict, so that its checkpoints load as they are.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan.light.cancellation import check_cancelled
from hdrgan.light.radiometry import soft_clip_masks
from hdrgan.models.pretrained import PretrainedModel

Gates = dict[nn.Module, Tensor]
"""Channel gates already decided, by attention module. A module that is not in it decides its own and adds it."""

_OVERVIEW_PIXELS = 1 << 20
"""Size of the reduced photo from which tiles take their channel gates: as much work as one tile of 1024 x 1024."""


def _activate(x: Tensor) -> Tensor:
    return F.leaky_relu(x, 0.2, inplace=True)


def _transformed(x: Tensor, conv: nn.Conv2d) -> bool:
    """Whether NNPACK convolves this faster: Winograd (3 x 3) or FFT (7 x 7) instead of direct summation.

    Measured for float32 on x86: 2 to 5 times faster from these widths on, slower below them. The FFT is also more
    exact than direct summation; Winograd loses one of seven decimal digits.
    """
    least = {3: 32 * 32, 7: 3 * 32}.get(conv.kernel_size[0])
    return (
        least is not None
        and conv.in_channels * conv.out_channels >= least
        and conv.stride == conv.dilation == (1, 1)
        and min(x.shape[-2:]) >= 32  # below, the tiles of the transforms are mostly border
        and x.device.type == "cpu"
        and x.dtype == conv.weight.dtype == torch.float32
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # public, but torch types it not
        and torch._nnpack_available()  # which also makes it ready
    )


def _reflect(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Convolve with reflected borders; a stage at which cancelled work stops."""
    if not torch.compiler.is_compiling():
        check_cancelled()
    reach = conv.dilation[0] * (conv.kernel_size[0] // 2)
    border = (reach, reach, reach, reach)
    if not _transformed(x, conv):
        convolved: Tensor = conv(F.pad(x, border, mode="reflect"))
        return convolved
    # One picture at a time, as NNPACK is at its best.
    bordered = (F.pad(one.contiguous(), border, mode="reflect") for one in torch.split(x, 1))
    results = [torch._nnpack_spatial_convolution(one, conv.weight, conv.bias, 0) for one in bordered]
    return results[0] if len(results) == 1 else torch.cat(results)


def _add_masked(x: Tensor, attended: Tensor, mask: Tensor) -> Tensor:
    if torch.is_grad_enabled():
        return torch.addcmul(x, attended, mask)
    return attended.mul_(mask).add_(x)  # in place: fresh memory costs more than the arithmetic


class _Numbered(nn.Module):
    """Children under the numbers that they have in the published state dict, which counts layers without weights."""

    def __init__(self, children: dict[int, nn.Module]) -> None:
        super().__init__()
        for number, child in children.items():
            self.add_module(str(number), child)

    def __getitem__(self, number: int) -> nn.Conv2d:
        return cast(nn.Conv2d, self._modules[str(number)])

    def attend(self, number: int, x: Tensor, gates: Gates | None) -> Tensor:
        return cast(Tensor, cast(_Attention, self._modules[str(number)])(x, gates))


class _ChannelAttention(nn.Module):
    """CA: each channel times a gate in (0, 1) that depends on the means of all channels."""

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, channels // reduction, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels // reduction, channels, 1, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor, gates: Gates | None) -> Tensor:
        if gates is None:
            return x * cast(Tensor, self.conv_du(x.mean((2, 3), keepdim=True)))
        if self not in gates:
            gates[self] = self.conv_du(x.mean((2, 3), keepdim=True))
        return x * gates[self]


class _SpatialAttention(nn.Module):
    """SA: a mask in (0, 1) from the largest and the mean channel."""

    def __init__(self) -> None:
        super().__init__()
        self.spatial = _Numbered({1: nn.Conv2d(2, 1, 5)})

    def forward(self, x: Tensor) -> Tensor:
        pooled = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)  # (B, 2, H, W)
        return torch.sigmoid(_reflect(pooled, self.spatial[1]))


class _Attention(nn.Module):
    """CSA: channel, then spatial attention, added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.SA = _SpatialAttention()
        self.CA = _ChannelAttention(channels)

    def forward(self, x: Tensor, gates: Gates | None) -> Tensor:
        attended = self.CA(x, gates)
        return _add_masked(x, attended, self.SA(attended))


class _Down(_Numbered):
    """Two convolutions and attention; the first convolution is larger, or halves the size."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int = 3, stride: int = 2) -> None:
        super().__init__(
            {
                1: nn.Conv2d(channels_in, channels_out, kernel, stride),
                4: nn.Conv2d(channels_out, channels_out, 3),
                6: _Attention(channels_out),
            }
        )

    def forward(self, x: Tensor, gates: Gates | None) -> Tensor:
        return self.attend(6, _activate(_reflect(_activate(_reflect(x, self[1])), self[4])), gates)


class _Up(_Numbered):
    """Attention, two convolutions, attention; the size stays, the name is the paper's."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(
            {
                0: _Attention(channels_in),
                2: nn.Conv2d(channels_in, channels_out, 3),
                5: nn.Conv2d(channels_out, channels_out, 3),
                7: _Attention(channels_out),
            }
        )

    def forward(self, x: Tensor, gates: Gates | None) -> Tensor:
        x = _activate(_reflect(self.attend(0, x, gates), self[2]))
        return self.attend(7, _activate(_reflect(x, self[5])), gates)


class _DenseLayer(nn.Module):
    """A dilated convolution whose result is appended to its input."""

    def __init__(self, channels: int, growth: int, dilation: int) -> None:
        super().__init__()
        self.conv = _Numbered({1: nn.Conv2d(channels, growth, 3, dilation=dilation)})

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, _activate(_reflect(x, self.conv[1]))], 1)


class _DenseBlock(nn.Module):
    """RDDB: four dense layers, dilation 1, 2, 4, 8; back to the width; channel and spatial attention; residual."""

    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.residual_dense_layers = nn.Sequential(
            *(_DenseLayer(channels + k * growth, growth, 2**k) for k in range(4))
        )
        self.conv_1x1 = nn.Conv2d(channels + 4 * growth, channels, 1)
        self.ca = _ChannelAttention(channels)
        self.sa = _SpatialAttention()

    def forward(self, x: Tensor, gates: Gates | None) -> Tensor:
        attended = self.ca(self.conv_1x1(self.residual_dense_layers(x)), gates)
        return _add_masked(x, attended, self.sa(attended))


class _ExposureMask(nn.Module):
    """ECM: features (B, C, H, W) to a mask (B, 1, H / 2, W / 2) in (0, 1)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down_sample = _Numbered({1: nn.Conv2d(3, 1, 7, 2)})
        self.convd3 = _Numbered({1: nn.Conv2d(channels, 1, 3)})

    def forward(self, x: Tensor) -> Tensor:
        seen = torch.cat([_reflect(x, self.convd3[1]), x.amax(1, keepdim=True), x.mean(1, keepdim=True)], 1)
        return torch.sigmoid(_reflect(seen, self.down_sample[1]))


class _Fusion(nn.Module):
    """JGL: features of the bright and dark parts, merged with those of the whole."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _Up(2 * channels, channels)
        self.conv_global = _Numbered({1: nn.Conv2d(channels, channels, 3)})
        self.conv_out1 = _Numbered({1: nn.Conv2d(channels, channels, 7)})
        self.conv_out2 = _Numbered({1: nn.Conv2d(channels, channels, 3)})

    def forward(self, level: Tensor, gates: Gates | None) -> Tensor:
        """(B, 2C, H, W), parts and whole, to (B, C, H, W)."""
        joint = self.conv(level, gates) + _activate(_reflect(level.chunk(2, 1)[1], self.conv_global[1]))
        return _activate(_reflect(_activate(_reflect(joint, self.conv_out1[1])), self.conv_out2[1]))


class EIN(
    nn.Module,
    PretrainedModel,
    library_name="hdrgan",
    license="mit",
    pipeline_tag="image-to-image",
    paper_url="https://doi.org/10.1145/3763240",
    tags=["hdr", "inverse-tone-mapping", "hdr-reconstruction"],
):
    """The exposure-induced network of Liu et al. 2025: 13,272,822 parameters at width 32, 835,086 at 8.

    Args:
        width: channels of the first level, a multiple of 8.

    Input: srgb (B, 3, H, W) encoded, [0, 1]; H and W multiples of `size_multiple`, at least `minimum_size`.
    Output: relative linear radiance (B, 3, H, W) in [0, 1]; its scale means nothing until it is anchored to the photo.

    >>> EIN(width=8)(torch.rand(1, 3, 72, 80)).shape
    torch.Size([1, 3, 72, 80])
    """

    size_multiple = 8
    minimum_size = 72

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = w = operator.index(width)
        if w < 8 or w % 8:
            raise ValueError(f"width must be a positive multiple of 8, got {width}")
        self.dconv_down1_w = _Down(3, w, kernel=7, stride=1)
        self.dconv_down2_w = _Down(w, 2 * w)
        self.dconv_down3_w = _Down(2 * w, 4 * w)
        self.dconv_down4_w = _Down(4 * w, 8 * w)
        self.resblock = nn.ModuleList(_DenseBlock(8 * w, 2 * w) for _ in range(3))
        self.mask_down_2, self.mask_up_2 = _ExposureMask(w), _ExposureMask(w)
        self.mask_down_3, self.mask_up_3 = _ExposureMask(2 * w), _ExposureMask(2 * w)
        self.mask_down_4, self.mask_up_4 = _ExposureMask(4 * w), _ExposureMask(4 * w)
        self.featurefusion4, self.featurefusion3 = _Fusion(8 * w), _Fusion(4 * w)
        self.featurefusion2, self.featurefusion1 = _Fusion(2 * w), _Fusion(w)
        self.dconv_up4, self.upsample3 = _Up(8 * w, 4 * w), _Numbered({1: nn.Conv2d(4 * w, 2 * w, 1)})
        self.dconv_up3, self.upsample2 = _Up(6 * w, 3 * w), _Numbered({1: nn.Conv2d(3 * w, 2 * w, 1)})
        self.dconv_up2, self.upsample1 = _Up(4 * w, 2 * w), _Numbered({1: nn.Conv2d(2 * w, w, 1)})
        self.dconv_up1 = _Up(2 * w, w)
        self.conv_last1 = _Numbered({1: nn.Conv2d(w, w, 3), 4: nn.Conv2d(w, 3, 7)})
        self._initialise()

    def _initialise(self) -> None:
        if self.conv_last1[4].weight.is_meta:
            return  # tensors on the meta device have no values, and initialising them is slow
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, a=0.2)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        # Gates and the output start near the middle of their sigmoids. Initialised like the rest, the output would be
        # saturated in 99 of 100 pixels, and some masks everywhere; neither passes a gradient.
        for layer in self.modules():
            if isinstance(layer, _ChannelAttention):
                cast(nn.Conv2d, layer.conv_du[2]).weight.data.mul_(0.1)
            elif isinstance(layer, _SpatialAttention):
                layer.spatial[1].weight.data.mul_(0.1)
            elif isinstance(layer, _ExposureMask):
                layer.down_sample[1].weight.data.mul_(0.1)
            # Attention with its gates at one half makes everything 1.25 times larger, some fifteen times in a row.
            elif isinstance(layer, _Down):
                layer[4].weight.data.mul_(0.8)
            elif isinstance(layer, _Up):
                layer[2].weight.data.mul_(0.8)
                layer[5].weight.data.mul_(0.8)
        self.conv_last1[4].weight.data.mul_(0.1)

    def forward(self, srgb: Tensor) -> Tensor:
        """Reconstruct relative radiance: srgb (B, 3, H, W) to (B, 3, H, W), both in [0, 1].

        Raises:
            ValueError: the shape is not (B, 3, H, W) with H and W multiples of 8 and at least 72.
        """
        return self.reconstruct(srgb, *soft_clip_masks(srgb.float()))

    def for_tiles(self, srgb: Tensor) -> Callable[[Tensor], Tensor]:
        """Prepare for a photo that is too large to be run as a whole.

        Channel attention depends on means over the whole photo. Tiles that took their own would differ from their
        neighbours in every pixel; these all use the gates of the photo, seen at about one megapixel.

        Args:
            srgb: (1, 3, H, W) the photo, encoded: floating point in [0, 1] or integer codes; any size.

        Returns:
            Function of a tile (1, 3, h, w) float in [0, 1], with sizes as for `forward`, to its relative radiance.
        """
        scale = min(1.0, (_OVERVIEW_PIXELS / (srgb.shape[-2] * srgb.shape[-1])) ** 0.5)
        size = [max(self.minimum_size, round(side * scale / 8) * 8) for side in srgb.shape[-2:]]
        if min(srgb.shape[-2:]) * scale < self.minimum_size / 2:  # a strip: most of it would be padding
            size = [min(side, 1024) for side in size]
        white = 1 if srgb.is_floating_point() else torch.iinfo(srgb.dtype).max
        # A channel at a time, because the photo may be many times larger than the memory for one in float.
        channels = [F.interpolate(channel.float(), size, mode="area") for channel in torch.split(srgb, 1, 1)]
        overview = (torch.cat(channels, 1) / white).to(self.conv_last1[1].weight.device)
        gates: Gates = {}
        self.reconstruct(overview, *soft_clip_masks(overview), gates)
        return lambda tile: self.reconstruct(tile, *soft_clip_masks(tile.float()), gates)

    def reconstruct(self, srgb: Tensor, under: Tensor, over: Tensor, gates: Gates | None = None) -> Tensor:
        """`forward` with masks from elsewhere.

        Args:
            srgb: (B, 3, H, W) encoded, [0, 1].
            under: (B, 1, H, W) in [0, 1], 1 where the photo is black (``mask_down`` of the published code).
            over: (B, 1, H, W) in [0, 1], 1 where the photo is white (``mask_up``).
            gates: channel gates to use; those that are missing are decided from this photo and added.

        Raises:
            ValueError: a shape is not as above, or H and W are not multiples of 8 and at least 72.
        """
        if srgb.dim() != 4 or srgb.shape[1] != 3:
            raise ValueError(f"srgb must be (B, 3, H, W), got {tuple(srgb.shape)}")
        batch, _, height, width = srgb.shape
        if height % self.size_multiple or width % self.size_multiple or min(height, width) < self.minimum_size:
            raise ValueError(
                f"height and width must be multiples of {self.size_multiple} and at least {self.minimum_size}, "
                f"got {height}x{width}"
            )
        for mask in (under, over):
            if mask.shape != (batch, 1, height, width):
                raise ValueError(f"masks must be {(batch, 1, height, width)}, got {tuple(mask.shape)}")
        dtype = self.conv_last1[1].weight.dtype
        # The encoder's weights are shared, so whole, under and over go through it as one batch; the whole has no mask.
        masks = torch.cat([torch.ones_like(under), under, over]).to(dtype)  # (3B, 1, H, W)
        x = srgb.to(dtype).repeat(3, 1, 1, 1) * masks
        if not _transformed(x, self.dconv_down1_w[4]):
            x = x.contiguous(memory_format=torch.channels_last)
        levels = []  # (B, 2C, h, w), finest first: the parts together, the whole
        for stage, exposure_masks in (
            (self.dconv_down1_w, (self.mask_down_2, self.mask_up_2)),
            (self.dconv_down2_w, (self.mask_down_3, self.mask_up_3)),
            (self.dconv_down3_w, (self.mask_down_4, self.mask_up_4)),
            (self.dconv_down4_w, ()),
        ):
            x = stage(x, gates)  # (3B, C, h, w)
            if exposure_masks:
                parts = torch.split(x[batch:], batch)
                seen = [ecm(part) for ecm, part in zip(exposure_masks, parts, strict=True)]
                seen.insert(0, torch.ones_like(seen[0]))
                # Halving bilinearly, corners not aligned, is the mean of 2 x 2.
                next_masks = torch.cat(seen) * F.avg_pool2d(masks, 2) ** 2  # (3B, 1, h / 2, w / 2)
            else:
                for block in self.resblock:
                    x = block(x, gates)
            x = x * masks if torch.is_grad_enabled() else x.mul_(masks)
            levels.append(torch.cat([x[batch : 2 * batch] + x[2 * batch :], x[:batch]], 1))
            masks = next_masks

        y = self.dconv_up4(self.featurefusion4(levels.pop(), gates), gates)  # (B, 4w, H / 8, W / 8)
        for upsample, fusion, decode in (
            (self.upsample3, self.featurefusion3, self.dconv_up3),
            (self.upsample2, self.featurefusion2, self.dconv_up2),
            (self.upsample1, self.featurefusion1, self.dconv_up1),
        ):
            # A 1 x 1 convolution and nearest upsampling commute; this order is a quarter of the work.
            y = F.interpolate(upsample[1](y), scale_factor=2, mode="nearest")
            y = decode(torch.cat([y, fusion(levels.pop(), gates)], 1), gates)
        y = _reflect(_activate(_reflect(y, self.conv_last1[1])), self.conv_last1[4])  # (B, 3, H, W)
        return torch.sigmoid(y).to(srgb.dtype)
