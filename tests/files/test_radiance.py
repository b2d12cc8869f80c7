"""Light in and out: what others write is read, what is written is read by others, what is wrong is refused by name."""

from __future__ import annotations

import io
import logging
import os
import struct

import imagecodecs
import numpy as np
import OpenEXR
import photo_files
import pytest
from photo_files import exr, flat_rgbe, hdr, light, planes

from hdrgan.files.radiance import RadianceFileError, load_radiance, radiance_shape, save_exr, save_hdr

HALF_STEP = 2.0**-11  # the relative error of a half
RGBE_STEP = 1.01 * 2.0**-8  # of the brightest channel, rounded


@pytest.fixture
def load(tmp_path):
    """Load bytes as a file."""

    def loader(data: bytes) -> np.ndarray:
        path = tmp_path / "scene.bin"  # the name says nothing of the format
        path.write_bytes(data)
        found = load_radiance(path)
        assert radiance_shape(path) == found.shape[:2], "the header alone says as much"
        return found

    return loader


def assert_is_light(found: np.ndarray, expected: np.ndarray, step: float) -> None:
    """Equal within ``step`` of each pixel's brightest channel."""
    assert found.dtype == np.float32
    assert found.shape == expected.shape
    error = np.abs(found - expected) / np.maximum(expected.max(-1, keepdims=True), 1e-6)
    assert error.max() <= step


# OpenEXR


@pytest.mark.parametrize(
    "compression",
    ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB"],
)
def test_exr_of_every_compression(load, compression):
    lit = light(48, 64)
    lossy = compression in ("B44", "B44A", "DWAA", "DWAB")
    data = exr(planes(lit), getattr(OpenEXR, f"{compression}_COMPRESSION"))
    assert_is_light(load(data), lit, 0.1 if lossy else HALF_STEP)
    assert_is_light(load(exr(planes(lit, np.float32), OpenEXR.ZIP_COMPRESSION)), lit, 0)


def test_exr_channels_are_found(load):
    lit = light()
    alpha = np.ones(lit.shape[:2], np.float16)
    cases = {
        "with alpha and depth": planes(lit) | {"A": alpha, "Z": alpha * 7},
        "one layer": planes(lit, names=["beauty.R", "beauty.G", "beauty.B"]) | {"depth.Z": alpha},
        "plain beside a layer": planes(lit) | planes(lit * 2, names=["other.R", "other.G", "other.B"]),
        "small letters": planes(lit, names="rgb"),
    }
    for name, channels in cases.items():
        assert_is_light(load(exr(channels)), lit, HALF_STEP), name
    grey = load(exr({"Y": lit[..., 1].astype(np.float16)}))
    assert_is_light(grey, np.repeat(lit[..., 1:2], 3, 2), HALF_STEP)


def test_exr_tiles_and_parts(load):
    lit = light(70, 90)
    tiled = exr(planes(lit), type=OpenEXR.tiledimage, tiles=OpenEXR.TileDescription())
    assert_is_light(load(tiled), lit, HALF_STEP)
    stream = io.BytesIO()
    options = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    parts = [
        OpenEXR.Part(options | {"name": "depth"}, {"Z": lit[..., 0].copy()}),
        OpenEXR.Part(options | {"name": "colour"}, {k: v.copy() for k, v in planes(lit).items()}),
    ]
    OpenEXR.File(parts).write(stream)
    assert_is_light(load(stream.getvalue()), lit, HALF_STEP)


def test_exr_luminance_and_chroma(load):
    lit = light(16, 24) + 0.1
    y = lit @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    channels = {"Y": y, "RY": lit[..., 0] / y - 1, "BY": lit[..., 2] / y - 1}
    data = exr({k: v.astype(np.float32) for k, v in channels.items()})
    assert_is_light(load(data), lit, 1e-5)


def test_exr_primaries_are_converted(load):
    # A P3 red of one is this Rec. 709 colour (negative green and blue cut); its white stays white.
    p3 = (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.3127, 0.3290)
    pixels = np.array([[[1, 0, 0], [1, 1, 1], [0.5, 0.5, 0.5], [0.2, 0.7, 0.3]]], np.float32)
    found = load(exr(planes(pixels, np.float32), chromaticities=p3))
    assert found[0, 0] == pytest.approx([1.2249, 0, 0], abs=1e-3)
    assert found[0, 1] == pytest.approx([1, 1, 1], abs=1e-4)
    assert found[0, 3] == pytest.approx([0.0875, 0.7210, 0.2704], abs=1e-3)
    # ACES AP0 with its own white, and a blue of negative y: white is adapted to D65.
    aces = (0.7347, 0.2653, 0.0, 1.0, 0.0001, -0.0770, 0.32168, 0.33767)
    assert load(exr(planes(pixels, np.float32), chromaticities=aces))[0, 1] == pytest.approx([1, 1, 1], abs=1e-3)
    rec709 = (0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290)
    assert np.array_equal(load(exr(planes(pixels, np.float32), chromaticities=rec709)), pixels)


def test_exr_in_xyz_whose_primaries_have_no_y_is_read(load):
    """XYZ's own X and Z have a y of zero; its white is that of equal energy, and is adapted to D65."""
    xyz = (1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1 / 3, 1 / 3)
    pixels = np.array([[[1, 1, 1], [0.5, 0.5, 0.5], [0.3, 0.4, 0.5]]], np.float32)
    found = load(exr(planes(pixels, np.float32), chromaticities=xyz))
    assert found[0, 0] == pytest.approx([1, 1, 1], abs=1e-3)
    assert found[0, 1] == pytest.approx([0.5, 0.5, 0.5], abs=1e-3)
    assert found[0, 2] @ np.float32([0.2126, 0.7152, 0.0722]) == pytest.approx(0.4, rel=0.03)
    assert found[0, 2, 2] > found[0, 2, 1] > found[0, 2, 0]
    no_white = (*xyz[:6], 1 / 3, 0.0)
    with pytest.raises(RadianceFileError, match="primaries make no sense"):
        load(exr(planes(pixels, np.float32), chromaticities=no_white))


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf, -5.0])
def test_exr_with_impossible_light_is_refused(load, wrong):
    lit = light()
    lit[3, 5, 1] = lit[7, 9, 0] = wrong
    words = {"nan": "NaN", "inf": "infinite", "-inf": "infinite", "-5.0": "negative"}[str(wrong)]
    with pytest.raises(RadianceFileError, match=f"2 of its 960 pixels are .*{words}"):
        load(exr(planes(lit, np.float32)))


def test_what_storage_did_to_a_scene_is_mended(load, caplog):
    lit = light(64, 64)
    half = planes(lit)
    half["R"][0, 0] = np.inf
    half["G"][1, 1] = -1e-5
    with caplog.at_level(logging.WARNING):
        found = load(exr(half))
    assert found[0, 0, 0] == 65504
    assert found[1, 1, 1] == 0
    assert "1 pixels" in caplog.text
    half["R"][:] = np.inf
    with pytest.raises(RadianceFileError, match="infinite"):
        load(exr(half))


def test_exr_without_colours_or_light_is_refused(load):
    lit = light()
    with pytest.raises(RadianceFileError, match="no colours.*Z"):
        load(exr({"Z": lit[..., 0].astype(np.float32)}))
    with pytest.raises(RadianceFileError, match="whole numbers"):
        load(exr(planes(lit, np.uint32)))
    layers = planes(lit, names=["a.R", "a.G", "a.B"]) | planes(lit, names=["b.R", "b.G", "b.B"])
    with pytest.raises(RadianceFileError, match=r"several layers \(a, b\)"):
        load(exr(layers))


@pytest.mark.parametrize("share", [0.002, 0.01, 0.1, 0.5, 0.9, 0.99])
def test_exr_that_broke_off_is_refused(load, share):
    for compression in (OpenEXR.ZIP_COMPRESSION, OpenEXR.PIZ_COMPRESSION, OpenEXR.NO_COMPRESSION):
        data = exr(planes(light(80, 80)), compression)
        with pytest.raises(RadianceFileError, match="cut off|neither"):
            load(data[: int(len(data) * share)])


@pytest.mark.parametrize(
    "window",
    [(0, 0, 199_999, 199_999), (100, 100, 0, 0), (-(2**31), -(2**31), 2**31 - 1, 2**31 - 1), (0, 0, 16_000_000, 0)],
)
def test_exr_with_an_absurd_window_is_refused(load, window):
    data = bytearray(exr(planes(light())))
    at = data.index(b"dataWindow\0box2i\0") + 17 + 4
    struct.pack_into("<4i", data, at, *window)
    with pytest.raises(RadianceFileError, match="pixels"):
        load(bytes(data))


def test_exr_that_promises_more_than_it_holds_is_refused(load):
    data = bytearray(exr(planes(light()), OpenEXR.DWAB_COMPRESSION))
    struct.pack_into("<4i", data, data.index(b"dataWindow\0box2i\0") + 21, 0, 0, 65_000, 2000)
    with pytest.raises(RadianceFileError, match="far more pixels"):
        load(bytes(data))


def test_damaged_exr_pixels_are_refused(load):
    data = bytearray(exr(planes(light(64, 64))))
    data[-200:-20] = os.urandom(180)
    with pytest.raises(RadianceFileError, match="damaged"):
        load(bytes(data))


# Radiance


def test_hdr_flat_and_runs(load):
    lit = light()
    expected = decoded(flat_rgbe(lit))
    assert np.array_equal(load(hdr(flat_rgbe(lit))), expected)
    assert_is_light(load(bytes(imagecodecs.rgbe_encode(lit))), lit, 2 * RGBE_STEP)  # it cuts where we round
    narrow = flat_rgbe(light(9, 7))
    assert np.array_equal(load(hdr(narrow)), decoded(narrow))


def decoded(rgbe: np.ndarray) -> np.ndarray:
    """RGBE bytes as numbers, by the definition."""
    scale = np.where(rgbe[..., 3:] == 0, 0, np.exp2(rgbe[..., 3:].astype(float) - 136))
    return (rgbe[..., :3] * scale).astype(np.float32)


def test_hdr_old_runs(load):
    repeats = np.array([[[9, 8, 7, 128], [1, 1, 1, 4], [3, 2, 1, 129]]])
    found = load(hdr(repeats, "-Y 2 +X 3"))
    expected = decoded(np.array([[9, 8, 7, 128]] * 5 + [[3, 2, 1, 129]])).reshape(2, 3, 3)
    assert np.array_equal(found, expected)
    # Repeats in a row count in powers of 256: 44 + 1 * 256 = 300.
    long = np.array([[[9, 8, 7, 128], [1, 1, 1, 44], [1, 1, 1, 1]]])
    assert load(hdr(long, "-Y 1 +X 301")).shape == (1, 301, 3)
    for pixels, lines in (
        ([[9, 8, 7, 128], [1, 1, 1, 9]], "-Y 1 +X 6"),  # too many
        ([[9, 8, 7, 128], [1, 1, 1, 2]], "-Y 1 +X 6"),  # too few
        ([[1, 1, 1, 5], [9, 8, 7, 128]], "-Y 1 +X 6"),  # nothing to repeat
        ([[9, 8, 7, 128]] + [[1, 1, 1, 255]] * 9, "-Y 1 +X 6"),  # beyond any integer
    ):
        with pytest.raises(RadianceFileError):
            load(hdr(np.array([pixels]), lines))


@pytest.mark.parametrize(
    ("resolution", "stored"),
    [
        ("-Y {h} +X {w}", lambda a: a),
        ("+Y {h} +X {w}", lambda a: a[::-1]),
        ("-Y {h} -X {w}", lambda a: a[:, ::-1]),
        ("+Y {h} -X {w}", lambda a: a[::-1, ::-1]),
        ("+X {h} -Y {w}", lambda a: a.transpose(1, 0, 2)),
        ("+X {h} +Y {w}", lambda a: a[::-1].transpose(1, 0, 2)),
        ("-X {h} -Y {w}", lambda a: a[:, ::-1].transpose(1, 0, 2)),
        ("-X {h} +Y {w}", lambda a: a[::-1, ::-1].transpose(1, 0, 2)),
    ],
)
def test_hdr_of_every_orientation_is_upright(load, resolution, stored):
    upright = flat_rgbe(light(5, 9))
    assert np.array_equal(load(hdr(stored(upright), resolution)), decoded(upright))


def test_hdr_exposure_is_divided_out(load):
    rgbe = flat_rgbe(light())
    plain = load(hdr(rgbe))
    assert load(hdr(rgbe, header="EXPOSURE=2.0\nEXPOSURE= 4\n")) == pytest.approx(plain / 8)
    assert load(hdr(rgbe, header="COLORCORR=1 2 4\n")) == pytest.approx(plain / np.array([1, 2, 4]))
    for wrong in ("EXPOSURE=0", "EXPOSURE=-1", "EXPOSURE=nan", "EXPOSURE=bright", "COLORCORR=1 2", "EXPOSURE=1e300"):
        with pytest.raises(RadianceFileError, match="EXPOSURE|COLORCORR"):
            load(hdr(rgbe, header=wrong + "\n"))


def test_hdr_xyz_and_primaries_are_converted(load):
    white = np.array([0.9505, 1.0, 1.0888]) * 0.5
    rgbe = np.tile(flat_rgbe(white[None, None]), (2, 8, 1))
    found = load(hdr(rgbe, kind="xyze"))
    assert found == pytest.approx(np.full((2, 8, 3), 0.5), abs=0.01)
    primaries = "PRIMARIES=0.680 0.320 0.265 0.690 0.150 0.060 0.3127 0.3290\n"
    red = np.tile(np.array([128, 0, 0, 129], np.uint8), (2, 8, 1))
    assert load(hdr(red, header=primaries))[0, 0] == pytest.approx([1.2249, 0, 0], abs=1e-3)
    with pytest.raises(RadianceFileError, match="primaries"):
        load(hdr(red, header="PRIMARIES=5 5 5 5 5 5 5 5\n"))


def test_hdr_extremes_stay_finite(load):
    rgbe = np.array([[[255, 255, 255, 255], [1, 0, 0, 1], [255, 255, 255, 0], [0, 0, 0, 0]]])
    found = load(hdr(rgbe))
    assert np.isfinite(found).all()
    assert found[0, 0, 0] > 1e38
    assert (found[0, 2:] == 0).all()
    with pytest.raises(RadianceFileError, match="infinite"):
        load(hdr(rgbe, header="EXPOSURE=0.001\n"))


HEAD = b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n"
BROKEN_HDR = {
    "empty": b"",
    "only the magic": b"#?RADIANCE",
    "no magic": b"FORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\n\0\0\0\0",
    "no empty line": b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n-Y 1 +X 1\n\0\0\0\0",
    "no resolution": HEAD,
    "unknown format": b"#?RADIANCE\nFORMAT=48-bit\n\n-Y 1 +X 1\n\0\0\0\0",
    "too large": HEAD + b"-Y 65535 +X 65535\n" + bytes(100),
    "overflow": HEAD + b"-Y 2147483648 +X 2147483648\n" + bytes(100),
    "negative": HEAD + b"-Y -5 +X 5\n" + bytes(100),
    "zero": HEAD + b"-Y 0 +X 5\n",
    "words": HEAD + b"-Y ten +X five\n" + bytes(200),
    "fractions": HEAD + b"-Y 2.5 +X 4\n" + bytes(200),
    "one axis twice": HEAD + b"-Y 4 +Y 4\n" + bytes(64),
    "endless line": b"#?RADIANCE\n" + b"x" * 200_000,
    "endless header": b"#?RADIANCE\n" + b"A=1\n" * 100_000,
    "few pixels": HEAD + b"-Y 4 +X 4\n" + bytes(63),
    "run past the line": HEAD + b"-Y 1 +X 16\n\2\2\0\x10" + b"\xf8\1" * 20,
    "run of nothing": HEAD + b"-Y 1 +X 16\n\2\2\0\x10" + b"\0\0" * 40,
    "another width": HEAD + b"-Y 1 +X 16\n\2\2\0\x20" + b"\x90\1" * 8,
    "bytes to spare": HEAD + b"-Y 1 +X 16\n\2\2\0\x10" + b"\x90\1" * 4 + b"more",
    "a png": b"\x89PNG\r\n\x1a\n" + bytes(50),
    "text": b"hello radiance",
}


@pytest.mark.parametrize("name", BROKEN_HDR)
def test_broken_hdr_is_refused_by_name(load, tmp_path, name):
    with pytest.raises(RadianceFileError) as refusal:
        load(BROKEN_HDR[name])
    text = str(refusal.value)
    assert text.startswith(str(tmp_path / "scene.bin"))
    assert text.endswith(".")
    assert "\n" not in text


@pytest.mark.parametrize("share", [0.05, 0.1, 0.5, 0.9, 0.99])
def test_hdr_that_broke_off_is_refused(load, share):
    data = bytes(imagecodecs.rgbe_encode(light(60, 90)))
    with pytest.raises(RadianceFileError):
        load(data[: int(len(data) * share)])


def test_paths_that_are_no_files_are_named(tmp_path):
    for path in (tmp_path / "missing.exr", tmp_path):
        with pytest.raises(RadianceFileError, match=str(path)):
            load_radiance(path)
    os.mkfifo(tmp_path / "pipe.hdr")
    with pytest.raises(RadianceFileError, match="not a file"):
        load_radiance(tmp_path / "pipe.hdr")


# Writing


def test_exr_is_read_by_the_library(tmp_path):
    lit = light()
    lit[0, 0] = (90_000.0, 1e-6, 0.0)
    invented = np.linspace(0, 1, lit[..., 0].size, dtype=np.float32).reshape(lit.shape[:2])
    save_exr(tmp_path / "a.exr", lit, invented=invented, metadata={"comments": "EVs -2, 0, 2.", "model": "radiance"})
    file = OpenEXR.File(str(tmp_path / "a.exr"), separate_channels=True)
    channels = file.channels()
    assert sorted(channels) == ["B", "G", "R", "invented"]
    assert all(channel.pixels.dtype == np.float16 for channel in channels.values())
    read = np.stack([channels[name].pixels for name in "RGB"], -1).astype(np.float32)
    assert_is_light(read, np.minimum(lit, 65504), HALF_STEP)
    assert np.abs(channels["invented"].pixels - invented).max() < 1e-3
    header = file.header()
    assert header["compression"] == OpenEXR.ZIP_COMPRESSION
    assert header["chromaticities"] == pytest.approx((0.64, 0.33, 0.30, 0.60, 0.15, 0.06, 0.3127, 0.3290))
    assert header["whiteLuminance"] == 203
    assert header["software"].startswith("hdrgan ")
    assert header["comments"].startswith("EVs -2, 0, 2. ")
    assert "EV 0" in header["comments"]
    assert header["model"] == "radiance"
    assert_is_light(load_radiance(tmp_path / "a.exr"), read, 0)
    assert os.listdir(tmp_path) == ["a.exr"]


@pytest.mark.parametrize("size", [(1, 1), (3, 7), (24, 40), (300, 9), (2, 33_000)])
def test_hdr_is_read_by_others(tmp_path, size):
    lit = np.exp2(np.random.default_rng(4).uniform(-12, 12, (*size, 3))).astype(np.float32)
    lit[0, 0] = (255.9 / 256, 0.5, 0)  # would round up to a mantissa of 256
    save_hdr(tmp_path / "a.hdr", lit, metadata={"comments": "two\nlines", "view angle": 1.5})
    data = (tmp_path / "a.hdr").read_bytes()
    read = imagecodecs.rgbe_decode(data)
    assert_is_light(read, lit, RGBE_STEP)
    assert np.array_equal(load_radiance(tmp_path / "a.hdr"), read)
    head = data[: data.index(b"\n\n")].decode().splitlines()
    assert head[0] == "#?RADIANCE"
    assert head[-1] == "FORMAT=32-bit_rle_rgbe"
    assert "EXPOSURE=1.000000" in head
    assert "PRIMARIES=0.6400 0.3300 0.3000 0.6000 0.1500 0.0600 0.3127 0.3290" in head
    assert "VIEW_ANGLE=1.5" in head
    assert any(line.startswith("COMMENTS=two lines ") for line in head)
    assert data[data.index(b"\n\n") + 2 :].startswith(f"-Y {size[0]} +X {size[1]}\n".encode())


def test_hdr_rounds_to_nearest_on_average(tmp_path):
    lit = np.random.default_rng(5).uniform(0.5, 1, (64, 64, 3)).astype(np.float32)
    save_hdr(tmp_path / "a.hdr", lit)
    assert abs(float((imagecodecs.rgbe_decode((tmp_path / "a.hdr").read_bytes()) - lit).mean())) < 2e-4


def test_hdr_of_noise_that_no_run_length_can_shorten(tmp_path):
    lit = np.exp2(np.random.default_rng(6).uniform(-90, 90, (64, 300, 3))).astype(np.float32)
    save_hdr(tmp_path / "a.hdr", lit)
    assert_is_light(load_radiance(tmp_path / "a.hdr"), lit, RGBE_STEP)


def test_runs_make_even_pictures_small(tmp_path):
    save_hdr(tmp_path / "a.hdr", np.full((100, 200, 3), 0.25, np.float32))
    assert (tmp_path / "a.hdr").stat().st_size < 100 * 200 * 4 / 20


@pytest.mark.parametrize("save", [save_exr, save_hdr])
def test_impossible_light_is_not_written(tmp_path, save):
    for wrong in (np.nan, np.inf, -0.1):
        lit = light()
        lit[2, 3, 1] = wrong
        with pytest.raises(ValueError, match="NaN, infinite or negative"):
            save(tmp_path / "a", lit)
    with pytest.raises(ValueError, match=r"\(H, W, 3\)"):
        save(tmp_path / "a", light()[..., 0])
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("save", [save_exr, save_hdr])
def test_a_folder_that_is_not_there_is_named(tmp_path, save):
    path = tmp_path / "missing" / "a.out"
    with pytest.raises(OSError, match="missing") as error:
        save(path, light())
    assert error.value.filename == str(path)


def test_invented_has_the_size_of_the_picture(tmp_path):
    with pytest.raises(ValueError, match="invented"):
        save_exr(tmp_path / "a.exr", light(), invented=np.zeros((3, 3)))


@pytest.mark.parametrize("name", photo_files.radiance_files())
def test_every_kind_of_file_of_the_fuzzer_is_good(load, name):
    assert load(photo_files.radiance_files()[name]).min() >= 0


@pytest.mark.shared
def test_the_shared_scenes_are_read(shared):
    for path in sorted((shared / "data" / "hdr").glob("*.exr"))[::9]:
        radiance = load_radiance(path)
        assert np.isfinite(radiance).all()
        assert radiance.min() >= 0
