"""Gain maps as cameras and phones wrote them: `real/SOURCES.md` says whose files they are."""

from __future__ import annotations

from pathlib import Path

import imagecodecs
import numpy as np
import pytest
from gainmap_audit.detect import ULTRAHDR, classify

from hdrgan import Pipeline, load_photo
from hdrgan.files.ultrahdr import encode_ultrahdr

REAL = Path(__file__).parent / "real"
HEADROOM = {
    "small_uhdr.jpg": 3.95,
    "apple_gainmap_new.jpg": 2.18,
    "apple_hdr_sample.heic": 2.88,
    "seine_sdr_gainmap_srgb.avif": 1.3,
}
"""Stops above white that each file states."""

BLACK = 1e-2


def difference(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Relative difference for each sample, without black."""
    return np.abs(one - other) / np.maximum(other, BLACK)


@pytest.mark.parametrize("name", HEADROOM)
def test_the_headroom_and_the_light_go_in_and_out_and_two_readers_agree(name, tmp_path):
    photo = load_photo(REAL / name)
    assert photo.light_source == "gain map"
    assert photo.headroom == pytest.approx(HEADROOM[name], abs=0.005)
    result = Pipeline.from_pretrained("radiance", device="cpu")(photo)
    assert not result.invented.any()
    result.save_hdr(tmp_path, ("ultrahdr",))
    data = (tmp_path / f"{photo.name}_ultrahdr.jpg").read_bytes()
    assert classify(tmp_path / f"{photo.name}_ultrahdr.jpg").state == ULTRAHDR
    again = load_photo(data)
    assert again.headroom == pytest.approx(photo.headroom, abs=0.05)
    assert np.median(difference(again.light, photo.light)) < 0.05
    other = imagecodecs.ultrahdr_decode(data).astype(np.float32)[..., :3]
    apart = difference(other, again.light)
    assert np.quantile(apart, 0.95) < 0.05
    assert np.median(apart[again.light.max(-1) > 1]) < 0.02


def test_the_ultra_hdr_file_of_a_camera_is_read_as_another_reader_reads_it():
    data = (REAL / "small_uhdr.jpg").read_bytes()
    photo = load_photo(data)
    theirs = imagecodecs.ultrahdr_decode(data).astype(np.float32)[..., :3]
    apart = difference(photo.light, theirs)
    assert np.quantile(apart, 0.95) < 0.05
    assert np.median(apart[theirs.max(-1) > 1]) < 0.02


def test_a_map_that_came_as_a_jpeg_is_handed_on_byte_for_byte():
    photo = load_photo(REAL / "small_uhdr.jpg")
    stored = photo.gain_map.jpeg
    data = b"".join(encode_ultrahdr(photo, photo.light))
    assert stored
    assert stored[stored.index(b"\xff\xda") :] in data
    assert np.array_equal(load_photo(data).gain_map.codes, photo.gain_map.codes)
