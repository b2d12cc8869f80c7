"""RadianceGenerator: one photo to scene light, with the camera modelled explicitly.

A camera exposes, clips, bends the light with its response curve, adds noise and rounds. The response is given, since no
photo tells it; pixels that were measured stay measured. What is left to learn is the light above white.

That light has two parts, because two kinds of it exist. A *gain* in stops raises each clipped channel: skies, windows,
walls, lamp shades, all that is a few stops above white and smooth. *Compact lights* are added to it in linear light:
suns, bulbs, reflections, a few pixels that hold most of the energy. An encoder that was trained on a million photos
tells the network what it looks at.

Input: srgb (B, 3, H, W) in [0, 1]. Output: radiance (B, 3, H, W) >= 0, 1.0 = the photo's white.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hdrgan.light.cancellation import check_cancelled
from hdrgan.light.confine import extended
from hdrgan.light.evs import NETWORK_EVS
from hdrgan.light.radiometry import LUMINANCE_WEIGHTS, decode
from hdrgan.light.response import mean_camera
from hdrgan.models.efficientnet import FEATURES, EfficientNetLite2
from hdrgan.models.pretrained import PretrainedModel

_CELL = 4  # pixels along a side of the cells in which light is told
_HALF = 2  # how much smaller the picture is that the encoder sees
_MOST_GAIN = 12.0  # stops that a clipped channel can be raised
_COLOURLESS = 4.5 / 255  # largest difference of the channels of a photo without colour
_TINGE = 0.1  # stops by which a light may be greener or more purple than its red and blue
_LEAST_GAIN = -0.4  # stops that a channel can be lowered: other cameras clip it earlier than the curve says
_BY_ONE = 0.4  # say of the colour beside a place of which one channel was measured
_BY_TWO = 0.6  # what a second one adds to it
_HALVINGS = 5  # of half the working size: 64 pixels of it are beside a place, and everything is where nothing is
_DIM = 1e-4  # of white, below which no colour is looked for
_MOST_LIGHT = 18.0  # stops above white that a compact light can have, as the mean over its cell


CLIPPED = (0.94, 0.995)
"""Encoded values between which a channel passes from measured to clipped."""


class Light(NamedTuple):
    """The output of the deep part for a photo, not yet confined to clipped pixels.

    gain: (B, 3, H, W) stops above white, >= -0.4.
    compact: (B, 3, H, W) linear light that is added, >= 0, 1.0 = white.
    """

    gain: Tensor
    compact: Tensor

    def factor(self) -> Tensor:
        """How many times as bright as white the light of a clipped channel is: (B, 3, H, W)."""
        return torch.exp2(self.gain) + self.compact

    def above_white(self, mask: Tensor) -> Tensor:
        """The same, (B, 3, H, W), where ``mask`` says how surely each channel clipped; 1 where it did not."""
        return torch.exp2(mask * self.factor().clamp(min=2**-8).log2())


class RadianceOutput(NamedTuple):
    """Radiance (B, 3, H, W), 1.0 = the photo's white, with the `Light` that it was made from."""

    radiance: Tensor
    gain: Tensor
    compact: Tensor


def clip_mask(srgb: Tensor, start: float, end: float) -> Tensor:
    """How surely each channel has clipped: 0 up to ``start``, 1 from ``end``, a smooth step between. Same shape."""
    t = ((srgb - start) / (end - start)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _between_warm_and_cool(gain: Tensor, whole: Tensor) -> Tensor:
    """Give light of which no channel was measured a colour that lights have: green lies between red and blue.

    The brightness is kept, so that a sun does not lose the energy that the network put into its green.

    Args:
        gain: (B, 3, H, W) stops.
        whole: (B, 1, H, W) how surely all channels of a pixel clipped.
    """
    weights = gain.new_tensor(LUMINANCE_WEIGHTS).view(1, 3, 1, 1)  # of a convolution, which sums channels fastest
    red, green, blue = torch.split(gain, 1, 1)
    low, high = torch.minimum(red, blue) - _TINGE, torch.maximum(red, blue) + _TINGE
    bounded = torch.cat([red, torch.lerp(green, torch.minimum(torch.maximum(green, low), high), whole), blue], 1)
    lost = F.conv2d(torch.exp2(gain), weights) / F.conv2d(torch.exp2(bounded), weights)
    return (bounded + lost.log2()).clamp(max=_MOST_GAIN)


def _with_colour_beside(light: Light, srgb: Tensor, clipped: Tensor, curve: Tensor) -> Light:
    """Where some channels clipped and others did not, let the colour of what is beside have a say.

    A network that errs in one channel turns paper blue and the glow of a lamp green. So does a camera that clips one
    channel earlier than the curve says: suns get a red ring, then a yellow-green one. The colour between the nearest
    places that did not clip and those that clipped whole, at the brightness that was measured, errs in other ways.

    Args:
        light: of (B, 3, H, W), which is changed where ``clipped`` differs between channels.
        srgb: (B, 3, H, W) encoded in [0, 1].
        clipped: `clip_mask` of it.
        curve: (K,) as in `decode`.
    """
    half, surely = _halved(srgb), _halved(clipped)
    measured, whole = 1 - surely, surely.amin(1, keepdim=True)
    stops = decode(half, curve).clamp(min=_DIM).log2().contiguous(memory_format=torch.channels_last)
    seen = measured.amin(1, keepdim=True) * ((half.amax(1, keepdim=True) - 0.25) / 0.35).clamp(0, 1) ** 2
    raised = stops + whole * _halved(light.gain)
    colour = extended(raised - raised.mean(1, keepdim=True), seen + whole, _HALVINGS)
    level = (measured * (stops - colour)).sum(1, keepdim=True) / measured.sum(1, keepdim=True).clamp(min=1e-3)
    likely = _doubled((level + colour - stops).clamp(min=_LEAST_GAIN))
    red, green, blue = torch.split(clipped, 1, 1)
    lower, higher = torch.minimum(red, green), torch.maximum(red, green)
    least, second = torch.minimum(lower, blue), torch.maximum(lower, torch.minimum(higher, blue))
    say = _BY_ONE * (1 - least) + _BY_TWO * (1 - second)
    return Light(torch.lerp(light.gain, likely, say), light.compact * (1 - say))


def _convolution(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.LeakyReLU(0.1))


def _halved(x: Tensor) -> Tensor:
    """Means of 2 x 2 pixels, in a third of the time that pooling takes."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / _HALF**2


def _doubled(x: Tensor) -> Tensor:
    """Twice the size; a stage at which cancelled work stops."""
    if not torch.compiler.is_compiling():
        check_cancelled()
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


class LightNetwork(nn.Module):
    """The deep part: an encoder and a decoder that see half the size, and a shallow part that sees all of it.

    What a photo shows is told by half of it as well, at a quarter of the work. Where exactly its edges are is not.

    Args:
        widths: channels of the decoder at strides 4, 8, 16 and 32 of half the size.
        edge: channels of the shallow part.
    """

    def __init__(self, widths: Sequence[int], edge: int):
        super().__init__()
        fine, middle, coarse, whole = widths
        self.encoder = EfficientNetLite2()
        self.at4 = _convolution(6 * _CELL**2 + FEATURES[0], fine)
        self.at8 = _convolution(FEATURES[1], middle)
        self.at16 = _convolution(FEATURES[2], coarse)
        self.at32 = _convolution(FEATURES[3], whole)
        self.context = nn.Sequential(nn.Linear(FEATURES[3], 128), nn.LeakyReLU(0.1), nn.Linear(128, whole))
        self.to16 = _convolution(coarse + whole, coarse)
        self.to8 = _convolution(middle + coarse, middle)
        self.to4 = nn.Sequential(_convolution(fine + middle, fine), _convolution(fine, fine))
        self.gain = nn.Conv2d(fine, 3 * _CELL**2, 3, padding=1)
        # Energy of a cell, place within it, and how warm it is.
        self.compact = nn.Conv2d(fine, 1 + _CELL**2 + 2, 3, padding=1)
        self.edges = nn.Sequential(
            nn.Conv2d(6, -(-edge // 2), 3, 2, 1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(-(-edge // 2), edge, 3, 2, 1),
            nn.LeakyReLU(0.1),
        )
        self.refine = nn.Sequential(_convolution(fine + edge, edge), nn.Conv2d(edge, 3 * _CELL**2, 3, padding=1))
        # The untrained network adds almost nothing.
        for layer, share in ((self.gain, 0.1), (self.compact, 0.1), (self.refine[1], 0.01)):
            cast(Tensor, layer.weight).data.mul_(share)
            cast(Tensor, layer.bias).data.zero_()
        cast(Tensor, self.compact.bias).data[0] = -3.0

    def forward(self, srgb: Tensor, clipped: Tensor) -> Light:
        """srgb and `clip_mask`, (B, 3, H, W) with H and W multiples of 64, to light of the same size."""
        half, half_clipped = _halved(srgb), _halved(clipped)
        at4, at8, at16, at32 = self.encoder(half)
        cells = F.pixel_unshuffle(torch.cat([half - 0.5, half_clipped], 1), _CELL)
        whole = self.at32(at32) + self.context(at32.mean((2, 3)))[:, :, None, None]
        x = self.to16(torch.cat([self.at16(at16), _doubled(whole)], 1))
        x = self.to8(torch.cat([self.at8(at8), _doubled(x)], 1))
        x = self.to4(torch.cat([self.at4(torch.cat([cells, at4], 1)), _doubled(x)], 1))
        coarse = _doubled(F.pixel_shuffle(self.gain(x), _CELL))
        edges = self.edges(torch.cat([srgb - 0.5, clipped], 1))
        exact = F.pixel_shuffle(self.refine(torch.cat([_doubled(x), edges], 1)), _CELL)
        # A slope below zero keeps the gradient of a channel that should rise.
        gain = F.leaky_relu(coarse + exact + 0.4, 0.1).clamp(max=_MOST_GAIN)
        energy, place, warmth = torch.split(self.compact(x).float(), [1, _CELL**2, 2], 1)
        mean = torch.exp2(F.softplus(energy).clamp(max=_MOST_LIGHT)) - 1
        # From white to the red of a low sun, never bluer than white.
        red, blue = torch.split(torch.sigmoid(warmth - 2), 1, 1)
        tint = torch.cat([1 + red, torch.ones_like(red), 1 - blue], 1)  # (B, 3, H/8, W/8)
        spread = F.pixel_shuffle(torch.softmax(place, 1) * _CELL**2 * mean, _CELL)  # (B, 1, H/2, W/2)
        spread = spread * F.interpolate(tint, scale_factor=float(_CELL), mode="nearest")
        return Light(gain.float(), F.interpolate(spread, scale_factor=float(_HALF), mode="nearest"))


class RadianceGenerator(
    nn.Module,
    PretrainedModel,
    library_name="hdrgan",
    tags=["hdr", "inverse-tone-mapping", "exposure-bracket", "single-image-hdr"],
    license="mit",
    pipeline_tag="image-to-image",
):
    """Light above white for a photo whose response is given.

    Args:
        widths: channels of the decoder at strides 4, 8, 16 and 32 of half the size, at which the encoder works.
        edge_width: channels of the shallow part, which sees the photo at its size.
        clip_start, clip_end: encoded values between which a channel passes from measured to clipped.
        evs: exposures that the network was trained to render, dark to bright, in stops.

    Raises:
        ValueError: a number that no network can be built from, or an input of the wrong shape.
    """

    mean_camera: Tensor
    size_multiple = 64
    """What height and width of the input of `light` must be multiples of."""
    working_size = 640
    """Longest side, in pixels, at which a photo is looked at unless something else is asked for."""
    largest_enlargement = 2.0
    """How many times larger a small photo is made: the encoder, which sees half the size, then sees all of it."""

    def __init__(
        self,
        widths: Sequence[int] = (48, 48, 64, 96),
        clip_start: float = CLIPPED[0],
        clip_end: float = CLIPPED[1],
        evs: Sequence[float] = NETWORK_EVS,
        edge_width: int = 32,
    ):
        super().__init__()
        self.widths, self.edge_width = tuple(int(width) for width in widths), int(edge_width)
        if len(self.widths) != 4 or min(self.widths) < 1 or self.edge_width < 1:
            raise ValueError(
                f"widths must hold four positive numbers, and edge_width be one, got {self.widths} and {edge_width}"
            )
        if not 0 < clip_start < clip_end <= 1:
            raise ValueError(f"clip_start and clip_end must ascend within (0, 1], got {clip_start} and {clip_end}")
        self.evs = tuple(float(ev) for ev in evs)
        self.clip_start, self.clip_end = float(clip_start), float(clip_end)
        self.network = LightNetwork(self.widths, self.edge_width)
        curve = torch.from_numpy(np.asarray(mean_camera(), np.float32))
        self.register_buffer("mean_camera", curve, persistent=False)

    def clipped(self, srgb: Tensor) -> Tensor:
        """How surely each channel has clipped; see `clip_mask`."""
        return clip_mask(srgb, self.clip_start, self.clip_end)

    def light(self, srgb: Tensor) -> Light:
        """Run the deep part at the size of its input.

        Args:
            srgb: (B, 3, H, W) encoded in [0, 1]; H and W multiples of `size_multiple`.

        Returns:
            Gain and compact lights at (H, W). Of a photo without colour they have none.
        """
        gain, compact = self._light(srgb)
        return Light(gain.clamp(min=_LEAST_GAIN), compact)

    def _light(self, srgb: Tensor) -> Light:
        if srgb.dim() != 4 or srgb.shape[1] != 3 or any(side % self.size_multiple for side in srgb.shape[2:]):
            raise ValueError(
                f"srgb must be (B, 3, H, W) with H and W multiples of {self.size_multiple}, got {tuple(srgb.shape)}"
            )
        mask = self.clipped(srgb)
        light: Light = self.network(srgb, mask)
        light = light._replace(gain=_between_warm_and_cool(light.gain, mask.amin(1, keepdim=True)))
        light = _with_colour_beside(light, srgb, mask, self.mean_camera)
        # A photo without colour stays without: some codes of colour are what JPEG leaves in one.
        coloured = (srgb.amax(1) - srgb.amin(1) > _COLOURLESS).float().mean((1, 2)) > 1e-3
        if not torch.compiler.is_compiling() and bool(coloured.all()):  # nearly always: nothing has to be averaged
            return light
        return Light(*(torch.where(coloured[:, None, None, None], x, x.mean(1, keepdim=True)) for x in light))

    def forward(self, srgb: Tensor, inverse_response: Tensor | None = None) -> RadianceOutput:
        """Turn a photo into light at its own size.

        Args:
            srgb: (B, 3, H, W) encoded in [0, 1]; H and W multiples of `size_multiple`.
            inverse_response: (B, 256) or (256,) linear value of each code; None is the mean of measured cameras.

        Returns:
            Radiance, and the light above white in it. The gain may be lower than what is used, so that it learns.
        """
        light = self._light(srgb)
        curve = self.mean_camera if inverse_response is None else inverse_response
        above = light._replace(gain=light.gain.clamp(min=_LEAST_GAIN)).above_white(self.clipped(srgb))
        return RadianceOutput(decode(srgb, curve) * above, *light)
