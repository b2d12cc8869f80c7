"""Panoramas to perspective views."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F


def is_panorama(shape: tuple[int, ...]) -> bool:
    """Whether (H, W, ...) is the 2:1 shape of an equirectangular panorama."""
    return abs(shape[1] / shape[0] - 2) < 0.02


def perspective_view(panorama: np.ndarray, *, yaw: float, pitch: float, fov: float, size: int) -> np.ndarray:
    """Project a part of an equirectangular panorama to a rectilinear, square view.

    Args:
        panorama: (H, W, 3) float32 linear light, W = 2 H; +x of the picture is east.
        yaw: heading in radians, any value; 0 is the panorama's middle column.
        pitch: elevation of the optical axis in radians, positive is up.
        fov: field of view in radians, in (0, pi).
        size: side of the view in pixels.

    Returns:
        (size, size, 3) float32, sampled bilinearly from a panorama that was first reduced to the
        view's own resolution, so that small lamps keep their energy.
    """
    source = torch.from_numpy(np.ascontiguousarray(panorama, dtype=np.float32)).permute(2, 0, 1)[None]  # (1, 3, H, W)
    focal = 0.5 / math.tan(fov / 2)  # in units of the view's width
    scale = size * focal / (source.shape[3] / (2 * math.pi))  # view pixels per panorama pixel at the axis
    if scale < 0.7:
        reduced = (max(2, round(source.shape[2] * scale)), max(4, round(source.shape[3] * scale)))
        source = F.interpolate(source, size=reduced, mode="area")
    x = ((torch.arange(size) + 0.5) / size - 0.5) / focal
    v, u = torch.meshgrid(-x, x, indexing="ij")
    # Tilt about the camera's x axis, then turn about the vertical.
    up = v * math.cos(pitch) + math.sin(pitch)
    ahead = math.cos(pitch) - v * math.sin(pitch)
    longitude = torch.atan2(u, ahead) + yaw
    latitude = torch.atan2(up, torch.hypot(u, ahead))
    columns = source.shape[3]
    wrapped = F.pad(source, (1, 1, 0, 0), mode="circular")
    position = (longitude / (2 * math.pi) + 0.5).remainder(1.0) * columns - 0.5  # pixel centres, wraps at the seam
    grid_x = (position + 1.5) / (columns + 2) * 2 - 1
    grid_y = -latitude / (math.pi / 2)
    grid = torch.stack([grid_x, grid_y], -1)[None]
    view = F.grid_sample(wrapped, grid, mode="bilinear", padding_mode="border", align_corners=False)
    return view[0].permute(1, 2, 0).contiguous().numpy()


def random_views(radiance: np.ndarray, count: int, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Square views of a scene: directions spread around the horizon of a panorama, random crops of other pictures.

    Args:
        radiance: (H, W, 3) linear light.
        count, size: how many views, and the side of each in pixels.
        rng: source of headings, tilts (-20 to 25 degrees), fields of view (55 to 100 degrees) and crops.

    Returns:
        ``count`` arrays (size, size, 3) float32.
    """
    if is_panorama(radiance.shape):
        turn = rng.uniform(0, 2 * math.pi)
        headings = [turn + (k + rng.uniform(-0.3, 0.3)) * 2 * math.pi / count for k in range(count)]
        return [
            perspective_view(
                radiance,
                yaw=heading,
                pitch=math.radians(rng.uniform(-20, 25)),
                fov=math.radians(rng.uniform(55, 100)),
                size=size,
            )
            for heading in headings
        ]
    source = torch.from_numpy(np.ascontiguousarray(radiance, dtype=np.float32)).permute(2, 0, 1)[None]
    short = min(source.shape[2:])
    views = []
    for _ in range(count):
        side = int(round(short * rng.uniform(0.6, 1.0)))
        top = int(rng.integers(0, source.shape[2] - side + 1))
        left = int(rng.integers(0, source.shape[3] - side + 1))
        crop = source[:, :, top : top + side, left : left + side]
        mode = "area" if side >= size else "bilinear"
        views.append(F.interpolate(crop, size=(size, size), mode=mode)[0].permute(1, 2, 0).contiguous().numpy())
    return views
