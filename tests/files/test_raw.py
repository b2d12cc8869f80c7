"""Camera raw files: linear light of the sensor, invented only where it clipped."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from raw_files import XYZ_TO_SRGB, dng, dng_of_counts, scene

from hdrgan import Pipeline, load_photo
from hdrgan.files.photo import PhotoError
from hdrgan.light.response import mean_camera

REAL = Path(__file__).parent / "real"


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


@pytest.mark.parametrize("size", [(96, 128), (64, 90)])
@pytest.mark.parametrize(("black", "white"), [(512, 16383), (0, 4095), (2048, 65535)])
def test_the_values_are_those_of_rawpy_itself(size, black, white):
    import rawpy

    data = dng(scene(*size), black, white)
    with rawpy.imread(io.BytesIO(data)) as raw:
        own = raw.postprocess(
            output_bps=16, gamma=(1, 1), no_auto_bright=True, use_camera_wb=True, adjust_maximum_thr=0.0
        )
    photo = load_photo(data)
    assert photo.light.shape == (*size, 3)
    assert np.array_equal(np.round(photo.light * 65535).astype(np.uint16), own)


@pytest.mark.parametrize("white", [2020, 1000])
def test_a_real_sensor_is_read_as_rawpy_reads_it(white):
    """Noise, uneven white balance and primaries of a camera: `real/SOURCES.md`. A lower white lets the paper clip."""
    import rawpy

    mosaic = imagecodecs.png_decode((REAL / "rawpipe_mosaic.png").read_bytes())
    to_srgb = np.array([[0.9, 0.4, -0.3], [-0.2, 1.1, 0.1], [0, -0.4, 1.4]])
    from_xyz = np.linalg.inv(to_srgb) @ np.array(XYZ_TO_SRGB).reshape(3, 3)
    data = dng_of_counts(mosaic, 256, white, from_xyz.ravel(), (1 / 1.7, 1, 1 / 2.4))
    with rawpy.imread(io.BytesIO(data)) as raw:
        own = raw.postprocess(
            output_bps=16, gamma=(1, 1), no_auto_bright=True, use_camera_wb=True, adjust_maximum_thr=0.0
        )
    photo = load_photo(data)
    assert photo.light.shape == (*mosaic.shape, 3)
    assert np.array_equal(np.round(photo.light * 65535).astype(np.uint16), own)
    clipped = (photo.light.min(-1) > 0.99).mean()
    assert clipped == 0 if white == 2020 else 0.1 < clipped < 0.5
    # A red patch and a grey one of the chart.
    red, grey = photo.light[20:100, 40:200].mean((0, 1)), photo.light[180:230, 60:200].mean((0, 1))
    assert red[0] > 4 * red[1:].max()
    assert np.ptp(grey) / grey.mean() < 0.08


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
