"""Where a picture comes from by what its file says: a camera, or a program that drew it.

Only what can be trusted counts: a maker, a model or an exposure in EXIF is a camera's; the names of renderers and the
palette of a GIF are a drawing's. A picture without any of it is judged by its pixels (`hdrgan.light.render_signs`).
"""

from __future__ import annotations

import re
from typing import Literal

from hdrgan.files.exif import SOFTWARE
from hdrgan.files.photo import Photo

Origin = Literal["camera", "drawn", "unknown"]

_DRAWS = re.compile(
    r"\b(blender|cycles|arnold|v-?ray|octane|redshift|corona renderer|unreal|unity|povray|pov-ray|luxcore|renderman|"
    r"screenshot|snipping|matplotlib|inkscape|dall|midjourney|stable diffusion)\b",
    re.IGNORECASE,
)


def origin_of(photo: Photo) -> Origin:
    """Where a photo comes from, by what its file says."""
    if photo.from_camera:
        return "camera"
    software = str(photo.exif.get(SOFTWARE) or "") if photo.exif is not None else ""
    if _DRAWS.search(software) or photo.format == "GIF":
        return "drawn"
    # Nobody renders to JPEG or HEIC what matters, and every site makes JPEGs of photos: in doubt a photograph.
    return "camera" if photo.format == "HEIC" else "unknown"
