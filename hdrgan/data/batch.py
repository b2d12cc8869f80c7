"""A batch in the form that the losses need: bracket, radiance and response, derived from each other where missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from hdrgan.light.merge import merge
from hdrgan.light.radiometry import expose, srgb_curve


def _unit(pictures: Tensor) -> Tensor:
    """(..., H, W, C) of a data set to (..., C, H, W) float32; 8-bit codes become [0, 1]."""
    channels_first = pictures.movedim(-1, -3)
    return channels_first.float().div(255) if pictures.dtype == torch.uint8 else channels_first.float()


def merge_brackets(brackets: Tensor, evs: Sequence[float], inverse_response: Tensor) -> Tensor:
    """Radiance (B, 3, H, W), 1.0 = white at EV 0, of brackets (B, N, 3, H, W) and their curves (B, K)."""
    return torch.stack([merge(frames, evs, curve) for frames, curve in zip(brackets, inverse_response, strict=True)])


def render(radiance: Tensor, srgb: Tensor, evs: Sequence[float], inverse_response: Tensor | None = None) -> Tensor:
    """Draw a bracket (B, N, 3, H, W) from radiance; its frame at EV 0 is the photo ``srgb``."""
    return torch.stack([srgb if ev == 0 else expose(radiance, ev, inverse_response) for ev in evs], 1)


class Batch:
    """Photos with their truth, on one device.

    Args:
        items: ``bracket`` (B, N, H, W, 3) uint8, or ``srgb`` (B, H, W, 3) uint8 with ``radiance`` (B, H, W, 3) and, if
            it is known, ``inverse_response`` (B, 256).
        evs: stops of the bracket, ascending, with 0 among them.
        device: where the tensors go.
    """

    def __init__(self, items: Mapping[str, Tensor], evs: Sequence[float], device: torch.device):
        # Pictures cross over as 8-bit codes and become floats there.
        self._items = {name: tensor.to(device, non_blocking=True) for name, tensor in items.items()}
        self.evs = tuple(evs)
        self._photo = self.evs.index(0.0)

    @cached_property
    def srgb(self) -> Tensor:
        """The photos: (B, 3, H, W) encoded, [0, 1]."""
        return self.bracket[:, self._photo] if "bracket" in self._items else _unit(self._items["srgb"])

    @cached_property
    def bracket(self) -> Tensor:
        """The exposures: (B, N, 3, H, W) encoded, [0, 1]; the one at EV 0 is the photo."""
        if "bracket" in self._items:
            codes = self._items["bracket"]  # (B, N, H, W, 3)
            # Laid out as convolutions will want the N x 3 channels of a bracket, while they are still bytes.
            together = codes.permute(0, 2, 3, 1, 4).contiguous().flatten(3)  # (B, H, W, N * 3)
            return torch.unflatten(_unit(together), 1, (codes.shape[1], 3))
        return render(self.radiance, self.srgb, self.evs, self.inverse_response)

    @property
    def radiance_is_known(self) -> bool:
        """Whether the data set holds radiance, rather than exposures that it is merged from."""
        return "radiance" in self._items

    @cached_property
    def radiance(self) -> Tensor:
        """The light: (B, 3, H, W) linear, 1.0 = the photo's white."""
        if self.radiance_is_known:
            return _unit(self._items["radiance"])
        return merge_brackets(self.bracket, self.evs, self.inverse_response)

    @cached_property
    def inverse_response(self) -> Tensor:
        """The curve of each photo: (B, 256); sRGB where it is unknown."""
        if "inverse_response" in self._items:
            return self._items["inverse_response"]
        return srgb_curve(self.srgb.device).expand(len(self.srgb), -1)
