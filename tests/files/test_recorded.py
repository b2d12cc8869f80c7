"""Light that files record: gain maps of every dialect and carrier, PQ and HLG, scenes, and what is made of it."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import gain_map_files as made
import imagecodecs
import numpy as np
import photo_files
import pytest
from gain_map_files import curve_profile, deep_png, iccp, tag_profile
from gainmap_audit.detect import classify
from photo_files import exr, hdr, heic, insert_png_chunk, planes, saved
from PIL import Image

from hdrgan import Pipeline, load_photo
from hdrgan.files.colour import coded_profile
from hdrgan.files.gain_map import apple_headroom, read_hdrgm, read_iso
from hdrgan.files.photo import PhotoError
from hdrgan.files.radiance import load_radiance
from hdrgan.files.transfer import HLG, PQ, hlg_scene, of_curve, pq_light
from hdrgan.files.transport import pack_photo, unpack_photo
from hdrgan.files.ultrahdr import encode_ultrahdr
from hdrgan.light.response import mean_camera
from hdrgan.light.srgb import srgb_response

LIGHT = made.scene()
APPLE_LIGHT = np.minimum(LIGHT, made.decoded(made.encoded(LIGHT)) * made.APPLE_HEADROOM)
WITH_MAPS = {
    "iso.jpg": (lambda: made.jpeg_with_iso(LIGHT), LIGHT),
    "iso_common_denominator.jpg": (lambda: made.jpeg_with_iso(LIGHT, common=True), LIGHT),
    "iso_three_rows_for_one_channel.jpg": (lambda: made.jpeg_with_iso(LIGHT, channels=3), LIGHT),
    "iso_three_channels.jpg": (lambda: made.jpeg_with_three_channels(LIGHT), LIGHT),
    "adobe.jpg": (lambda: made.jpeg_with_hdrgm(LIGHT), LIGHT),
    "adobe_elements.jpg": (lambda: made.jpeg_with_hdrgm(LIGHT, elements=True), LIGHT),
    "adobe_mixed.jpg": (lambda: made.jpeg_with_hdrgm(LIGHT, mixed=True), LIGHT),
    "apple_xmp.jpg": (lambda: made.apple_jpeg(LIGHT, in_xmp=True), APPLE_LIGHT),
    "apple_note.jpg": (lambda: made.apple_jpeg(LIGHT, in_xmp=False), APPLE_LIGHT),
    "iso.avif": (lambda: made.avif_with_map(LIGHT), LIGHT),
    "iso_common_denominator.avif": (lambda: made.avif_with_map(LIGHT, common=True), LIGHT),
    "iso.heic": (lambda: made.heic_with_map(LIGHT), LIGHT),
    "apple.heic": (lambda: made.apple_heic(LIGHT), APPLE_LIGHT),
    "hdr_base.avif": (lambda: made.hdr_avif_with_map(LIGHT), LIGHT),
}


def error(found: np.ndarray, light: np.ndarray) -> float:
    """Median relative error."""
    return float(np.median(np.abs(found - light) / light))


@pytest.fixture(scope="module")
def pipe() -> Pipeline:
    return Pipeline.from_pretrained("radiance", device="cpu")


@pytest.mark.parametrize("name", WITH_MAPS)
def test_the_light_of_a_gain_map_is_the_radiance(name, pipe):
    make, light = WITH_MAPS[name]
    photo = load_photo(make())
    assert photo.light_source == "gain map"
    assert photo.headroom == pytest.approx(2 if "apple" in name else 3.32, abs=0.05)
    assert f"light recorded by the camera: {photo.headroom:.1f} stops" in photo.light_note
    result = pipe(photo)
    assert error(result.radiance, light) < 0.02
    assert result.radiance[36, 30] == pytest.approx([2, 2, 2], rel=0.03)
    assert result.radiance[36, 90] == pytest.approx([light.max()] * 3, rel=0.03)
    assert not result.invented.any()
    assert np.array_equal(result.exposures[2], photo.pixels)


def test_a_map_of_three_channels_records_the_colour_of_light():
    light = LIGHT * np.float32([1, 0.7, 0.4])
    photo = load_photo(made.jpeg_with_three_channels(light))
    assert len(set(photo.gain_map.high)) == 3
    assert error(photo.light, light) < 0.02
    assert photo.light[36, 90] == pytest.approx([10, 7, 4], rel=0.03)


@pytest.mark.parametrize("name", ["iso.jpg", "iso.avif", "apple.heic"])
def test_a_gain_map_may_be_ignored(name, pipe):
    photo = load_photo(WITH_MAPS[name][0](), gain_map=False)
    assert photo.light is None
    assert not photo.light_note
    assert pipe(photo).invented.max() > 0.1


@pytest.mark.parametrize("name", ["iso.jpg", "adobe.jpg", "apple_xmp.jpg", "iso.avif", "apple.heic", "hdr_base.avif"])
def test_an_ultra_hdr_of_it_has_the_recorded_map_and_two_readers_agree(name, tmp_path):
    make, light = WITH_MAPS[name]
    photo = load_photo(make())
    data = b"".join(encode_ultrahdr(photo, photo.light))
    again = load_photo(data)
    assert again.headroom == pytest.approx(photo.headroom, abs=0.05)
    assert error(again.light, light) < 0.05
    if photo.jpeg is not None:
        assert np.array_equal(again.pixels, photo.pixels)
        assert np.array_equal(again.gain_map.codes, photo.gain_map.codes) or name == "apple_xmp.jpg"
    other = imagecodecs.ultrahdr_decode(data).astype(np.float32)[..., :3]
    assert error(other, light) < 0.05
    assert error(other, np.maximum(again.light, 1e-3)) < 0.01
    (tmp_path / "out.jpg").write_bytes(data)
    assert classify(tmp_path / "out.jpg").state == "ultrahdr"


def test_a_file_of_another_maker_is_read_as_its_maker_reads_it():
    light = np.clip(LIGHT, 0.05, 8)
    rgba = np.concatenate([light, np.ones_like(light[..., :1])], -1).astype(np.float16)
    linear = imagecodecs.ULTRAHDR.CT.LINEAR
    data = imagecodecs.ultrahdr_encode(rgba, level=95, transfer=linear, gamut=imagecodecs.ULTRAHDR.CG.BT_709)
    photo = load_photo(data)
    theirs = imagecodecs.ultrahdr_decode(data, dtype="float16", transfer=linear).astype(np.float32)[..., :3]
    assert error(photo.light, np.maximum(theirs, 1e-3)) < 0.005
    assert photo.light[36, 30] == pytest.approx(light[36, 30], rel=0.05)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_map_and_photo_are_turned_together(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    block = exif.tobytes()
    plain = load_photo(made.jpeg_with_iso(LIGHT))
    photo = load_photo(made.with_segments(made.jpeg_with_iso(LIGHT), made.segment(0xE1, block)))
    turned = [plain.light, plain.light[:, ::-1], plain.light[::-1, ::-1], plain.light[::-1]]
    turned += [t.transpose(1, 0, 2) for t in (plain.light, plain.light[::-1], plain.light[::-1, ::-1])]
    turned += [plain.light.transpose(1, 0, 2)[::-1]]
    assert np.array_equal(photo.light, turned[orientation - 1])
    again = load_photo(b"".join(encode_ultrahdr(photo, photo.light)))
    assert np.allclose(again.light, photo.light, rtol=1e-3, atol=1e-4)


def test_a_map_in_wide_primaries_works_in_them():
    light = LIGHT.copy()
    p3 = photo_files.profile("p3")
    data = made.jpeg_with_iso(light)
    body = b"ICC_PROFILE\0\x01\x01" + p3
    photo = load_photo(made.with_segments(data, made.segment(0xE2, body)))
    # The same codes in P3 are a stronger red; greys are as they were, up to the profile's own gamma of 2.2.
    assert photo.light[36, 90] == pytest.approx([10, 10, 10], rel=0.02)
    wall, plain = photo.light[80, 60], load_photo(data).light[80, 60]
    assert wall[0] / wall[2] > plain[0] / plain[2]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.replace(b"urn:iso:std:iso:ts:21496:-1\0\0\0", b"urn:iso:std:iso:ts:21496:-1\0\0\7"),
        lambda d: d[: d.rindex(b"\xff\xd8") + 300],
        lambda d: d[: d.rindex(b"\xff\xda")] + b"\xff" * 40,
    ],
)
def test_a_map_that_is_damaged_costs_the_light_and_not_the_photo(spoil):
    data = made.jpeg_with_iso(LIGHT)
    photo = load_photo(spoil(data))
    assert photo.light is None
    assert np.array_equal(photo.pixels, load_photo(data).pixels)


def test_numbers_that_make_no_sense_are_no_map():
    codes = np.zeros((2, 2, 1), np.uint8)
    good = made.iso(0.0, 3.0)
    assert read_iso(good, codes) is not None
    assert read_iso(good[:-3], codes) is None
    for wrong in (made.iso(3.0, 1.0), made.iso(0.0, 400.0), made.iso(0.0, 3.0, alternate=0.0)):
        assert read_iso(wrong, codes) is None
    zero = good[:9] + struct.pack(">I", 0) + good[13:]
    assert read_iso(zero, codes) is None
    assert read_hdrgm(b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:GainMapMax="x"', codes) is None
    assert read_hdrgm(b"nothing", codes) is None


def test_a_picture_that_is_not_opaque_keeps_its_light_on_paper():
    base, alpha = made.encoded(LIGHT), np.full((*LIGHT.shape[:2], 1), 255, np.uint8)
    alpha[:, 64:] = 0
    codes, low, high = made.gains(made.decoded(base), LIGHT)
    described = made.iso(low, high, alternate=high)
    photo = load_photo(made.muxed(made.avif(base), made.avif(np.repeat(codes[..., None], 3, 2)), tmap=described))
    light = np.where(alpha > 0, photo.light, 1)
    laid = replace(
        photo, pixels=np.where(alpha > 0, photo.pixels, 255).astype(np.uint8), light=light, alpha=alpha[..., 0]
    )
    again = load_photo(b"".join(encode_ultrahdr(laid, laid.light)))
    assert again.headroom == pytest.approx(photo.headroom, abs=0.05)
    assert error(again.light, light) < 0.05
    assert again.light[:, 66:] == pytest.approx(1, abs=0.05)


def test_one_value_may_stand_beside_three():
    head = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:HDRCapacityMax="3"'
    three = "<hdrgm:GainMapMax><rdf:Seq>" + "<rdf:li>{}</rdf:li>" * 3 + "</rdf:Seq></hdrgm:GainMapMax>"
    gains = read_hdrgm((head + three.format(3, 2, 1)).encode(), np.zeros((2, 2, 1), np.uint8))
    assert (gains.low, gains.high, gains.codes.shape) == ((0, 0, 0), (3, 2, 1), (2, 2, 3))
    assert read_hdrgm((head + three.format(3, -2, 1)).encode(), np.zeros((2, 2, 1), np.uint8)) is None


def test_whatever_a_map_raises_costs_the_light_and_not_the_photo(monkeypatch):
    def explode(*_):
        raise ZeroDivisionError

    monkeypatch.setattr("hdrgan.files.jpeg.read_iso", explode)
    assert load_photo(made.jpeg_with_iso(LIGHT)).light is None


@pytest.mark.parametrize("wrong", [made.iso(3.0, 1.0), made.iso(0.0, 3.0)[:-3], made.iso(0.0, 3.0) + b"more"])
def test_a_map_that_libavif_refuses_costs_no_photo(wrong):
    base = made.encoded(LIGHT)
    data = made.muxed(made.avif(base), made.avif(base), tmap=wrong)
    photo = load_photo(data)
    assert np.abs(photo.pixels.astype(int) - base).max() <= 3
    assert (photo.light is None) == (not wrong.endswith(b"more"))


def test_the_headroom_of_the_first_phones_that_wrote_maps():
    assert apple_headroom(b"", made.apple_exif()) == pytest.approx(4)
    assert apple_headroom(b"", made.apple_exif(first=True)) == pytest.approx(2**1.8)
    assert apple_headroom(b"", photo_files.camera_exif().tobytes()) is None


# PQ and HLG


PQ_CODES = made.pq(np.float32(LIGHT), 65535)
CODED = {
    "pq_cicp.png": lambda: deep_png(PQ_CODES, (b"cICP", bytes([1, 16, 0, 1]))),
    "pq_curve.png": lambda: deep_png(PQ_CODES, iccp(curve_profile(PQ))),
    "pq_tag.png": lambda: deep_png(PQ_CODES, iccp(tag_profile(PQ))),
    "pq.avif": lambda: made.avif(made.pq(LIGHT, 1023), bitspersample=10, primaries=1, transfer=16, matrix=0),
    "pq12.avif": lambda: made.avif(made.pq(LIGHT, 4095), bitspersample=12, primaries=1, transfer=16, matrix=0),
}


@pytest.mark.parametrize("name", CODED)
def test_pq_is_light_with_white_at_203(name, pipe):
    photo = load_photo(CODED[name]())
    assert photo.light_source == "PQ"
    assert error(photo.light, LIGHT) < 0.01
    assert photo.bits == 16
    # A screen that ends at white shows the wall as it is and the lamps white.
    assert np.abs(np.asarray(photo).astype(int) - made.encoded(LIGHT)).max() <= 3
    again = load_photo(b"".join(encode_ultrahdr(photo, photo.light)))
    assert again.headroom == pytest.approx(photo.headroom, abs=0.05)
    assert error(again.light, LIGHT) < 0.05
    result = pipe(photo, evs=(-3.0, 0.0))
    assert not result.invented.any()
    assert np.median(result.exposures[0][36, 90]) == 65535
    assert np.median(result.exposures[0][36, 30]) / 65535 == pytest.approx(
        made.encoded(np.float32(0.25)) / 255, abs=0.02
    )


DIM = np.minimum(LIGHT, 4)  # HLG ends at 4.9 times white
IN_HLG = {
    "cicp.png": lambda: deep_png(made.hlg(DIM, 65535), (b"cICP", bytes([9, HLG, 0, 1]))),
    "curve.png": lambda: deep_png(made.hlg(DIM, 65535), iccp(curve_profile(HLG))),
    "tag.png": lambda: deep_png(made.hlg(DIM, 65535), iccp(tag_profile(HLG))),
    "nclx.avif": lambda: made.avif(made.hlg(DIM, 1023), bitspersample=10, primaries=9, transfer=HLG, matrix=0),
    "nclx.heic": lambda: made.hdr_heic(made.hlg(DIM, 1023), HLG, 9),
}


@pytest.mark.parametrize("name", IN_HLG)
def test_hlg_is_light_with_white_at_three_quarters(name):
    light = DIM
    photo = load_photo(IN_HLG[name]())
    assert photo.light_source == "HLG"
    grey = slice(30, 40), slice(20, 40)  # a grey lamp, which no primaries move
    assert photo.light[grey] == pytest.approx(light[grey], rel=0.03)


def test_pq_of_wide_primaries_is_brought_to_ours():
    codes = np.zeros((16, 16, 3), np.float32)
    codes[..., 0] = 1  # a Rec. 2020 red of white's luminance scale
    photo = load_photo(deep_png(made.pq(codes, 65535), (b"cICP", bytes([9, 16, 0, 1]))))
    assert photo.light[8, 8] == pytest.approx([1.6605, 0, 0], abs=0.01)


def test_hdr_heic_is_light():
    photo = load_photo(made.hdr_heic(made.pq(LIGHT, 1023), PQ))
    assert photo.light_source == "PQ"
    assert error(photo.light, LIGHT) < 0.05


def test_ordinary_curves_are_neither():
    x = np.linspace(0, 1, 256)
    assert of_curve(pq_light(x) / 10_000) == PQ
    assert of_curve(hlg_scene(x)) == HLG
    for gamma in (1.0, 1.8, 2.2, 2.4, 2.6, 3.0):
        assert of_curve(x**gamma) is None
    for name in ("p3", "adobe", "linear", "srgb", "swapped"):
        data = saved(Image.fromarray(photo_files.picture()), "PNG", icc_profile=photo_files.profile(name))
        assert load_photo(data).light is None


# Scenes


def float_tiff(light: np.ndarray, **options) -> bytes:
    return bytes(imagecodecs.tiff_encode(light.astype(np.float32), photometric="rgb", **options))


@pytest.mark.parametrize("kind", ["exr", "hdr", "tiff", "half tiff"])
def test_files_of_light_are_photos_that_know_their_light(kind, tmp_path, pipe):
    light = LIGHT
    if kind == "exr":
        data = exr(planes(light, np.float32))
    elif kind == "hdr":
        data = hdr(photo_files.flat_rgbe(light))
    else:
        stored = light.astype(np.float16 if kind == "half tiff" else np.float32)
        data = bytes(imagecodecs.tiff_encode(stored, photometric="rgb"))
    path = tmp_path / "scene"
    path.write_bytes(data)
    with pytest.raises(PhotoError):
        load_photo(path)
    result = pipe(path)
    assert error(result.radiance, light) < 0.01
    assert not result.invented.any()
    shown = (result.exposures[2].astype(int) + 128) // 257
    assert np.abs(shown - made.encoded(light)).max() <= 2


def test_light_that_makes_no_sense_is_refused():
    wrong = LIGHT.copy()
    wrong[3, 4, 1] = np.nan
    for data in (exr(planes(wrong, np.float32)), float_tiff(wrong)):
        with pytest.raises(PhotoError, match="NaN"):
            load_photo(data, scenes=True)


# Opacity


@pytest.mark.parametrize("deep", [False, True])
def test_there_is_no_light_where_there_is_nothing(deep, pipe):
    pixels = photo_files.picture(96, 128)
    pixels[20:60, 20:70] = 255
    alpha = np.full((96, 128), 255, np.uint8)
    alpha[:, 64:] = 0
    rgba = np.concatenate([pixels, alpha[..., None]], 2)
    photo = load_photo(bytes(imagecodecs.png_encode(rgba.astype(np.uint16) * 257 if deep else rgba)))
    assert np.array_equal(photo.alpha, alpha.astype(np.uint16) * 257 if deep else alpha)
    result = pipe(photo)
    assert result.radiance[:, 64:].max() <= 1
    assert result.invented[:, 64:].max() == 0
    assert load_photo(bytes(imagecodecs.png_encode(pixels))).alpha is None


# Between processes


@pytest.mark.parametrize("name", ["iso.jpg", "apple.heic", "hdr_base.avif"])
def test_a_photo_arrives_as_it_left(name):
    photo = load_photo(WITH_MAPS[name][0]())
    head, parts = pack_photo(photo)
    rest = iter([bytes(p) for p in parts])

    def fill(buffer: memoryview) -> None:
        buffer[:] = next(rest)

    found = unpack_photo(json.loads(json.dumps(head)), fill, lambda: next(rest), 1 << 30)
    for field in ("pixels", "light"):
        assert np.array_equal(getattr(found, field), getattr(photo, field))
    assert (found.name, found.format, found.jpeg, found.headroom) == (
        photo.name,
        photo.format,
        photo.jpeg,
        photo.headroom,
    )
    assert np.array_equal(found.gain_map.codes, photo.gain_map.codes)
    for wrong in (
        {"arrays": [[[4, 4, 3], "object"], None, None, None, None, None]},
        {"arrays": [[[1 << 30, 4, 3], "uint8"], None, None, None, None, None]},
        {"arrays": [None] * 6},
        {"arrays": [[[4, 4, 4], "uint8"], None, None, None, None, None]},
    ):
        with pytest.raises((ValueError, KeyError, StopIteration)):
            unpack_photo(head | wrong, lambda _: None, lambda: b"", 1 << 30)


def test_heic_whose_container_has_no_map_is_an_ordinary_photo():
    assert load_photo(heic(photo_files.picture())).light is None


# Colours that sRGB cannot hold


@pytest.mark.parametrize("kind", ["icc", "cicp", "deep"])
def test_wide_colours_are_measured_and_not_invented(kind, pipe):
    red = np.zeros((64, 96, 3), np.uint8)
    red[...] = 90, 80, 70
    red[10:50, 10:50] = 240, 20, 20  # a red of Display P3 that the camera did not clip
    red[10:50, 60:80] = 255, 255, 255
    pixels = red.astype(np.uint16) * 257 if kind == "deep" else red
    data = bytes(imagecodecs.png_encode(pixels))
    if kind == "cicp":
        data = insert_png_chunk(data, b"cICP", bytes([12, 13, 0, 1]))
    else:
        data = insert_png_chunk(data, *iccp(photo_files.profile("p3")))
    photo = load_photo(data)
    peak = np.iinfo(photo.pixels.dtype).max
    assert photo.pixels[30, 30, 0] == peak, "sRGB clips it"
    encoded = 240 / 255
    linear = encoded**2.2 if kind != "cicp" else ((encoded + 0.055) / 1.055) ** 2.4
    assert photo.wide[30, 30, 0] == pytest.approx(1.2249 * linear, rel=0.02)
    assert not photo.wide[10:50, 60:80].any(), "what clipped in the camera is not known"
    result = pipe(photo)
    assert not result.invented[12:48, 12:48].any()
    assert result.radiance[30, 30, 0] == pytest.approx(1.2249 * linear, rel=0.02)
    assert load_photo(bytes(imagecodecs.png_encode(pixels))).wide is None


def test_wide_colours_below_white_are_read_as_those_beside_them(pipe):
    """A red that fades: where sRGB can hold it, it is read with the camera's response, and there is no edge."""
    pixels = np.zeros((64, 96, 3), np.uint8)
    pixels[..., 0] = np.linspace(195, 229, 96).round()
    data = insert_png_chunk(bytes(imagecodecs.png_encode(pixels)), b"cICP", bytes([12, 13, 0, 1]))
    photo = load_photo(data)
    wide = photo.wide[32, :, 0].astype(np.float32)
    assert 0.2 < (wide == 0).mean() < 0.8
    assert wide.max() < 1
    red = pipe(photo, response="camera").radiance[32, :, 0]
    expected = np.interp(np.where(wide > 0, wide, made.decoded(photo.pixels)[32, :, 0]), srgb_response(), mean_camera())
    assert red == pytest.approx(expected, rel=0.01)
    assert np.abs(np.diff(np.log2(red))).max() < 0.1
    assert pipe(photo, response="srgb").radiance[32, :, 0][wide > 0] == pytest.approx(wide[wide > 0], rel=0.005)


@pytest.mark.parametrize("carrier", ["png", "avif", "jpg"])
@pytest.mark.parametrize("primaries", [9, 12], ids=["Rec. 2020", "P3"])
def test_a_flower_of_wide_colours_goes_whole_into_files_of_light(primaries, carrier, pipe, tmp_path):
    """A smooth red flower which sRGB flattens: its light rises on, and none of it is called invented."""
    y, x = np.mgrid[:96, :128].astype(np.float32)
    petals = np.exp(-((x - 64) ** 2 + (y - 48) ** 2) / 900)
    pixels = np.stack([70 + 178 * petals, 60 - 30 * petals, 50 - 20 * petals], -1).round().astype(np.uint8)
    if carrier == "png":
        data = insert_png_chunk(bytes(imagecodecs.png_encode(pixels)), b"cICP", bytes([primaries, 13, 0, 1]))
    elif carrier == "avif":
        data = made.avif(pixels, primaries=primaries, transfer=13, matrix=0)
    else:
        data = saved(Image.fromarray(pixels), "JPEG", quality=98, icc_profile=coded_profile(primaries, 13))
    photo = load_photo(data)
    peak = np.iinfo(photo.pixels.dtype).max
    flat = photo.pixels[..., 0] == peak
    assert flat.mean() > 0.01
    result = pipe(photo, response="srgb")
    assert not result.invented.any()
    red = result.radiance[..., 0]
    assert red.max() == pytest.approx({9: 1.52, 12: 1.14}[primaries], rel=0.05)
    assert len(np.unique(red[flat])) > 8, "what was measured is no flat patch"
    result.save_hdr(tmp_path, ("exr", "hdr"))
    for file in ("photo.exr", "photo.hdr"):
        assert load_radiance(tmp_path / file)[..., 0].max() == pytest.approx(red.max(), rel=0.01)
