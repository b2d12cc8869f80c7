"""Run a network over a photo of any size in overlapping tiles that are blended, in bounded memory.

The tiles of a photo have one size. Two neighbours share at least ``overlap`` pixels: the outer quarters of what they
share are thrown away, because that is where a tile ends and its network guesses, and over the inner half one fades
into the other. A network that sees no farther than a quarter of the overlap answers as it would have for the whole.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from hdrgan.light.cancellation import check_cancelled

TILE, OVERLAP = 1024, 128
"""Pixels of a tile's sides, and those that neighbours share, where nothing else is asked for: EIN's."""

Network = Callable[[Tensor], Tensor]


class _Axis(NamedTuple):
    """How one side of the photo is cut: ``weights`` (n, tile) are how much each tile counts at each of its pixels."""

    tile: int
    starts: tuple[int, ...]
    weights: Tensor


def _cut(size: int, tile: int, overlap: int, multiple: int, minimum: int) -> _Axis:
    padded = max(math.ceil(size / multiple), math.ceil(minimum / multiple)) * multiple
    if padded <= tile:
        return _Axis(padded, (0,), torch.ones(1, padded))
    count = math.ceil((padded - overlap) / (tile - overlap))
    # No larger than needed, so that a photo a little over one tile does not cost two whole ones.
    tile = math.ceil((padded + (count - 1) * overlap) / count / multiple) * multiple
    starts = tuple(k * (padded - tile) // (count - 1) // multiple * multiple for k in range(count))
    position = torch.arange(padded) + 0.5
    arrived = [torch.ones(padded)]  # how far tile k has taken over from those before it
    for before, start in zip(starts, starts[1:], strict=False):
        middle = (start + before + tile) / 2
        t = ((position - middle) / (overlap / 2) + 0.5).clamp(0, 1) if overlap else (position > middle).float()
        arrived.append(t * t * (3 - 2 * t))
    arrived.append(torch.zeros(padded))
    weights = [(arrived[k] - arrived[k + 1])[start : start + tile] for k, start in enumerate(starts)]
    return _Axis(tile, starts, torch.stack(weights))


def _tile_of(srgb: Tensor, top: int, left: int, height: int, width: int) -> Tensor:
    """A tile as float32, extended to the right and below by reflection, and by repetition where that is used up."""
    tile = srgb[..., top : top + height, left : left + width]
    if not tile.is_floating_point():
        tile = tile.float() / torch.iinfo(srgb.dtype).max
    for dim, size in ((-2, height), (-1, width)):
        there = tile.shape[dim]
        if there < size:
            index = torch.arange(size, device=tile.device)
            tile = tile.index_select(dim, torch.where(index < there, index, 2 * (there - 1) - index).clamp(min=0))
    return tile


def tiled_strips(
    network: Network,
    srgb: Tensor,
    *,
    tile: int = TILE,
    overlap: int = OVERLAP,
    multiple: int = 1,
    minimum: int = 1,
    device: torch.device | str | None = None,
    half: torch.dtype | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Run a network over a photo and hand out the result in strips from top to bottom, each as soon as it is final.

    Before each tile it is asked whether the work was cancelled (`hdrgan.light.cancellation`).

    Args:
        network: from (1, 3, h, w) to (1, …, h, w), or a module with a method ``for_tiles(srgb)``, which looks at the
            whole photo once and returns such a function; it is asked only where there is more than one tile.
        srgb: (1, 3, H, W) encoded: floating point in [0, 1], or integer codes, which are scaled a tile at a time.
        tile: largest height and width of a tile; a multiple of ``multiple``, at least 4 overlaps and 2 minima.
        overlap: pixels that neighbours share, a multiple of ``multiple``.
        multiple: height and width given to the network are multiples of this.
        minimum: and at least this.
        device: where the tiles are sent; None leaves them where the photo is.
        half: torch.bfloat16 or torch.float16 to run convolutions in that precision (`torch.autocast`).

    Yields:
        (rows, strip): strip (1, …, rows, W) float32 on the CPU is the result for ``rows`` of the photo.

    Raises:
        ValueError: the photo is not (1, 3, H, W) with at least one pixel, or the numbers do not fit together.
    """
    if srgb.dim() != 4 or srgb.shape[:2] != (1, 3) or not srgb.numel():
        raise ValueError(f"srgb must be (1, 3, H, W) with at least one pixel, got {tuple(srgb.shape)}")
    if multiple < 1 or minimum < 1 or overlap < 0 or tile % multiple or overlap % multiple:
        raise ValueError(f"tile and overlap must be multiples of {multiple}, got {tile} and {overlap}")
    if tile < max(4 * overlap, 2 * minimum, 1):
        raise ValueError(f"tile must be at least 4 x overlap and 2 x minimum, got {tile}, {overlap} and {minimum}")
    height, width = srgb.shape[-2:]
    down, across = (_cut(size, tile, overlap, multiple, minimum) for size in (height, width))
    if len(down.starts) * len(across.starts) > 1 and hasattr(network, "for_tiles"):
        network = network.for_tiles(srgb)

    def run(top: int, left: int) -> Tensor:
        check_cancelled()
        tile_there = _tile_of(srgb, top, left, down.tile, across.tile).to(device)
        with torch.autocast(tile_there.device.type, dtype=half, enabled=half is not None):
            output = network(tile_there)
        if output.shape[0] != 1 or output.shape[-2:] != (down.tile, across.tile):
            raise ValueError(f"network must keep {down.tile}x{across.tile}, but returned {tuple(output.shape)}")
        return output.to("cpu", torch.float32)

    carried: Tensor | None = None  # the weighted output of the tiles above, for the rows that they share with the next
    for k, (top, fade) in enumerate(zip(down.starts, down.weights, strict=True)):
        if len(across.starts) == 1:
            band = run(top, 0)  # (1, …, tile, W)
            band = band * fade[:, None] if len(down.starts) > 1 else band
        else:
            band = torch.empty(0)
            for left, share in zip(across.starts, across.weights, strict=True):
                output = run(top, left)
                if not band.numel():
                    band = output.new_zeros(*output.shape[:-1], across.starts[-1] + across.tile)
                band[..., left : left + across.tile].addcmul_(output, fade[:, None] * share)
        if carried is not None:
            band[..., : carried.shape[-2], :] += carried
        final = (down.starts[k + 1] if k + 1 < len(down.starts) else top + down.tile) - top
        rows = slice(top, min(top + final, height))
        if rows.start < rows.stop:
            yield rows, band[..., : rows.stop - rows.start, :width]
        carried = band[..., final:, :].clone()
