"""Fast 3 x 3 convolution on CPUs: NNPACK's Winograd transform where it beats direct summation."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def transformable(x: Tensor, weight: Tensor, least_side: int) -> bool:
    """Whether NNPACK can convolve this: inference in float32 on a CPU, of a picture with sides of ``least_side``."""
    return (
        x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and min(x.shape[-2:]) >= least_side
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.compiler.is_compiling()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]  # public, but torch types it not
        and torch._nnpack_available()  # which also makes it ready
    )


def each_transformed(pictures: Iterable[Tensor], weight: Tensor, bias: Tensor | None, *, padding: int) -> Tensor:
    """Convolve pictures (1, C, H, W) one by one, as NNPACK is at its best, and put the answers into a batch."""
    results = [torch._nnpack_spatial_convolution(one.contiguous(), weight, bias, padding) for one in pictures]
    return results[0] if len(results) == 1 else torch.cat(results)
