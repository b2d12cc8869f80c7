"""Merge a bracket with OpenCV, knowing nothing but its files: python merge_with_opencv.py BRACKET.zip RADIANCE.npy

A program of its own, because OpenCV and OpenEXR do not share a process well.
"""

import io
import sys
import zipfile

import cv2
import numpy as np
from PIL import Image

EXIF_DIRECTORY, EXPOSURE_BIAS = 0x8769, 0x9204


def main(bracket: str, radiance: str) -> None:
    """Estimate the response and merge, both after Debevec and Malik; the times are those of EXIF."""
    frames, times = [], []
    with zipfile.ZipFile(bracket) as archive:
        for name in sorted(archive.namelist()):
            picture = Image.open(io.BytesIO(archive.read(name)))
            times.append(2.0 ** float(picture.getexif().get_ifd(EXIF_DIRECTORY)[EXPOSURE_BIAS]))
            frames.append(np.ascontiguousarray(np.asarray(picture)[..., ::-1]))  # OpenCV wants BGR
    seconds = np.array(times, np.float32)
    response = cv2.createCalibrateDebevec(samples=500).process(frames, seconds)
    merged = cv2.createMergeDebevec().process(frames, seconds, response)
    np.save(radiance, merged[..., ::-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
