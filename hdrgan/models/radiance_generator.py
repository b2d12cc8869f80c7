"""RadianceGenerator: one photo to scene light, by a network that knows what a camera does.

A camera exposes, clips, bends the light with its response curve, adds noise and rounds. The network therefore predicts
only what those steps lost: the inverse response, how far clipped channels lie above white, and a small correction of
noise and JPEG blocks. Everything else is arithmetic, so pixels that were measured stay measured.

Input: srgb (B, 3, H, W) in [0, 1]. Output: radiance (B, 3, H, W) >= 0, 1.0 = the photo's white.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan.light.radiometry import decode
from hdrgan.models.convolution import convolve
from hdrgan.models.evidence import response_evidence
from hdrgan.models.pretrained import PretrainedModel
from hdrgan.models.response import ResponseHead, inverse_response

_COLOUR_STEP, _COLOUR_BOX = 4, 5  # the colour of invented light is averaged over 5 blocks of 4 pixels, twice


class LightFields(NamedTuple):
    """What the deep part says about a photo; see `RadianceGenerator.fields`.

    inverse_response: (B, 256) linear value of each code, ascending from 0 to 1.
    gain: (B, 3, H, W) stops above white that a clipped channel is given, >= 0; not yet masked.
    residual: (B, 3, H, W) correction of the encoded photo, bounded.
    """

    inverse_response: Tensor
    gain: Tensor
    residual: Tensor


class RadianceOutput(NamedTuple):
    """Radiance (B, 3, H, W), 1.0 = the photo's white, with the fields that it was made from."""

    radiance: Tensor
    inverse_response: Tensor
    log_gain: Tensor
    residual: Tensor


def clip_mask(srgb: Tensor, start: float, end: float) -> Tensor:
    """How surely each channel has clipped: 0 up to ``start``, 1 from ``end``, a smooth step between. Same shape."""
    t = ((srgb - start) / (end - start)).clamp(0, 1)
    return t * t * (3 - 2 * t)


class _Block(nn.Module):
    def __init__(self, inputs: int, width: int):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(convolve(self.conv2, F.relu_(convolve(self.conv1, x))))


def _smoothed(gain: Tensor, clipped: Tensor) -> Tensor:
    """Take the pattern of the pixel blocks out of the gain, and let its colour change slowly.

    Light above white has detail in brightness; colour that turns from block to block is only the network's doubt. It
    fades where there is less light than around, so that the colour of a sun does not spread to its rim, which is hardly
    above white. What did not clip has no say.

    Args:
        gain: (B, 3, H, W) stops.
        clipped: (B, 3, H, W) from `clip_mask`.
    """
    say = clipped.amax(1, keepdim=True) + 1e-3
    brightness = gain.mean(1, keepdim=True)
    said = torch.cat([(gain - brightness) * say, brightness * say, say], 1)
    around = F.avg_pool2d(said, _COLOUR_STEP, ceil_mode=True)
    for _ in range(2):
        around = _box(around, _COLOUR_BOX)
    slow = F.interpolate(around[:, :4] / around[:, 4:], size=gain.shape[2:], mode="bilinear", align_corners=False)
    colour, usual = slow[:, :3], slow[:, 3:]
    brightness = _unblocked(brightness * say) / _unblocked(say)
    return (brightness + colour * (brightness / (usual + 1e-6)).clamp(max=1)).clamp(min=0)


def _unblocked(x: Tensor) -> Tensor:
    """Weigh each pixel and its neighbours by 1 2 2 2 1, along and across: what repeats every 4 pixels is gone."""
    for along in (False, True):
        narrow, wide = (_mean(x, side, along=along) for side in (3, 5))
        x = (3 * narrow + 5 * wide) / 8
    return x


def _box(x: Tensor, side: int) -> Tensor:
    """Mean over a square, of what of it lies within the picture; along and across in turn, which is as good."""
    return _mean(_mean(x, side, along=True), side, along=False)


def _mean(x: Tensor, side: int, *, along: bool) -> Tensor:
    shape, padding = ((1, side), (0, side // 2)) if along else ((side, 1), (side // 2, 0))
    return F.avg_pool2d(x, shape, 1, padding, count_include_pad=False)


class RadianceGenerator(
    nn.Module,
    PretrainedModel,
    library_name="hdrgan",
    tags=["hdr", "inverse-tone-mapping", "exposure-bracket", "single-image-hdr"],
    license="mit",
    pipeline_tag="image-to-image",
):
    """U-Net on the pixel-unshuffled photo for the light, and a head on measured evidence for the response curve.

    Args:
        widths: channels at 1/patch, 1/(2 patch), 1/(4 patch) … of the working size.
        patch: side of the pixel blocks that the first layer sees as one.
        context: width of the global vector.
        knots: degrees of freedom of the response curve around sRGB.
        response_width: hidden width of the head that estimates it.
        response_readers: opinions that the head averages.
        max_stops: most stops that a clipped channel can be raised.
        max_residual: largest correction of an encoded value.
        clip_start, clip_end: encoded values between which a channel passes from measured to clipped.
        evs: exposures that the network was trained to render, dark to bright, in stops.

    Raises:
        ValueError: a number that no network can be built from, or an input of the wrong shape.
    """

    def __init__(
        self,
        widths: Sequence[int] = (48, 96, 128, 192),
        patch: int = 4,
        context: int = 256,
        knots: int = 32,
        response_width: int = 192,
        response_readers: int = 4,
        max_stops: float = 10.0,
        max_residual: float = 0.05,
        clip_start: float = 0.94,
        clip_end: float = 0.995,
        evs: Sequence[float] = (-4, -2, 0, 2, 4),
    ):
        super().__init__()
        widths = tuple(int(w) for w in widths)
        if len(widths) < 2 or min(widths) < 1:
            raise ValueError(f"widths must hold at least two positive numbers, got {widths}")
        if not 0 < clip_start < clip_end <= 1:
            raise ValueError(f"clip_start and clip_end must ascend within (0, 1], got {clip_start} and {clip_end}")
        if knots < 2 or response_width < 4 or response_readers < 1:
            raise ValueError(
                "knots must be at least 2, response_width 4 and response_readers 1, "
                f"got {knots}, {response_width} and {response_readers}"
            )
        self.evs = tuple(float(ev) for ev in evs)
        self.widths = widths
        self.knots, self.response_width, self.response_readers = knots, response_width, response_readers
        self.max_stops = float(max_stops)
        self.max_residual = float(max_residual)
        self.clip_start, self.clip_end = float(clip_start), float(clip_end)

        self.patch = int(patch)
        self.stem = nn.Conv2d(6 * self.patch**2, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList([_Block(widths[0], widths[0])])
        self.encoder.extend(_Block(a, b) for a, b in zip(widths, widths[1:], strict=False))
        self.global_in = nn.Sequential(
            nn.Linear(2 * widths[-1], context),
            nn.LeakyReLU(0.1),
            nn.Linear(context, context),
            nn.LeakyReLU(0.1),
        )
        self.global_out = nn.Linear(context, widths[-1])
        self.response = ResponseHead(knots, response_width, response_readers)
        self.decoder = nn.ModuleList(_Block(a + b, a) for a, b in zip(widths, widths[1:], strict=False))
        self.head = nn.Conv2d(widths[0], 6 * self.patch**2, 3, padding=1)
        with torch.no_grad():
            # The untrained network is the identity baseline: sRGB, no correction, and little gain.
            self.head.weight.mul_(0.1)
            nn.init.zeros_(cast(Tensor, self.head.bias))

    @property
    def size_multiple(self) -> int:
        """What height and width of the input of `fields` must be multiples of."""
        return self.patch << len(self.widths) - 1

    def curve(self, tiles: Tensor) -> Tensor:
        """Estimate the camera's inverse response from pieces of a photo that were not resampled.

        Args:
            tiles: (B, T, 3, H, W) encoded; see `response_evidence`.

        Returns:
            (B, 256) linear value of each code, ascending from 0 to 1.
        """
        with torch.autocast(tiles.device.type, enabled=False):  # half precision would blur what it looks for
            return inverse_response(self.response(response_evidence(tiles.detach().float())))

    def fields(self, srgb: Tensor, *, curve: Tensor | None = None, residual: bool = True) -> LightFields:
        """Run the deep part at the size of its input.

        Args:
            srgb: (B, 3, H, W) encoded in [0, 1]; H and W multiples of `size_multiple`.
            curve: (B, 256) inverse response where it is known already; estimated from ``srgb`` otherwise, which should
                not have been resampled then.
            residual: whether the correction is wanted; without, it is nought.

        Returns:
            Response, gain in stops and residual at (H, W).
        """
        if (
            srgb.dim() != 4
            or srgb.shape[1] != 3
            or srgb.shape[2] % self.size_multiple
            or srgb.shape[3] % self.size_multiple
        ):
            raise ValueError(
                f"srgb must be (B, 3, H, W) with H and W multiples of {self.size_multiple}, got {tuple(srgb.shape)}"
            )
        clipped = clip_mask(srgb, self.clip_start, self.clip_end)
        patches = F.pixel_unshuffle(torch.cat([srgb - 0.5, clipped], 1), self.patch)
        x = convolve(self.stem, patches)  # (B, C, H/p, W/p)
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(F.avg_pool2d(x, 2) if level else x)
            skips.append(x)
        context = self.global_in(torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1))
        x = skips[-1] + self.global_out(context)[:, :, None, None]
        for level in reversed(range(len(self.decoder))):
            x = self.decoder[level](torch.cat([skips[level], F.interpolate(x, scale_factor=2.0, mode="nearest")], 1))
        drawn = convolve(self.head, x, None if residual else 3 * self.patch**2)
        drawn = F.pixel_shuffle(drawn, self.patch).float()  # (B, 6 or 3, H, W)
        return LightFields(
            self.curve(srgb[:, None]) if curve is None else curve,
            _smoothed(self.max_stops * torch.sigmoid(drawn[:, :3] - 2), clipped),
            self.max_residual * torch.tanh(drawn[:, 3:]) if residual else torch.zeros_like(drawn),
        )

    def apply_fields(self, srgb: Tensor, fields: LightFields) -> RadianceOutput:
        """Turn a photo into light: correct, linearise, raise what clipped. Fields must have the photo's size."""
        mask = clip_mask(srgb, self.clip_start, self.clip_end)
        log_gain = mask * fields.gain
        # A channel that clipped has nothing to denoise.
        corrected = (srgb + (1 - mask) * fields.residual).clamp(0, 1)
        radiance = decode(corrected, fields.inverse_response) * torch.exp2(log_gain)
        return RadianceOutput(radiance, fields.inverse_response, log_gain, fields.residual)

    def forward(self, srgb: Tensor) -> RadianceOutput:
        """srgb (B, 3, H, W) in [0, 1] to radiance (B, 3, H, W), 1.0 = white; see `RadianceOutput`.

        The curve gets no gradient from the radiance: it learns from `hdrgan.training.losses.response_loss` alone.
        """
        fields = self.fields(srgb)
        drawn = self.apply_fields(srgb, fields._replace(inverse_response=fields.inverse_response.detach()))
        return drawn._replace(inverse_response=fields.inverse_response)
