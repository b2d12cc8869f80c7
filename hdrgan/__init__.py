"""One photo in; five exposures and an HDR image out.

Names are loaded when first used, so that ``import hdrgan`` and ``hdrgan --help`` stay quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from hdrgan.version import __version__

_HOME = {
    "Pipeline": "hdrgan.pipeline",
    "Result": "hdrgan.result",
    "RadianceGenerator": "hdrgan.models.radiance_generator",
    "BracketGenerator": "hdrgan.models.bracket_generator",
    "PatchDiscriminator": "hdrgan.models.patch_discriminator",
    "EIN": "hdrgan.models.ein",
    "Photo": "hdrgan.files.photo",
    "PhotoError": "hdrgan.files.photo",
    "PretrainedError": "hdrgan.models.pretrained",
    "load_photo": "hdrgan.files.photo",
    "load_radiance": "hdrgan.files.radiance",
    "tone_map": "hdrgan.light.tonemap",
}
__all__ = [
    "EIN",
    "BracketGenerator",
    "PatchDiscriminator",
    "Photo",
    "PhotoError",
    "Pipeline",
    "PretrainedError",
    "RadianceGenerator",
    "Result",
    "__version__",
    "load_photo",
    "load_radiance",
    "tone_map",
]

if TYPE_CHECKING:
    from hdrgan.files.photo import Photo, PhotoError, load_photo
    from hdrgan.files.radiance import load_radiance
    from hdrgan.light.tonemap import tone_map
    from hdrgan.models.bracket_generator import BracketGenerator
    from hdrgan.models.ein import EIN
    from hdrgan.models.patch_discriminator import PatchDiscriminator
    from hdrgan.models.pretrained import PretrainedError
    from hdrgan.models.radiance_generator import RadianceGenerator
    from hdrgan.pipeline import Pipeline
    from hdrgan.result import Result


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hdrgan' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
