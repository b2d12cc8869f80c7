"""Ultra HDR files: the photo untouched, the light within reach, both kinds of metadata true to one another."""

from __future__ import annotations

import io
import re
import struct

import imagecodecs
import numpy as np
import pytest
from gainmap_audit.detect import ISO_JPEG, ULTRAHDR, classify
from PIL import Image, ImageOps

from hdrgan import load_photo
from hdrgan.files.photo import Photo
from hdrgan.files.ultrahdr import (
    LEAST_SIDE,
    MAP_PIXELS,
    MAP_SHARE,
    MOST_STOPS,
    encode_ultrahdr,
    make_gain_map,
    save_ultrahdr,
)
from hdrgan.light.radiometry import srgb_curve
from hdrgan.light.response import mean_camera

HDRGM = "http://ns.adobe.com/hdr-gain-map/1.0/"


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """Radiance of a wall in soft light with an orange lamp of eight times white."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    wall = 0.25 + 0.2 * np.sin(x / 9) * np.sin(y / 11)
    lamp = 8 * np.exp(-((x - width / 3) ** 2 + (y - height / 3) ** 2) / (0.01 * width * height))
    return wall[..., None] * np.float32([1, 0.9, 0.8]) + lamp[..., None] * np.float32([1, 0.7, 0.4])


def jpeg_of(radiance: np.ndarray, **options) -> bytes:
    """What a camera without HDR makes of it."""
    codes = np.interp(radiance.clip(0, 1), srgb_curve().numpy(), np.arange(256))
    file = io.BytesIO()
    Image.fromarray(codes.round().astype(np.uint8)).save(file, "JPEG", **{"quality": 92} | options)
    return file.getvalue()


def ultrahdr(photo: Photo, radiance: np.ndarray, **options) -> bytes:
    return b"".join(encode_ultrahdr(photo, radiance, **options))


def scan_of(jpeg: bytes) -> bytes:
    """From the first start-of-scan marker to the first end-of-image marker behind it."""
    start = jpeg.index(b"\xff\xda")
    return jpeg[start : jpeg.index(b"\xff\xd9", start) + 2]


def second_of(data: bytes) -> bytes:
    """The gain map's JPEG, found as the container's directory says: that many bytes at the end of the file."""
    return data[-int(re.search(rb'Item:Length="(\d+)"', data)[1]) :]


def xmp_values(data: bytes) -> dict[str, float]:
    text = second_of(data).decode("latin-1")
    assert HDRGM in text
    return {k: float(v) for k, v in re.findall(r'hdrgm:(\w+)="(-?[\d.]+)"', text)}


def iso_values(data: bytes) -> dict[str, float]:
    """ISO 21496-1 of the gain map in the names of Adobe's metadata."""
    second = second_of(data)
    at = second.index(b"urn:iso:std:iso:ts:21496:-1\0") + 28
    least, _, flags = struct.unpack_from(">HHB", second, at)
    assert (least, flags & 0x80, flags & 0x40) == (0, 0, 0x40)
    numbers = struct.unpack_from(">IIIIiIiIIIiIiI", second, at + 5)
    names = ("HDRCapacityMin", "HDRCapacityMax", "GainMapMin", "GainMapMax", "Gamma", "OffsetSDR", "OffsetHDR")
    return {name: numbers[2 * k] / numbers[2 * k + 1] for k, name in enumerate(names)}


def applied(data: bytes, values: dict[str, float]) -> np.ndarray:
    """The light at full weight, by the formula of both specifications."""
    shown = srgb_curve().numpy()[imagecodecs.jpeg8_decode(data)]
    codes = Image.open(io.BytesIO(second_of(data))).resize(shown.shape[1::-1], Image.Resampling.BILINEAR)
    recovery = (np.asarray(codes, np.float32) / 255) ** (1 / values["Gamma"])
    gain = values["GainMapMin"] + (values["GainMapMax"] - values["GainMapMin"]) * recovery
    return (shown + values["OffsetSDR"]) * 2**gain - values["OffsetHDR"]


@pytest.fixture(scope="module")
def lamp() -> tuple[bytes, np.ndarray, bytes]:
    """A camera's JPEG, the light behind it, and the two as one Ultra HDR file."""
    radiance = scene()
    jpeg = jpeg_of(radiance)
    return jpeg, radiance, ultrahdr(load_photo(jpeg), radiance)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "restart_marker_rows": 1}])
def test_the_picture_is_the_users_own_byte_for_byte(options):
    radiance = scene()
    jpeg = jpeg_of(radiance, **options)
    data = ultrahdr(load_photo(jpeg), radiance)
    assert scan_of(data) == scan_of(jpeg)
    assert np.array_equal(imagecodecs.jpeg8_decode(data), imagecodecs.jpeg8_decode(jpeg))
    assert np.array_equal(load_photo(data).pixels, load_photo(jpeg).pixels), "and it can be given to hdrgan again"


@pytest.mark.parametrize("orientation", range(2, 9))
def test_a_photo_that_lies_on_its_side_stays_as_it_is_and_is_shown_upright(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    jpeg = jpeg_of(scene(), exif=exif)
    photo = load_photo(jpeg)
    upright = srgb_curve().numpy()[photo.pixels]
    upright[:20, :30] *= 4  # light at the top left of the upright picture
    data = ultrahdr(photo, upright)
    assert scan_of(data) == scan_of(jpeg)
    assert np.array_equal(load_photo(data).pixels, photo.pixels)
    shown = Image.fromarray(np.log2(applied(data, iso_values(data)).max(-1).clip(1e-3)).astype(np.float32))
    shown.getexif()[274] = orientation
    found = np.asarray(ImageOps.exif_transpose(shown))
    assert found.shape == upright.shape[:2]
    assert np.median(np.abs(found - np.log2(upright.max(-1)))[:20, :30]) < 0.1


def test_other_photos_become_a_jpeg_close_to_them():
    radiance = scene()
    pixels = (srgb_curve().numpy().searchsorted(radiance.clip(0, 1)) * 257).astype(np.uint16)
    data = ultrahdr(load_photo(pixels), radiance)
    shown = imagecodecs.jpeg8_decode(data).astype(int)
    assert np.abs(shown - pixels // 257).mean() < 1


def test_a_structure_checker_accepts_it_as_both_kinds(lamp, tmp_path):
    path = tmp_path / "lamp.jpg"
    path.write_bytes(lamp[2])
    report = classify(path)
    assert report.state == ULTRAHDR
    assert set(report.rules_fired) == {ULTRAHDR, ISO_JPEG}
    assert not [e for e in report.evidence if e.rule == "length-mismatch"]
    assert report.gain_map.source == "gcontainer+mpf"
    assert report.gain_map.offset + report.gain_map.length == len(lamp[2])
    assert lamp[2][report.gain_map.offset :].startswith(b"\xff\xd8")


def test_both_kinds_of_metadata_say_the_same(lamp):
    xmp, iso = xmp_values(lamp[2]), iso_values(lamp[2])
    for name, value in iso.items():
        assert xmp[name] == pytest.approx(value, abs=2e-6), name
    assert iso["HDRCapacityMax"] == pytest.approx(3, abs=0.1), "the lamp has eight times the light of white"


def test_a_reader_that_is_not_ours_gets_the_light_back(lamp):
    _, radiance, data = lamp
    found = imagecodecs.ultrahdr_decode(data).astype(np.float32)[..., :3]
    reach = radiance.max(-1) < 2 ** iso_values(data)["HDRCapacityMax"]
    error = np.abs(found - radiance)[reach] / radiance[reach]
    assert np.median(error) < 0.02
    lit = reach & (radiance.max(-1) > 2)
    assert lit.sum() > 100
    assert np.median((np.abs(found - radiance) / radiance)[lit]) < 0.05


def test_both_specifications_get_the_light_back(lamp):
    _, radiance, data = lamp
    reach = radiance.max(-1) < 2 ** iso_values(data)["HDRCapacityMax"]
    for values in (xmp_values(data), iso_values(data)):
        assert np.median(np.abs(applied(data, values) - radiance)[reach] / radiance[reach]) < 0.02


@pytest.mark.parametrize("unknown", [b"urn:iso:std:iso:ts:21496:-1", b"http://ns.adobe.com/hdr-gain-map/1.0/"])
def test_a_reader_that_knows_one_kind_alone_gets_the_light_back(lamp, unknown):
    _, radiance, data = lamp
    assert data.count(unknown) == 2
    crippled = data.replace(unknown, unknown[:4] + b"x" * (len(unknown) - 4))
    found = imagecodecs.ultrahdr_decode(crippled).astype(np.float32)[..., :3]
    assert np.median((np.abs(found - radiance) / radiance)[radiance.max(-1) < 4]) < 0.02


def test_a_photo_that_lost_nothing_promises_nothing(tmp_path):
    radiance = scene() / 10
    data = ultrahdr(load_photo(jpeg_of(radiance)), radiance)
    values = iso_values(data)
    assert values["HDRCapacityMax"] < 0.01
    assert values["GainMapMax"] < 0.2
    assert imagecodecs.ultrahdr_decode(data)[..., :3].max() <= 1
    (tmp_path / "plain.jpg").write_bytes(data)
    assert classify(tmp_path / "plain.jpg").state == ULTRAHDR


def test_a_photo_that_is_its_own_light_gets_a_flat_map():
    pixels = np.random.default_rng(1).integers(0, 250, (16, 24, 3), np.uint8)
    gains = make_gain_map(pixels, srgb_curve().numpy()[pixels])
    assert (gains.headroom, gains.high[0]) == (0, pytest.approx(0, abs=1e-6))
    assert (gains.codes == 255).all()


def test_the_map_opens_the_shoulder_of_the_camera_and_nothing_below():
    """A ramp of all codes, as the mean of cameras shows it: shadows and mid-tones stay, highlights rise smoothly."""
    srgb = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (8, 256, 3))
    response = mean_camera().astype(np.float32)
    gains = make_gain_map(srgb, response[srgb], response=response)
    stops = gains.low[0] + (gains.high[0] - gains.low[0]) * gains.codes[4, :, 0].astype(np.float32) / 255
    shown = srgb_curve().numpy()
    begin = int(np.searchsorted(shown, 0.37))
    assert np.abs(stops[:begin]).max() < 0.03
    assert np.diff(stops[begin:]).min() > -0.03
    assert np.diff(stops)[: begin + 20].max() < 0.03, "no edge where it begins"
    assert stops[np.searchsorted(shown, 0.75)] > 0.2
    assert stops[-1] == pytest.approx(np.log2(shown[begin] / response[begin]), abs=0.05)
    assert gains.headroom == pytest.approx(stops[-1], abs=0.1)


@pytest.mark.parametrize("response", [np.linspace(0, 1, 256), np.linspace(0, 1, 256) ** 1.8])
def test_a_curve_without_a_shoulder_opens_nothing(response):
    srgb = np.broadcast_to(np.arange(256, dtype=np.uint8)[None, :, None], (8, 256, 3))
    gains = make_gain_map(srgb, response[srgb].astype(np.float32), response=response)
    assert gains.headroom < 0.1
    assert np.ptp(gains.low[0] + (gains.high[0] - gains.low[0]) * gains.codes[..., 0] / 255.0) < 0.1


def test_light_beyond_the_reach_is_cut_with_its_hue():
    radiance = np.full((16, 16, 3), 0.5, np.float32)
    radiance[4:12, 4:12] = (800, 400, 200)
    srgb = np.full((16, 16, 3), 188, np.uint8)
    srgb[4:12, 4:12] = 255
    gains = make_gain_map(srgb, radiance)
    assert gains.headroom == MOST_STOPS
    gain = gains.low[0] + (gains.high[0] - gains.low[0]) * gains.codes[8, 8] / 255
    assert gain == pytest.approx([4, 3, 2], abs=0.1)


def test_smooth_light_shows_no_contours():
    """Steps of 8 bits over 4 stops are 0.0157 stops; the mean over a little height must be finer than that."""
    x = np.linspace(0, 1, 1024, dtype=np.float32)
    radiance = np.broadcast_to((2 ** (4 * x))[None, :, None], (64, 1024, 3)).astype(np.float32)
    found = imagecodecs.ultrahdr_decode(ultrahdr(load_photo(np.full(radiance.shape, 255, np.uint8)), radiance))
    stops = np.log2(found[..., 1].astype(np.float32)).mean(0)
    assert np.abs(stops - 4 * x)[:-16].max() < 0.0118  # the last hundredth is cut


@pytest.mark.parametrize("size", [(1, 1), (7, 300), (301, 457)])
def test_any_size(size):
    radiance = scene(*size)
    data = ultrahdr(load_photo(jpeg_of(radiance)), radiance)
    height, width = size
    small = Image.open(io.BytesIO(second_of(data))).size
    assert small in [(width // scale, height // scale) for scale in range(1, 5)], "smaller by a whole number"
    assert min(small) == min(size) or min(small) >= LEAST_SIDE
    assert Image.open(io.BytesIO(data)).size == size[::-1]


def test_the_map_takes_a_small_share_of_every_example(root):
    """The light is any; a pattern over all of the photo and lamps in it take more bytes than most."""
    for path in sorted((root / "examples").glob("*.jpg")):
        photo = load_photo(path)
        y, x = np.mgrid[: photo.height, : photo.width].astype(np.float32)
        light = srgb_curve().numpy()[photo.pixels] * (2 + np.sin(x / 40) * np.sin(y / 30))[..., None]
        light[photo.pixels.max(-1) > 250] *= 3
        data = ultrahdr(photo, light)
        assert len(second_of(data)) <= MAP_SHARE * len(path.read_bytes()), path.name
        assert load_photo(data).gain_map.codes.shape[0] >= LEAST_SIDE


def test_of_a_tiny_photo_the_map_stays_as_it_is():
    """Its description alone takes more than the share, and coarser it would miss the lamp."""
    radiance = scene(80, 100)
    data = ultrahdr(load_photo(jpeg_of(radiance)), radiance)
    assert Image.open(io.BytesIO(second_of(data))).size == (100, 80)


def test_the_map_of_a_large_photo_is_bounded_and_fits():
    radiance = np.full((1501, 4002, 3), 0.5, np.float32)
    radiance[:, 2001:] = 4
    srgb = np.where(radiance > 1, 255, 188).astype(np.uint8)
    gains = make_gain_map(srgb, radiance)
    height, width = gains.codes.shape[:2]
    assert MAP_PIXELS / 4 < height * width <= MAP_PIXELS
    assert (height, width) == (1501 // 2, 4002 // 2), "smaller by a whole number"
    stops = gains.low[0] + (gains.high[0] - gains.low[0]) * gains.codes[..., 0].astype(np.float32) / 255
    assert np.abs(stops[:, : width // 2 - 1]).max() < 0.05
    assert np.abs(stops[:, width // 2 + 1 :] - 2).max() < 0.05


def test_the_camera_is_kept_and_the_place_only_if_asked():
    exif = Image.Exif()
    exif[271] = "Hasselblad"
    exif.get_ifd(0x8825)[1] = "N"
    exif.get_ifd(0x8825)[2] = (59.0, 20.0, 0.0)
    radiance = scene()
    photo = load_photo(jpeg_of(radiance, exif=exif))
    assert photo.jpeg
    plain, asked = (Image.open(io.BytesIO(ultrahdr(photo, radiance, keep_gps=k))).getexif() for k in (False, True))
    assert (plain[271], asked[271]) == ("Hasselblad", "Hasselblad")
    assert not plain.get_ifd(0x8825)
    assert asked.get_ifd(0x8825)[1] == "N"


def test_a_file_is_written_in_one_step(lamp, tmp_path):
    jpeg, radiance, data = lamp
    save_ultrahdr(tmp_path / "lamp.jpg", load_photo(jpeg), radiance)
    assert (tmp_path / "lamp.jpg").read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == ["lamp.jpg"]


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"\(8, 8, 3\)"):
        make_gain_map(np.zeros((8, 8, 3), np.uint8), np.zeros((8, 9, 3), np.float32))
