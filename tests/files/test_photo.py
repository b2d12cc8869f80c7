"""Photos in and out: every kind of file, every way to be wrong, every reader that must agree."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import photo_files
import pytest
import torch
from photo_files import HEIGHT, WIDTH, camera_exif, deep_picture, picture, png_chunk, profile, saved
from PIL import Image, ImageOps

from hdrgan.files.exif import bracket_exif
from hdrgan.files.photo import Photo, PhotoError, PhotoLimits, load_photo, to_tensor
from hdrgan.files.write import save_jpeg, save_photo_as_jpeg, save_png, save_tiff

FILES = photo_files.photos()
FORMATS = {"jpg": "JPEG", "png": "PNG", "webp": "WebP", "avif": "AVIF", "heic": "HEIC", "gif": "GIF", "bmp": "BMP"}
FORMATS |= {"tif": "TIFF"}
DEEP = {"deep.png", "ten.avif", "deep.tif"}


def distance(photo: Photo, expected: np.ndarray) -> float:
    """The mean difference of two pictures of one size."""
    assert photo.pixels.shape == expected.shape
    return float(np.abs(photo.pixels.astype(float) - expected).mean())


def stored_for(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels as a camera stores them, so that this orientation turns them upright; by Pillow's own rules."""
    image = Image.fromarray(pixels)
    undo = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 8, 7: 7, 8: 6}[orientation]
    image.getexif()[274] = undo
    return np.asarray(ImageOps.exif_transpose(image))


# Kinds of files


@pytest.mark.parametrize("name", FILES)
def test_every_kind_is_taken_by_its_content(name):
    photo = load_photo(FILES[name])
    assert photo.format == FORMATS[name.rpartition(".")[2]]
    assert photo.pixels.dtype == (np.uint16 if name in DEEP else np.uint8)
    assert photo.bits == (16 if name in DEEP else 8)
    assert photo.pixels.flags.c_contiguous
    assert photo.pixels.shape[2] == 3
    assert photo.name == "photo"


@pytest.mark.parametrize("name", ["rgb16", "rgba16", "grey16", "la16"])
def test_deep_png_keeps_every_bit(name):
    deep = deep_picture()
    opaque = np.full((HEIGHT, WIDTH, 1), 65535, np.uint16)
    stored = {
        "rgb16": deep,
        "rgba16": np.concatenate([deep, opaque], 2),
        "grey16": deep[..., 1].copy(),
        "la16": np.concatenate([deep[..., 1:2], opaque], 2),
    }[name]
    photo = load_photo(imagecodecs.png_encode(stored))
    expected = deep if name.startswith("rgb") else np.repeat(deep[..., 1:2], 3, 2)
    assert np.array_equal(photo.pixels, expected)


@pytest.mark.parametrize("tile", [None, 16])
def test_deep_tiff_keeps_every_bit(tile):
    assert np.array_equal(load_photo(photo_files.deep_tiff(deep_picture(), tile)).pixels, deep_picture())


def test_ten_bits_fill_the_range_of_sixteen():
    white = np.full((16, 16, 3), 1023, np.uint16)
    photo = load_photo(imagecodecs.avif_encode(white, level=100, bitspersample=10))
    assert photo.pixels.dtype == np.uint16
    assert photo.pixels.min() > 65535 - 3 * 64
    heic = load_photo(photo_files.heic(np.full((64, 64, 3), 65535, np.uint16), bits=10))
    assert heic.pixels.dtype == np.uint16
    assert heic.pixels.min() > 65535 - 3 * 64


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_palettes_of_every_depth(bits):
    image = Image.fromarray(picture()).quantize(2**bits)
    photo = load_photo(saved(image, "PNG", bits=bits))
    assert np.array_equal(photo.pixels, np.asarray(image.convert("RGB")))


def test_grey_becomes_three_equal_channels():
    grey = Image.fromarray(picture()).convert("L")
    for data in (saved(grey, "PNG"), saved(grey, "BMP"), saved(grey, "TIFF"), saved(grey.convert("LA"), "PNG")):
        assert np.array_equal(load_photo(data).pixels, np.repeat(np.asarray(grey)[..., None], 3, 2))
    bilevel = grey.convert("1")
    for kind, options in (("PNG", {}), ("BMP", {}), ("TIFF", {"compression": "group4"})):
        pixels = load_photo(saved(bilevel, kind, **options)).pixels
        assert np.array_equal(pixels[..., 0], np.asarray(bilevel.convert("L"))), kind


def test_ink_is_turned_into_light():
    image = Image.fromarray(picture())
    assert distance(load_photo(FILES["cmyk.jpg"]), picture()) < 3
    assert distance(load_photo(FILES["cmyk.tif"]), np.asarray(image.convert("CMYK").convert("RGB"))) < 1
    plain = imagecodecs.jpeg8_encode(np.zeros((16, 16, 4), np.uint8), colorspace="CMYK", outcolorspace="CMYK")
    assert load_photo(bytes(plain)).pixels.max() < 5  # Adobe's marker turns ink upside down
    unmarked = bytes(plain[:2]) + bytes(plain[plain.index(b"\xff\xdb") :])
    assert load_photo(unmarked).pixels.min() > 250


def test_interlaced_png():
    rows = b"".join(b"\0" + picture()[y, x::dx].tobytes() for x, y0, dx, dy in ADAM7 for y in range(y0, HEIGHT, dy))
    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, 8, 2, 0, 0, 1)
    data = photo_files.saved(Image.fromarray(picture()), "PNG")[:8]
    data += png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    assert np.array_equal(load_photo(data).pixels, picture())


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def test_run_length_bitmap():
    pixels = load_photo(photo_files.run_length_bmp()).pixels
    palette = np.array([[10, 20, 40]]) * np.arange(4)[:, None]
    expected = palette[[[0, 0, 0, 2], [1, 2, 3, 2], [1, 1, 1, 1]]]  # stored from the bottom; the jump leaves zeros
    expected[1] = palette[[1, 2, 3, 2]]
    assert np.array_equal(pixels[1:], expected[1:])
    assert pixels.shape == (3, 4, 3)
    assert np.array_equal(load_photo(FILES["plain.bmp"]).pixels, picture())


# Several pictures in one file


def test_only_the_first_of_several_pictures_counts():
    assert distance(load_photo(FILES["several.jpg"]), picture()) < 6
    assert np.array_equal(load_photo(FILES["animated.webp"]).pixels, picture())
    grey = np.asarray(Image.fromarray(picture()).convert("L"))
    assert np.array_equal(load_photo(FILES["animated.gif"]).pixels[..., 0], grey)
    image = Image.fromarray(picture())
    apng = saved(image, "PNG", save_all=True, append_images=[image.rotate(180)])
    assert np.array_equal(load_photo(apng).pixels, picture())


def test_a_small_first_frame_lies_on_its_canvas():
    frame = saved(Image.fromarray(picture(4, 6)).quantize(8), "GIF")
    table = 3 << ((frame[10] & 7) + 1)
    image_at = frame.index(b",\0\0\0\0", 13 + table)
    placed = bytearray(frame)
    placed[6:10] = struct.pack("<HH", 20, 10)
    placed[image_at + 1 : image_at + 5] = struct.pack("<HH", 3, 2)
    pixels = load_photo(bytes(placed)).pixels
    assert pixels.shape == (10, 20, 3)
    assert np.array_equal(pixels[2:6, 3:9], load_photo(frame).pixels)
    assert (pixels[:2] == 255).all()
    placed[image_at + 1 : image_at + 5] = struct.pack("<HH", 15, 2)
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(bytes(placed))


# Orientation


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "JPEG"])
def test_every_orientation_ends_upright(kind, orientation):
    stored = Image.fromarray(stored_for(picture(), orientation))
    options = {"lossless": True} if kind == "WEBP" else {"quality": 98, "subsampling": 0} if kind == "JPEG" else {}
    photo = load_photo(saved(stored, kind, exif=camera_exif(orientation), **options))
    assert distance(photo, picture()) <= (2 if kind == "JPEG" else 0)
    assert 274 not in photo.exif
    assert photo.exif[272] == "Model 7"


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_deep_pictures_turn_as_well(orientation):
    deep = deep_picture()
    turns = {3: 2, 6: 1, 8: 3}[orientation]
    data = imagecodecs.png_encode(np.ascontiguousarray(np.rot90(deep, turns)))
    data = photo_files.insert_png_chunk(data, b"eXIf", camera_exif(orientation).tobytes()[6:])
    assert np.array_equal(load_photo(data).pixels, deep)


@pytest.mark.parametrize(("wish", "threads"), [("1", 1), ("2", 2), ("64", 2)])
def test_avif_is_decoded_on_as_many_threads_as_are_allowed(wish, threads, monkeypatch):
    used = []
    decode = imagecodecs.avif_decode
    monkeypatch.setattr(
        imagecodecs, "avif_decode", lambda *data, **how: used.append(how["numthreads"]) or decode(*data)
    )
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", wish)
    load_photo(imagecodecs.avif_encode(picture()))
    assert used == [threads]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), "An array of float32 has no fixed range; give uint8 or uint16"),
        (Image.new("F", (4, 4)), "A PIL image of mode F has no fixed range; give RGB"),
    ],
)
def test_numbers_without_a_range_are_refused(source, words):
    with pytest.raises(PhotoError, match=words):
        load_photo(source)


def test_avif_is_turned_by_its_container():
    upright = load_photo(saved(Image.fromarray(picture()), "AVIF", quality=95))
    stored = Image.fromarray(stored_for(picture(), 6))
    turned = load_photo(saved(stored, "AVIF", quality=95, exif=camera_exif(6)))
    assert distance(turned, upright.pixels) < 3
    assert turned.from_camera
    plain = load_photo(saved(Image.fromarray(picture()), "AVIF", exif=camera_exif()))
    assert plain.exif[272] == "Model 7"


def broken_exif() -> dict[str, bytes]:
    """EXIF blocks that must do no harm."""
    good = camera_exif().tobytes()
    entry = b"II*\0\x08\0\0\0" + struct.pack("<H", 1)
    return {
        "orientation 0": camera_exif(0).tobytes(),
        "orientation 9": camera_exif(9).tobytes(),
        "orientation 65535": camera_exif(65535).tobytes(),
        "orientation in words": b"Exif\0\0" + entry + struct.pack("<HHI4s", 274, 2, 2, b"6\0\0\0") + bytes(4),
        "orientation of a billion numbers": b"Exif\0\0" + entry + struct.pack("<HHII", 274, 3, 2**31 - 1, 8) + bytes(4),
        "a directory that follows itself": b"Exif\0\0" + entry + struct.pack("<HHII", 271, 2, 4, 0) + b"\x08\0\0\0",
        "a child that is its parent": b"Exif\0\0" + entry + struct.pack("<HHII", 0x8769, 4, 1, 8) + bytes(4),
        "cut": good[: len(good) // 2],
        "noise": b"Exif\0\0" + np.random.default_rng(1).bytes(300),
        "only the name": b"Exif\0\0",
        "far away": b"Exif\0\0II*\0\xff\xff\xff\x7f",
    }


def exif_of(photo: Photo, ev: float, **options) -> bytes:
    return bracket_exif(photo.exif, (photo.width, photo.height), ev, **options)


@pytest.mark.parametrize("name", broken_exif())
def test_broken_exif_does_no_harm(name):
    segment = broken_exif()[name]
    jpeg = saved(Image.fromarray(picture()), "JPEG", quality=95)
    data = jpeg[:20] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + jpeg[20:]
    photo = load_photo(data)
    assert np.array_equal(photo.pixels, load_photo(jpeg).pixels)
    assert exif_of(photo, 2.0).startswith(b"Exif\0\0II*\0")


# Colour


def srgb_to_linear(v):
    return np.where(v <= 0.04045, v / 12.92, ((v + 0.055) / 1.055) ** 2.4)


def linear_to_srgb(v):
    v = np.clip(v, 0, 1)
    return np.where(v <= 0.0031308, 12.92 * v, 1.055 * v ** (1 / 2.4) - 0.055)


def encoded_in(name: str, srgb: np.ndarray) -> np.ndarray:
    """sRGB values in [0, 1] as values of a profile of `photo_files.profile`, by plain colour arithmetic."""

    def to_xyz(primaries):
        x, y = np.array([*primaries, 0.3127, 0.3290]).reshape(4, 2).T
        columns = np.stack([x / y, np.ones(4), (1 - x - y) / y])
        return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])

    rec709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
    primaries, gamma = {
        "p3": ((0.680, 0.320, 0.265, 0.690, 0.150, 0.060), 2.2),
        "adobe": ((0.64, 0.33, 0.21, 0.71, 0.15, 0.06), 563 / 256),
        "swapped": ((0.30, 0.60, 0.15, 0.06, 0.64, 0.33), 2.2),
        "linear": (rec709, 1.0),
    }[name]
    light = srgb_to_linear(srgb) @ (np.linalg.inv(to_xyz(primaries)) @ to_xyz(rec709)).T
    return np.clip(light, 0, 1) ** (1 / gamma)


@pytest.mark.parametrize("name", ["p3", "adobe", "swapped", "linear"])
@pytest.mark.parametrize("bits", [8, 16])
def test_profiles_are_converted_to_srgb(name, bits):
    most = 2**bits - 1
    wanted = picture() / 255.0
    stored = np.round(encoded_in(name, wanted) * most).astype(np.uint8 if bits == 8 else np.uint16)
    compressed = zlib.compress(profile(name))
    data = photo_files.insert_png_chunk(imagecodecs.png_encode(stored), b"iCCP", b"x\0\0" + compressed)
    found = load_photo(data).pixels / most
    # At 8 bits linear light has few codes in the shadows; at 16 bits the whole road is within 0.1 %.
    tolerance = 1e-3 if bits == 16 else 0.05 if name == "linear" else 4.5 / 255
    assert np.abs(found - wanted).max() < tolerance


def test_both_roads_for_deep_profiles_agree(monkeypatch):
    stored = np.random.default_rng(2).integers(0, 65536, (32, 32, 3)).astype(np.uint16)
    tagged = photo_files.insert_png_chunk(
        imagecodecs.png_encode(stored), b"iCCP", b"x\0\0" + zlib.compress(profile("adobe"))
    )
    by_tables = load_photo(tagged).pixels.astype(int)
    monkeypatch.setattr("hdrgan.files.colour._additive_tables", lambda icc: None)
    by_library = load_photo(tagged).pixels.astype(int)
    assert not np.array_equal(by_tables, stored)
    assert np.abs(by_tables - by_library).max() < 65


def test_grey_profile_is_converted():
    codes = np.arange(256, dtype=np.uint8).reshape(16, 16)
    photo = load_photo(saved(Image.fromarray(codes), "PNG", icc_profile=profile("gray18")))
    expected = linear_to_srgb((codes / 255.0) ** 1.8) * 255
    assert np.abs(photo.pixels[..., 0] - expected).max() < 2
    assert np.array_equal(photo.pixels[..., 0], photo.pixels[..., 2])


def test_an_srgb_profile_changes_no_pixel():
    photo = load_photo(saved(Image.fromarray(picture()), "PNG", icc_profile=profile("srgb")))
    assert np.array_equal(photo.pixels, picture())


@pytest.mark.parametrize("name", ["noise", "cut", "grey profile on colour"])
def test_useless_profiles_are_ignored(name):
    icc = {"noise": os.urandom(400), "cut": profile("p3")[:200], "grey profile on colour": profile("gray18")}[name]
    photo = load_photo(saved(Image.fromarray(picture()), "PNG", icc_profile=icc))
    assert np.array_equal(photo.pixels, picture())
    jpeg = load_photo(saved(Image.fromarray(picture()).convert("CMYK"), "JPEG", quality=95, icc_profile=icc))
    assert distance(jpeg, picture()) < 4


def test_profile_and_orientation_together():
    stored = stored_for(np.round(encoded_in("p3", picture() / 255.0) * 255).astype(np.uint8), 6)
    data = saved(Image.fromarray(stored), "WEBP", lossless=True, exif=camera_exif(6), icc_profile=profile("p3"))
    assert np.abs(load_photo(data).pixels.astype(int) - picture()).max() <= 3


def test_png_colour_chunks():
    png = saved(Image.fromarray(picture()), "PNG")

    def tagged(name: bytes, body: bytes) -> np.ndarray:
        return load_photo(photo_files.insert_png_chunk(png, name, body)).pixels

    assert np.array_equal(tagged(b"gAMA", struct.pack(">I", 45455)), picture())
    assert np.array_equal(tagged(b"sRGB", b"\0"), picture())
    assert np.array_equal(tagged(b"cICP", bytes([1, 13, 0, 1])), picture())
    linear = tagged(b"gAMA", struct.pack(">I", 100000))
    assert np.abs(linear - linear_to_srgb(picture() / 255.0) * 255).max() < 2
    wide = tagged(b"cICP", bytes([12, 13, 0, 1]))
    assert int(wide[30, 50, 0]) > int(picture()[30, 50, 0])  # a P3 red is a stronger sRGB red


# Transparency


def test_transparency_is_laid_on_white():
    pixels = picture()
    opacity = np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH, 1).astype(np.uint8)
    rgba = np.concatenate([pixels, opacity], 2)
    expected = np.round(pixels * (opacity / 255) + 255 * (1 - opacity / 255))
    for data in (imagecodecs.png_encode(rgba), saved(Image.fromarray(rgba), "TIFF")):
        assert np.abs(load_photo(data).pixels - expected).max() <= 1
    exact = saved(Image.fromarray(rgba), "WEBP", lossless=True, exact=True)
    assert np.abs(load_photo(exact).pixels - expected).max() <= 1
    rgba[..., 3] = 255
    assert np.array_equal(load_photo(imagecodecs.png_encode(rgba)).pixels, pixels)


def test_transparent_colours_of_palette_and_png_become_white():
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:, :4] = (10, 20, 30)
    key = photo_files.insert_png_chunk(bytes(imagecodecs.png_encode(pixels)), b"tRNS", struct.pack(">HHH", 10, 20, 30))
    image = Image.fromarray(pixels).quantize(2)
    index = int(np.asarray(image)[0, 0])
    for data in (key, saved(image, "PNG", transparency=index), saved(image, "GIF", transparency=index)):
        found = load_photo(data).pixels
        assert (found[:, :4] == 255).all()
        assert (found[:, 4:] == 0).all()


# The JPEG behind an Ultra HDR file


def test_a_plain_jpeg_is_handed_on_without_its_metadata():
    image = Image.fromarray(picture())
    original = saved(image, "JPEG", quality=90, exif=camera_exif(1, gps=True), comment=b"a private remark")
    several = saved(image, "MPO", save_all=True, append_images=[image.rotate(180)])
    for data in (original, several, saved(image, "JPEG", progressive=True), original + b"trailing"):
        photo = load_photo(data)
        assert photo.jpeg is not None
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(photo.jpeg))), photo.pixels)
        start = data.index(b"\xff\xda")
        scan = data[start : data.index(b"\xff\xd9", start) + 2]
        assert photo.jpeg.endswith(scan)
        assert b"Exif" not in photo.jpeg
        assert b"private" not in photo.jpeg


@pytest.mark.parametrize(
    "options",
    [{"icc_profile": profile("p3")}, {"mode": "L"}, {"mode": "CMYK"}, {"keep_rgb": True}],
    ids=["wide", "grey", "ink", "not YCC"],
)
def test_a_jpeg_whose_colours_changed_is_not_handed_on(options):
    image = Image.fromarray(picture()).convert(options.pop("mode", "RGB"))
    assert load_photo(saved(image, "JPEG", **options)).jpeg is None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_jpeg_that_lies_on_its_side_is_handed_on_as_it_lies(orientation, tmp_path):
    photo = load_photo(saved(Image.fromarray(picture()), "JPEG", exif=camera_exif(orientation), quality=95))
    assert photo.jpeg_orientation == orientation
    turned = Image.open(io.BytesIO(photo.jpeg))
    turned.getexif()[274] = orientation
    assert np.array_equal(np.asarray(ImageOps.exif_transpose(turned)), photo.pixels)
    save_photo_as_jpeg(tmp_path / "upright.jpg", photo, exif=exif_of(photo, 0))
    assert np.abs(load_photo(tmp_path / "upright.jpg").pixels.astype(int) - photo.pixels).mean() < 3


# Refusals


STRANGERS = {
    "nothing": (b"", "empty"),
    "blank": (b" \n\t\0" * 9, "empty"),
    "text": (b"hello world, this is text", "no picture"),
    "page": (b"\n<!DOCTYPE html><html><body>x", "web page"),
    "drawing": (b'<?xml version="1.0"?><!-- x --><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
    "entities": (b'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY lol "lol">]><svg>&lol;</svg>', "SVG"),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) (r) file", "PostScript"),
    "document": (b"%PDF-1.7\n", "PDF"),
    "archive": (b"PK\x03\x04" + bytes(30), "ZIP"),
    "icon": (b"\0\0\x01\0\x01\0" + bytes(30), "icon"),
    "pickle": (b"\x80\x04\x95\x1e\0\0\0\0\0\0\0\x8c\x05posix", "no picture"),
    "netpbm": (b"P6\n2 2\n255\n" + bytes(12), "Netpbm"),
    "hdr": (b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\0\0\0\0", "HDR.*ordinary photo"),
    "exr": (b"\x76\x2f\x31\x01" + bytes(40), "HDR.*ordinary photo"),
    "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    "jpeg xl": (b"\xff\x0a" + bytes(20), "JPEG XL"),
    "film": (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2" + bytes(20), "video"),
    "raw": (b"FUJIFILMCCD-RAW 0201" + bytes(100), "raw"),
    "text mode": (b"\x89PNG\n\x1a\n" + bytes(20), "transfer"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_strangers_are_refused_by_name(name):
    data, words = STRANGERS[name]
    with pytest.raises(PhotoError, match=words) as refusal:
        load_photo(data)
    assert str(refusal.value).count("\n") == 0
    assert str(refusal.value).endswith(".")


@pytest.mark.parametrize("share", [0.02, 0.1, 0.5, 0.75, 0.9, 0.97])
@pytest.mark.parametrize("name", [name for name in FILES if name not in ("several.jpg", "animated.gif", "runs.bmp")])
def test_files_that_broke_off_are_refused(name, share):
    data = FILES[name]
    cut = data[: int(len(data) * share)]
    if share > 0.95 and name.endswith("png"):
        # What is missing may be no more than the end mark.
        try:
            assert np.array_equal(load_photo(cut).pixels, load_photo(data).pixels)
        except PhotoError:
            return
    else:
        with pytest.raises(PhotoError):
            load_photo(cut)


def test_a_jpeg_may_lack_its_end_mark_but_not_its_end():
    whole = saved(Image.fromarray(picture()), "JPEG", quality=95)
    assert np.array_equal(load_photo(whole[:-2]).pixels, load_photo(whole).pixels)
    for missing in (12, 40, 200):
        with pytest.raises(PhotoError, match="cut off"):
            load_photo(whole[:-missing])
    with pytest.raises(PhotoError, match="cut off"):
        load_photo(saved(Image.fromarray(picture()), "JPEG", progressive=True)[:-2])


def test_camera_raw_is_not_taken_for_its_thumbnail(monkeypatch):
    monkeypatch.setitem(sys.modules, "rawpy", None)
    tiff = bytearray(photo_files.deep_tiff(deep_picture()))
    count = struct.unpack_from(">H", tiff, 8)[0]
    for k in range(count):
        if struct.unpack_from(">H", tiff, 10 + 12 * k)[0] == 284:
            tiff[10 + 12 * k : 22 + 12 * k] = struct.pack(">HHI4s", 50706, 1, 4, b"\1\4\0\0")  # DNGVersion
    with pytest.raises(PhotoError, match="raw"):
        load_photo(bytes(tiff))


@pytest.mark.parametrize("tag", [50001, 34712, 34676, 65535, 6])
def test_unusual_tiff_compressions_never_reach_a_decoder(tag):
    data = bytearray(FILES["tiff_lzw.tif"])
    endian = "<" if data[:2] == b"II" else ">"
    start = struct.unpack_from(endian + "I", data, 4)[0]
    for k in range(struct.unpack_from(endian + "H", data, start)[0]):
        if struct.unpack_from(endian + "H", data, start + 2 + 12 * k)[0] == 259:
            struct.pack_into(endian + "H", data, start + 10 + 12 * k, tag)
    with pytest.raises(PhotoError, match=f"compressed.*{tag}"):
        load_photo(bytes(data))


def test_floating_point_tiff_is_refused():
    image = Image.fromarray(np.full((8, 8), np.nan, np.float32))
    with pytest.raises(PhotoError, match="floating-point"):
        load_photo(saved(image, "TIFF"))


def test_heic_without_its_library_says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(PhotoError, match="pip install pillow-heif"):
        load_photo(FILES["heic.heic"])


def test_whatever_a_decoder_raises_becomes_a_sentence(monkeypatch):
    def explode(*args, **kwargs):
        raise ZeroDivisionError("surprise")

    monkeypatch.setattr("imagecodecs.png_decode", explode)
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(FILES["rgb.png"])
    monkeypatch.setattr("hdrgan.files.photo.recognise", explode)
    with pytest.raises(PhotoError, match="damaged"):
        load_photo(FILES["rgb.png"])

    def starve(*args, **kwargs):
        raise MemoryError

    monkeypatch.setattr("hdrgan.files.photo.recognise", starve)
    with pytest.raises(PhotoError, match="memory"):
        load_photo(FILES["rgb.png"])


# Bombs


def bombs() -> dict[str, bytes]:
    """Small files that promise or hold far too much."""

    def png(width: int, height: int, data: bytes, depth: int = 8, kind: int = 2) -> bytes:
        header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
        body = png_chunk(b"IHDR", header) + data
        return b"\x89PNG\r\n\x1a\n" + body + png_chunk(b"IEND", b"")

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    megabyte = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = b"\x78\xda" + 400 * megabyte + b"\x03\0" + bytes(4)  # zlib, 400 times a megabyte, an empty last block
    small = png_chunk(b"IDAT", zlib.compress(b"\0" * 25 * 8))
    jpeg = bytearray(saved(Image.fromarray(picture()), "JPEG", progressive=True))
    size_at = jpeg.index(b"\xff\xc2") + 5
    first = jpeg.index(b"\xff\xda")
    scan = bytes(jpeg[first : jpeg.index(b"\xff\xda", first + 2)])
    huge = bytes(jpeg[:size_at]) + struct.pack(">HH", 65500, 65500) + bytes(jpeg[size_at + 4 :])
    tiff = photo_files.deep_tiff(deep_picture())
    lossless = saved(Image.fromarray(picture()), "WEBP", lossless=True)
    vp8l = lossless.index(b"VP8L") + 9
    giant = (16382 | 16382 << 14).to_bytes(4, "little")
    bmp = bytearray(photo_files.run_length_bmp())
    struct.pack_into("<ii", bmp, 18, 30000, 30000)
    return {
        "png of 176.9 megapixels": png(13300, 13300, small, kind=0),
        "png of 2.5 gigapixels": png(50000, 50000, small, 1, 0),
        "png one pixel wide": png(1, 2**31 - 1, small),
        "png whose pixels go on": png(64, 64, png_chunk(b"IDAT", zeros)),
        "png with a giant note": png(8, 8, png_chunk(b"zTXt", b"x\0\0" + zeros) + small),
        "png with a giant profile": png(8, 8, png_chunk(b"iCCP", b"x\0\0" + zeros) + small),
        "png of empty chunks": png(8, 8, png_chunk(b"tEXt", b"") * 300_000 + small),
        "jpeg of 4 gigapixels": huge,
        "jpeg of 3000 scans": bytes(jpeg[:first]) + scan * 3000 + bytes(jpeg[first:]),
        "jpeg of empty segments": b"\xff\xd8" + b"\xff\xe5\0\2" * 500_000 + b"\xff\xd9",
        "jpeg of fill bytes": b"\xff\xd8" + b"\xff" * 3_000_000,
        "gif canvas": b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0;",
        "webp of 268 megapixels": lossless[:vp8l] + giant + lossless[vp8l + 4 :],
        "tiff of 10 gigapixels": tiff.replace(struct.pack(">I", WIDTH), struct.pack(">I", 100_000)),
        "bmp of 900 megapixels": bytes(bmp),
    }


def test_bombs_go_off_outside(tmp_path, root):
    """Each is refused, or harmless, within 2 s of processor time and 300 MB; measured in a process of its own."""
    made = bombs()
    for k, data in enumerate(made.values()):
        (tmp_path / f"{k:02d}").write_bytes(data)
    program = """
import json, resource, sys, time
from pathlib import Path
from hdrgan.files.photo import PhotoError, load_photo
from PIL import Image
reply = []
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sorted(Path(sys.argv[1]).iterdir()):
    start = time.process_time()
    try:
        photo = load_photo(path)
        outcome = [photo.height, photo.width]
    except PhotoError as error:
        outcome = str(error)
    seconds = time.process_time() - start
    reply.append([outcome, seconds, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024])
print(json.dumps(reply))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    for name, (outcome, seconds, megabytes) in zip(made, json.loads(done.stdout), strict=True):
        if name in ("png with a giant note", "png with a giant profile"):
            assert outcome == [8, 8], name
        else:
            assert isinstance(outcome, str), name
        assert seconds < 2, (name, seconds)
        assert megabytes < 300, (name, megabytes)


def test_limits_are_the_callers():
    data = FILES["rgb.png"]
    with pytest.raises(PhotoError, match="larger than"):
        load_photo(data, limits=PhotoLimits(bytes=100))
    with pytest.raises(PhotoError, match="larger than"):
        load_photo(io.BytesIO(data), limits=PhotoLimits(bytes=100))
    with pytest.raises(PhotoError, match=r"56 x 40.*at most 0.001 megapixels"):
        load_photo(data, limits=PhotoLimits(megapixels=0.001))
    with pytest.raises(PhotoError, match="longer side"):
        load_photo(data, limits=PhotoLimits(side=50))
    with pytest.raises(PhotoError, match="passes"):
        load_photo(FILES["progressive.jpg"], limits=PhotoLimits(scans=3))
    for name in ("animated.gif", "animated.webp"):
        with pytest.raises(PhotoError, match="pictures"):
            load_photo(FILES[name], limits=PhotoLimits(frames=1))
    with pytest.raises(PhotoError, match="megapixels"):
        load_photo(np.zeros((40, 40, 3), np.uint8), limits=PhotoLimits(megapixels=0.001))


def test_the_largest_cameras_are_within_the_limits():
    PhotoLimits().check_size(11656, 8742)
    PhotoLimits().check_size(14204, 8000)
    with pytest.raises(PhotoError):
        PhotoLimits().check_size(13300, 13300)


# Sources


def test_every_kind_of_source(tmp_path):
    path = tmp_path / "holiday in Łódź.png"
    path.write_bytes(FILES["rgb.png"])
    expected = load_photo(FILES["rgb.png"]).pixels
    with open(path, "rb") as file:
        sources = [path, str(path), FILES["rgb.png"], bytearray(FILES["rgb.png"]), io.BytesIO(FILES["rgb.png"]), file]
        for source in sources:
            assert np.array_equal(load_photo(source).pixels, expected)
    assert load_photo(path).name == "holiday in Łódź"
    photo = load_photo(path)
    assert load_photo(photo) is photo
    with Image.open(path) as image:
        opened = load_photo(image)
    assert np.array_equal(opened.pixels, expected)
    assert opened.name == "holiday in Łódź"
    assert opened.from_camera


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16"])
def test_pillow_images_of_every_mode(mode):
    if mode == "I;16":
        image = Image.fromarray(deep_picture()[..., 0])
        assert np.array_equal(load_photo(image).pixels[..., 1], deep_picture()[..., 0])
        return
    image = Image.fromarray(picture()).convert(mode)
    photo = load_photo(image)
    before = photo.pixels.copy()
    assert distance(photo, np.asarray(image.convert("RGB"))) < 1
    image.paste(image.crop((20, 20, 28, 28)), (0, 0))
    assert np.array_equal(photo.pixels, before), "not the image's own memory"
    assert not photo.pixels.flags.writeable
    assert photo.format == ""


def test_arrays_of_every_shape():
    pixels = picture()
    for array in (pixels, np.dstack([pixels, np.full((HEIGHT, WIDTH), 255, np.uint8)]), pixels[:, ::-1][:, ::-1]):
        photo = load_photo(array)
        assert np.array_equal(photo.pixels, pixels)
    for array in (pixels[..., 0], pixels[..., :1]):
        assert np.array_equal(load_photo(array).pixels, np.repeat(pixels[..., :1], 3, 2))
    assert load_photo(deep_picture().astype(">u2")).pixels.dtype == np.dtype("=u2")
    given = pixels.copy()
    photo = load_photo(given)
    given[:] = 0
    assert np.array_equal(photo.pixels, pixels)


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4, 3)), np.zeros((4, 4, 5), np.uint8), np.zeros(4, np.uint8), np.zeros((0, 4, 3), np.uint8), 7, None],
    ids=["float", "five channels", "flat", "empty", "number", "none"],
)
def test_wrong_sources_are_refused(wrong):
    with pytest.raises(PhotoError):
        load_photo(wrong)


def test_paths_that_are_no_files(tmp_path):
    with pytest.raises(PhotoError, match="no file"):
        load_photo(tmp_path / "missing.jpg")
    with pytest.raises(PhotoError):
        load_photo(tmp_path)
    with pytest.raises(PhotoError):
        load_photo("bad\0name.jpg")
    with pytest.raises(PhotoError, match="binary"):
        load_photo(io.StringIO("text"))
    os.mkfifo(tmp_path / "pipe.jpg")
    with pytest.raises(PhotoError, match="^This path is not a file; give the path of a photo.$"):
        load_photo(tmp_path / "pipe.jpg")  # must not wait for a writer
    (tmp_path / "large.jpg").write_bytes(bytes(1001))
    with pytest.raises(PhotoError, match="larger than|too large|at most") as refused:
        load_photo(tmp_path / "large.jpg", limits=PhotoLimits(bytes=1000))
    assert "cannot be read" not in str(refused.value)


@pytest.mark.parametrize(
    "name",
    ["../../../../tmp/pwned.jpg", "..\\..\\windows\\win.ini", "C:\\boot.ini", "....//....//x.jpg", "a" * 400 + ".jpg"]
    + ["%2e%2e%2fx.jpg", "\x00\n\x1b[31m.png", ".jpg", "...", "", "con:|<>*?.png", "\ud83d.png", "ü" * 200 + ".jpg"],
)
def test_names_are_safe_to_write_with(name):
    source = io.BytesIO(FILES["rgb.png"])
    source.name = name
    stem = load_photo(source).name
    assert stem
    assert not set(stem) & set('/\\:*?"<>|%\0\n\x1b')
    assert not stem.startswith(".")
    assert len(os.fsencode(stem)) <= 120


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (3, 2000), (1, 3000), (3000, 1)])
def test_the_smallest_and_longest_sizes(size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    for data in (saved(Image.fromarray(pixels), "PNG"), saved(Image.fromarray(pixels), "TIFF")):
        assert np.array_equal(load_photo(data).pixels, pixels)
    assert load_photo(saved(Image.fromarray(pixels), "JPEG")).pixels.shape == pixels.shape


# What a photo offers


def test_as_an_array_it_is_what_a_screen_shows():
    photo = load_photo(imagecodecs.png_encode(picture().astype(np.uint16) * 257))
    assert photo.pixels.dtype == np.uint16
    shown = np.asarray(photo)
    assert shown.dtype == np.uint8
    assert np.array_equal(shown, picture())
    assert np.asarray(photo, dtype=np.float32).dtype == np.float32
    eight = load_photo(picture())
    assert np.asarray(eight) is not None
    assert (eight.height, eight.width, eight.bits) == (HEIGHT, WIDTH, 8)
    assert repr(photo) == "Photo('photo', 56 x 40, 16 bits, PNG)"


def test_to_tensor():
    for pixels, most in ((picture(), 255), (deep_picture(), 65535)):
        tensor = to_tensor(load_photo(pixels))
        assert tensor.shape == (1, 3, HEIGHT, WIDTH)
        assert tensor.dtype == torch.float32
        assert np.abs(tensor[0].permute(1, 2, 0).numpy() - pixels / most).max() < 1e-7
    assert float(to_tensor(load_photo(np.full((2, 2, 3), 65535, np.uint16))).max()) == 1.0


def test_decoding_needs_no_torch(root):
    program = "import sys, hdrgan.files.photo, hdrgan.files.radiance; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], cwd=root, check=True)


def test_from_camera():
    image = Image.fromarray(picture())
    assert load_photo(saved(image, "JPEG", exif=camera_exif())).from_camera
    plain = Image.Exif()
    plain[305] = "a drawing program"
    assert not load_photo(saved(image, "JPEG", exif=plain)).from_camera
    assert not load_photo(picture()).from_camera


# EXIF of brackets


def tags_of(block: bytes) -> tuple[Image.Exif, dict, dict]:
    exif = Image.Exif()
    exif.load(block)
    return exif, exif.get_ifd(0x8769), exif.get_ifd(0x8825)


@pytest.mark.parametrize("ev", [-4, -1 / 3, 0, 2.5, 4])
def test_bracket_exif_is_what_merge_software_groups_by(ev):
    photo = load_photo(saved(Image.fromarray(picture()), "JPEG", exif=camera_exif(6, gps=True)))
    block = exif_of(photo, ev)
    base, detail, position = tags_of(block)
    assert float(detail[37380]) == pytest.approx(ev, abs=1e-6)
    assert float(detail[33434]) == pytest.approx(2**ev / 250, rel=1e-4)
    assert (base[271], base[272], base[274], base[305]) == ("Maker", "Model 7", 1, "hdrgan")
    assert detail[36867] == "2024:05:06 07:08:09"
    assert float(detail[33437]) == pytest.approx(2.8)
    assert not position
    assert b"secret" not in block
    at = block.index(struct.pack("<HH", 37380, 10))  # the type is a signed rational, for positive values as well
    assert struct.unpack_from("<I", block, at + 4)[0] == 1
    assert tags_of(exif_of(photo, ev, keep_gps=True))[2][1] == "N"


def test_bracket_exif_without_a_camera():
    base, detail, _ = tags_of(exif_of(load_photo(picture()), 2))
    assert 33434 not in detail
    assert float(detail[37380]) == 2
    assert 271 not in base
    assert (detail[40962], detail[40963]) == (WIDTH, HEIGHT)


def test_strange_exif_values_do_not_break_a_bracket():
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = b"bytes\xff", "tab\tand\x00nul", 3
    detail = exif.get_ifd(0x8769)
    detail[33434], detail[33437], detail[36867] = "not a number", (), 1.5
    detail[34855], detail[37386] = -1, (1, 2, 3)
    for exposure in (exif_of(Photo(picture(), exif=exif), ev) for ev in (-40.0, 0.0, 40.0)):
        tags_of(exposure)


# Writing


def entries(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("pixels", [picture(), deep_picture(), picture(1, 1), deep_picture(3, 700)])
def test_png_and_tiff_are_read_back_bit_for_bit_by_others(tmp_path, pixels):
    exif = exif_of(load_photo(saved(Image.fromarray(picture()), "JPEG", exif=camera_exif())), -2)
    save_png(tmp_path / "a.png", pixels, exif=exif)
    save_tiff(tmp_path / "a.tif", pixels, exif=exif)
    assert np.array_equal(imagecodecs.png_decode((tmp_path / "a.png").read_bytes()), pixels)
    assert np.array_equal(imagecodecs.tiff_decode((tmp_path / "a.tif").read_bytes()), pixels)
    for name in ("a.png", "a.tif"):
        with Image.open(tmp_path / name) as image:
            image.load()
            assert image.getexif()[272] == "Model 7"
            assert float(image.getexif().get_ifd(0x8769)[37380]) == -2
            assert image.size == pixels.shape[1::-1]
        assert np.array_equal(load_photo(tmp_path / name).pixels, pixels)
    assert entries(tmp_path) == ["a.png", "a.tif"]


def test_tiff_of_many_strips(tmp_path):
    pixels = np.random.default_rng(3).integers(0, 65536, (900, 400, 3)).astype(np.uint16)
    save_tiff(tmp_path / "a.tif", pixels)
    data = (tmp_path / "a.tif").read_bytes()
    assert np.array_equal(imagecodecs.tiff_decode(data), pixels)
    assert np.array_equal(load_photo(data).pixels, pixels)
    with Image.open(tmp_path / "a.tif") as image:
        assert len(image.tag_v2[273]) > 1
        assert image.info["icc_profile"] is not None


def test_jpeg_keeps_colour_at_full_resolution(tmp_path):
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, ::2] = (255, 0, 0)
    save_jpeg(tmp_path / "a.jpg", pixels, exif=exif_of(load_photo(picture()), 4))
    with Image.open(tmp_path / "a.jpg") as image:
        assert np.abs(np.asarray(image).astype(int) - pixels).mean() < 6
        assert float(image.getexif().get_ifd(0x8769)[37380]) == 4
        assert image.info["jfif"]
    save_jpeg(tmp_path / "deep.jpg", picture().astype(np.uint16) * 257, quality=98)
    assert distance(load_photo(tmp_path / "deep.jpg"), picture()) < 2
    assert load_photo(tmp_path / "a.jpg").jpeg is not None


def test_written_pngs_get_smaller_with_the_level(tmp_path):
    pixels = np.tile(picture(), (4, 4, 1))
    save_png(tmp_path / "fast.png", pixels)
    save_png(tmp_path / "small.png", pixels, level=9)
    assert (tmp_path / "small.png").stat().st_size < (tmp_path / "fast.png").stat().st_size
    assert np.array_equal(load_photo(tmp_path / "small.png").pixels, pixels)


@pytest.mark.parametrize("save", [save_png, save_jpeg, save_tiff])
def test_wrong_pixels_are_not_written(tmp_path, save):
    for wrong in (np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)):
        with pytest.raises(ValueError, match="pixels are"):
            save(tmp_path / "a", wrong)
    assert entries(tmp_path) == []


def test_jpeg_says_what_it_cannot_hold(tmp_path):
    with pytest.raises(ValueError, match="65,500"):
        save_jpeg(tmp_path / "a.jpg", np.zeros((1, 65_501, 3), np.uint8))


@pytest.mark.parametrize("save", [save_png, save_jpeg, save_tiff])
def test_a_folder_that_is_not_there_is_named(tmp_path, save):
    path = tmp_path / "missing" / "a.out"
    with pytest.raises(OSError, match="missing") as error:
        save(path, picture())
    assert error.value.filename == str(path)


def test_a_name_that_is_no_file_is_left_alone(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for target in (tmp_path / "folder.png", Path("/dev/null")):
        with pytest.raises(OSError, match="not a file") as error:
            save_png(target, picture())
        assert error.value.filename == str(target)
        assert target.exists()
    assert entries(tmp_path) == ["folder.png"]


FULL_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from hdrgan.files.write import save_jpeg, save_png, save_tiff
from hdrgan.files.radiance import save_exr, save_hdr
folder = Path(sys.argv[1])
noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
light = np.random.default_rng(0).random((200, 200, 3), np.float32)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
for save, name, what in ((save_png, "a.png", noise), (save_jpeg, "a.jpg", noise), (save_tiff, "a.tif", noise),
                         (save_exr, "a.exr", light), (save_hdr, "a.hdr", light)):
    try:
        save(folder / name, what)
    except OSError as error:
        assert error.filename == str(folder / name), error
    else:
        raise SystemExit(f"{name} was written")
"""


def test_when_the_disk_is_full_the_old_file_stays(tmp_path, root):
    names = ["a.exr", "a.hdr", "a.jpg", "a.png", "a.tif"]
    for name in names:
        (tmp_path / name).write_bytes(b"the old file")
    subprocess.run([sys.executable, "-c", FULL_DISK, str(tmp_path)], cwd=root, check=True, timeout=60)
    assert entries(tmp_path) == names
    assert all((tmp_path / name).read_bytes() == b"the old file" for name in names)


# The corpus


@pytest.mark.shared
@pytest.mark.parametrize(
    ("role", "loader", "refusal"),
    [
        ("photo", "hdrgan.files.photo:load_photo", "hdrgan.files.photo:PhotoError"),
        ("hdrtrain", "hdrgan.files.radiance:load_radiance", "hdrgan.files.radiance:RadianceFileError"),
    ],
)
def test_the_whole_corpus(role, loader, refusal, shared, root, tmp_path):
    report = tmp_path / "report.json"
    check = shared / "corpus" / "check.py"
    command = [sys.executable, str(check), loader, "--refused", refusal, "--role", role, "--json", str(report)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=500)
    results = json.loads(report.read_text())
    assert len(results) > 60
    assert [r for r in results if r["verdict"] != "ok"] == [], done.stdout
    assert done.returncode == 0
    for r in results:
        assert r["seconds"] < 10, r
        most = 300 if r["path"].startswith("bomb/") else 700
        assert r["rss_mb"] < most, r
        if r["path"].startswith(("hdr/web", "exr/web")) and role == "photo":
            assert "ordinary photo" in r["note"]


# What people hit


@pytest.mark.slow
def test_an_animated_avif_costs_no_process(root):
    """The library wrote all frames into room for one; in a process of its own, so that a crash is seen as one."""
    code = (
        "import sys; sys.path[:0] = ['tests/helpers', '.']\n"
        "import gain_map_files as made\nfrom hdrgan import load_photo\n"
        "for _ in range(20):\n    for count in (2, 3, 5): load_photo(made.animated_avif(count))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


@pytest.mark.parametrize("kind", ["GIF", "PNG"])
@pytest.mark.parametrize("format", ["jpg", "png", "tiff"])
def test_a_photo_of_one_pixel_can_be_written(kind, format, tmp_path):
    image = Image.new("RGBA" if kind == "PNG" else "P", (1, 1))
    photo = load_photo(saved(image, kind))
    save = {"jpg": save_jpeg, "png": save_png, "tiff": save_tiff}[format]
    save(tmp_path / f"one.{format}", photo.pixels)
    assert load_photo(tmp_path / f"one.{format}").pixels.shape == (1, 1, 3)


def test_an_eight_bit_scan_of_four_samples_is_opaque():
    """VueScan's infrared is no opacity unless the file says so."""
    scan = np.concatenate([picture(), np.full((*picture().shape[:2], 1), 90, np.uint8)], 2)
    plain = imagecodecs.tiff_encode(scan, photometric="rgb", extrasample="unspecified")
    assert np.array_equal(load_photo(plain).pixels, picture())
    opacity = imagecodecs.tiff_encode(scan, photometric="rgb", extrasample="unassalpha")
    assert load_photo(opacity).pixels.mean() > picture().mean() + 20


def test_heif_of_rare_kinds_is_no_video():
    with pytest.raises(PhotoError, match="HEIF picture of a rare kind"):
        load_photo(b"\0\0\0\x18ftypmif1\0\0\0\0mif1unif" + bytes(32))
