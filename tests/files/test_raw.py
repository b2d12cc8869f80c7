"""Camera raw files: linear light of the sensor, invented only where it clipped."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from hdrgan import Pipeline, load_photo
from hdrgan.files import ifd
from hdrgan.files.ifd import Entry
from hdrgan.files.photo import PhotoError
from hdrgan.light.response import mean_camera

XYZ_TO_SRGB = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.2040, 1.0570)


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A grey ramp with a lamp of three times what the sensor holds: (H, W, 3) float32."""
    light = np.repeat(np.linspace(0.02, 0.7, width, dtype=np.float32)[None, :, None], height, 0).repeat(3, 2)
    light[20:60, 20:60] = 3
    return light


def dng(light: np.ndarray, black: int = 512, white: int = 16383) -> bytes:
    """A raw file of a camera whose primaries are those of sRGB, RGGB, not compressed."""
    height, width = light.shape[:2]
    mosaic = np.empty((height, width), np.float32)
    for y, x, channel in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        mosaic[y::2, x::2] = light[y::2, x::2, channel]
    counts = (mosaic.clip(0, 1) * (white - black) + black).round().astype("<u2").tobytes()
    short, long, rational = (lambda *v: Entry(ifd.SHORT, v)), (lambda *v: Entry(ifd.LONG, v)), ifd.RATIONAL
    fields = {254: long(0), 256: long(width), 257: long(height), 258: short(16), 259: short(1), 262: short(32803)}
    fields |= {271: Entry(ifd.ASCII, "Maker"), 272: Entry(ifd.ASCII, "Model 7"), 273: long(0), 274: short(1)}
    fields |= {277: short(1), 278: long(height), 279: long(len(counts)), 33421: short(2, 2)}
    fields |= {33422: Entry(ifd.BYTE, bytes([0, 1, 1, 2])), 50706: Entry(ifd.BYTE, bytes([1, 4, 0, 0]))}
    fields |= {50707: Entry(ifd.BYTE, bytes([1, 1, 0, 0])), 50708: Entry(ifd.ASCII, "Maker Model 7")}
    fields |= {50714: long(black), 50717: long(white), 50778: short(21)}
    fields[50721] = Entry(ifd.SRATIONAL, tuple((round(v * 10_000), 10_000) for v in XYZ_TO_SRGB))
    fields[50728] = Entry(rational, ((1, 1),) * 3)
    head, places = ifd.write_tiff(fields)
    filled = bytearray(head)
    filled[places[273] : places[273] + 4] = len(head).to_bytes(4, "little")
    return bytes(filled) + counts


def test_the_light_is_what_the_sensor_counted():
    light = scene()
    photo = load_photo(dng(light))
    assert (photo.format, photo.light_source, photo.ceiling) == ("raw", "raw", 1.0)
    assert photo.exif[271] == "Maker"
    inner = slice(4, -4), slice(70, -4)  # away from edges, where demosaicing guesses
    assert photo.light[inner] == pytest.approx(light[inner], rel=0.02, abs=0.002)
    assert photo.light[30:50, 30:50].min() > 0.99
    # EV 0 is the light through the mean curve of measured cameras.
    expected = np.interp(light[inner], mean_camera(), np.arange(256))
    assert np.abs(np.asarray(photo)[inner] - expected).max() < 4


def test_highlights_are_invented_only_where_the_sensor_clipped():
    result = Pipeline.from_pretrained("radiance", device="cpu")(load_photo(dng(scene())))
    measured = np.ones(result.invented.shape, bool)
    measured[14:66, 14:66] = False
    assert not result.invented[measured].any()
    assert np.array_equal(result.radiance[measured], result.photo.light[measured])
    assert result.radiance[30:50, 30:50].mean() > 1.1
    assert np.array_equal(result.response, result.photo.response)


def test_without_its_library_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    for data in (
        dng(scene()),
        b"II*\0\x10\0\0\0CR\2\0" + bytes(64),
        b"II\x1a\0\0\0HEAPCCDR" + bytes(64),
        b"FOVb" + bytes(64),
    ):
        with pytest.raises(PhotoError, match="camera raw file.*pip install rawpy"):
            load_photo(data)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9])
def test_a_raw_file_that_broke_off_is_refused(share):
    data = dng(scene())
    with pytest.raises(PhotoError, match=r"raw|cut off|damaged"):
        load_photo(data[: int(share * len(data))])
