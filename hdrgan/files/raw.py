"""Camera raw files: what the sensor counted, demosaiced and white balanced by LibRaw, as linear light."""

from __future__ import annotations

import io

import numpy as np

from hdrgan.files import tiff
from hdrgan.files.limits import Decoded, PhotoError, PhotoLimits, missing_package, refusing
from hdrgan.light.response import mean_camera

SOURCE = "raw"
_ADVICE = "develop it first and give the JPEG, or a 16-bit TIFF or PNG"


def decode(data: bytes, limits: PhotoLimits) -> Decoded:
    """Decode a raw file, when rawpy is installed.

    The light is linear Rec. 709 in the camera's own white balance, upright, 1.0 = where the first channel clips: what
    lies above in the others is cut there, so that what clipped is white and can be told from what did not.

    Raises:
        PhotoError: rawpy is not installed, or LibRaw does not know the camera, or the file is damaged.
    """
    try:
        import rawpy
    except ImportError as error:
        raise missing_package("camera raw file", "rawpy", _ADVICE) from error
    try:
        with rawpy.imread(io.BytesIO(data)) as raw:
            limits.check_size(raw.sizes.iwidth, raw.sizes.iheight)
            pixels = raw.postprocess(
                gamma=(1, 1),
                no_auto_bright=True,
                adjust_maximum_thr=0.0,
                use_camera_wb=True,
                output_bps=16,
                output_color=rawpy.ColorSpace.sRGB,
                highlight_mode=rawpy.HighlightMode.Clip,
            )
    except (PhotoError, MemoryError):
        raise
    except Exception as error:  # rawpy's errors have no common type of their own
        raise PhotoError(f"This camera raw file cannot be read; {_ADVICE}.") from error
    light = np.multiply(pixels, np.float32(1 / 65535), dtype=np.float32)
    decoded = Decoded(np.empty((*light.shape[:2], 0), np.uint16), "rgb", exif=_exif(data), orientation=1)
    decoded.light, decoded.light_source, decoded.light_ceiling = light, SOURCE, 1.0
    decoded.light_response = mean_camera().astype(np.float32)
    return decoded


def _exif(data: bytes) -> bytes | None:
    """The EXIF block of raw files whose structure is that of TIFF, as it is of most."""
    with refusing("raw"):
        return tiff.own_exif(data)
