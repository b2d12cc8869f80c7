"""What previews need of a photo alone: made on one core while the network runs on another."""

from __future__ import annotations

import numpy as np

from hdrgan.files.photo import Photo
from hdrgan.files.response_choice import Response
from hdrgan.light.rendering import RaisedLight
from hdrgan.models.radiance_generator import RadianceGenerator
from hdrgan.page.preview import screen_pixels
from hdrgan.pipeline import Pipeline


def sketch(photo: Photo, pipeline: Pipeline, response: Response, side: int) -> tuple[np.ndarray, np.ndarray | None]:
    """What `Previews` need of a photo and not of its network, so that both can be made at the same time.

    Returns:
        (h, w, 3) uint8, the photo as `screen_pixels` makes it; and how much of each of its places clipped, where the
        light is raised from the photo at a larger size, else None.
    """
    small, network = screen_pixels(photo.pixels, side), getattr(pipeline, "model", None)
    has_more = any(part is not None for part in (photo.light, photo.wide, photo.alpha))
    if not isinstance(network, RadianceGenerator) or has_more or small.shape == photo.pixels.shape:
        return small, None
    light = pipeline(photo, (0,), response, wait=False).light
    return small, light.clipped_share(*small.shape[:2]) if isinstance(light, RaisedLight) else None
