"""What people hit: a small file of each kind, the value that is right for it, and, where they are, the collected files.

Each case is tried twice: with a file that is made here, and with the one that was collected. Each check says where the
relatives of its files are tried.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable

import gain_map_files as made
import imagecodecs
import numpy as np
import pytest
from exif_tool import exiftool
from photo_files import exr, flat_rgbe, hdr, insert_png_chunk, light, picture, planes, saved
from PIL import Image
from rich_photos import rich_jpeg

from hdrgan import Pipeline, load_photo
from hdrgan.batch.find import find_photos
from hdrgan.files.limits import PhotoError, PhotoLimits
from hdrgan.files.radiance import load_radiance
from hdrgan.files.transfer import pq_light

LAMPS = (2.0, 12.0)
PAPER_TEXT = 60


def window(width: int = 512) -> np.ndarray:
    """An equirectangular room whose only window is on the seam: (width / 2, width, 3) uint8."""
    y, x = np.mgrid[: width // 2, :width].astype(np.float32)
    wall = 70 + 30 * np.sin(2 * np.pi * x / width) * np.sin(np.pi * y / (width // 2))
    noise = np.random.default_rng(0).normal(0, 0.7, (width // 2, width, 3))
    room = wall[..., None] * np.float32([1, 0.9, 0.8]) + noise
    room[width // 8 : width // 4, : width // 12] = 255
    room[width // 8 : width // 4, -width // 12 :] = 255
    return room.clip(0, 255).astype(np.uint8)


def page() -> np.ndarray:
    """Black lines of text on white paper, with a grey bar: (300, 400, 3) uint8."""
    pixels = np.full((300, 400, 3), 255, np.uint8)
    pixels[:30] = 200
    for y in range(60, 280, 20):
        pixels[y : y + 8, 40:360] = np.where(np.arange(320)[None, :, None] % 7 < 4, PAPER_TEXT, 255)
    return pixels


def cutout() -> bytes:
    """Something coloured that stands free: nothing is around it."""
    pixels = picture(96, 128)
    alpha = np.zeros((96, 128, 1), np.uint8)
    alpha[30:70, 40:90] = 255
    pixels[alpha[..., 0] == 0] = 255
    return bytes(imagecodecs.png_encode(np.concatenate([pixels, alpha], 2)))


def lamps() -> bytes:
    """An Ultra HDR photo of two lamps."""
    lit = made.scene()
    lit[lit[..., 0] > 5] = LAMPS[1]
    return made.jpeg_with_iso(lit, alternate=float(np.log2(LAMPS[1])))


def pq(*chunk: bytes) -> bytes:
    """A PQ picture whose middle is what sRGB shows as 140."""
    lit = np.full((48, 64, 3), made.decoded(np.uint8([140]))[0], np.float32)
    lit[:10, :10] = 12
    return insert_png_chunk(bytes(imagecodecs.png_encode(made.pq(lit, 65535))), *chunk)


def named_profile() -> bytes:
    """An ICC profile that says PQ by its name and by the curves of its channels."""
    samples = pq_light(np.linspace(0, 1, 4096)) / 10_000
    primaries = [0.64, 0.33, 0.30, 0.60, 0.15, 0.06]
    return bytes(
        imagecodecs.cms_profile(
            "rgb", whitepoint=(0.3127, 0.329, 1.0), primaries=primaries, transferfunction=samples.astype("f4")
        )
    )


def negative() -> bytes:
    """A scene with traces of negative light in twelve pixels."""
    lit = light(48, 64)
    lit[5, 5:17, 2] = -4.58e-5
    return exr(planes(lit, np.float32))


def wide_bilevel() -> bytes:
    """More than 120 megapixels in few bytes."""
    rows = zlib.compress((b"\0" + bytes(1513)) * 10_000, 1)  # 12,100 pixels a row

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 12_100, 10_000, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def pipes():
    """A bundled network by name."""
    known: dict[str, Pipeline] = {}

    def get(name: str = "radiance") -> Pipeline:
        if name not in known:
            known[name] = Pipeline.from_pretrained(name, device="cpu")
        return known[name]

    return get


# What is right


def reads_own_large_photos(path, _, __):
    """Relatives in test_photo: limits of bytes, sides, pixels, scans and frames; the largest cameras; bombs. In
    batch/test_reading: `--max-megapixels`.
    """
    with pytest.raises(PhotoError, match="at most 120 megapixels"):
        load_photo(path)
    photo = load_photo(path, limits=PhotoLimits(megapixels=250))
    assert photo.width * photo.height > 120e6


def takes_the_first_frame(path, _, __):
    """Relatives in test_several_pictures: AVIF, HEIC, WebP, GIF, PNG, TIFF and MPO of one to five pictures of equal and
    unequal sizes, and EXR of several parts.
    """
    with Image.open(path) as image:
        first = np.asarray(image.convert("RGB"))
    for _ in range(5):  # what was written out of bounds did not always show at once
        assert np.abs(load_photo(path).pixels.astype(int) - first).mean() < 3


def stays_grey(path, pipes, _):
    """Relatives in test_pipeline: 8 and 16 bits with each network."""
    for name in ("radiance", "bracket", "ein"):
        result = pipes(name)(path)
        assert max(int(np.ptp(frame, axis=-1).max()) for frame in result.exposures) == 0, name


def has_no_light_where_there_is_nothing(path, pipes, folder):
    """Relatives in test_recorded: 8 and 16 bits, and a picture with a gain map that is not opaque; in test_metadata:
    the opacity of PNG, TIFF and EXR; in test_photo: transparent colours of palettes and of PNG.
    """
    result = pipes()(path)
    nothing = result.photo.alpha == 0
    assert nothing.any()
    assert result.radiance[nothing].max() <= 1
    assert result.invented[nothing].max() == 0
    for format in ("png", "tiff"):
        frame = result.save(folder / format, format=format, hdr=())[0]
        assert np.array_equal(load_photo(frame).alpha, result.photo.alpha)


def keeps_what_the_photo_says(path, pipes, folder):
    """Relatives in test_metadata: 40 photos with rich metadata in six formats, the position when asked, Latin-1, EXIF
    of ImageMagick, broken XMP and IPTC.
    """
    result = pipes()(path)
    files = [f for k in ("jpg", "png", "tiff") for f in result.save(folder / k, format=k, hdr=("ultrahdr", "exr"))]
    before = exiftool([path], "-XMP-GPano:all", "-IPTC:all", "-XMP-dc:all")[0]
    wanted = {tag: value for tag, value in before.items() if ":" in tag}
    assert any("GPano" in tag for tag in wanted)
    assert any("IPTC" in tag for tag in wanted)
    for told in exiftool([f for f in files if f.suffix != ".exr"]):
        assert {tag: told.get(tag) for tag in wanted} == wanted, told["SourceFile"]
        assert not any("GPS" in tag for tag in told)
    assert all(b"ProjectionType" in f.read_bytes() for f in files if f.suffix == ".exr")


def gives_the_recorded_lamps(path, pipes, _):
    """Relatives in test_recorded: maps by ISO 21496-1, Adobe and Apple in JPEG, AVIF and HEIC, of one and of three
    channels, the HDR picture as base, all orientations, damaged maps; in test_real_files: files of a camera and of
    phones.
    """
    result = pipes()(path)
    brightest, middle = result.radiance.max(-1), result.radiance.shape[1] // 2
    found = [float(np.median(half[half > 1.5])) for half in (brightest[:, :middle], brightest[:, middle:])]
    assert found == pytest.approx(LAMPS, rel=0.05)
    assert not result.invented.any()


def can_be_written_in_every_format(path, pipes, folder):
    """Relatives in test_photo: a PNG of one transparent pixel; in test_pipeline: sizes from 1 x 1 on, with each
    network.
    """
    result = pipes()(path)
    for format in ("jpg", "png", "tiff"):
        files = result.save(folder / format, format=format, hdr=("exr", "hdr", "ultrahdr"))
        assert len(files) == 8


def closes_around_the_viewer(path, pipes, _):
    """Relatives in test_pipeline: the window in another place, with each network, as a panorama and as a flat picture;
    in light/test_confine: what is no panorama.
    """
    stops = np.log2(np.maximum(pipes()(path).radiance, 1e-3))
    seam = np.abs(stops[:, 0] - stops[:, -1]).mean()
    assert seam <= 0.06  # as between any two columns; it was 0.3 and more


def takes_no_primaries_for_ours(path, _, __):
    """Relatives in test_radiance: primaries of P3, primaries that make no sense, EXR of P3, ACES and XYZ."""
    data = path.read_bytes()
    assert b"PRIMARIES=0 0 0 0 0 0 0 0" in data
    plain = path.with_name("plain.hdr")
    plain.write_bytes(data.replace(b"PRIMARIES=0 0 0 0 0 0 0 0\n", b""))
    assert np.array_equal(load_radiance(path), load_radiance(plain))


def is_light_around_a_white_of_203(path, _, __):
    """Relatives in test_recorded: PQ and HLG told by cICP, by the curve and by the cicp tag of a profile, and by nclx,
    in PNG, AVIF and HEIC; Rec. 2020; ordinary curves, which are neither.
    """
    photo = load_photo(path)
    assert photo.light_source == "PQ"
    assert np.median(np.asarray(photo)) == pytest.approx(140, abs=1)
    assert photo.light.max() == pytest.approx(12, rel=0.01)


def has_no_lamps(path, pipes, _):
    """Relatives in light/test_drawn: pages of 8 and 16 bits, windows of programs, white paper; and photos, which are
    not drawn.
    """
    for response in ("auto", "srgb"):
        result = pipes()(path, response=response)
        assert result.radiance.max() <= 1
        assert not result.invented.any()


def is_cut_at_zero(path, _, __):
    """Relatives in test_radiance: traces in half floats; NaN, infinite and much negative light, which are refused."""
    assert load_radiance(path).min() == 0


def is_found_in_a_folder(path, _, __):
    """Relatives in batch/test_names: .JPE, .mpo, .hif, camera raw, and hidden files, which are left out."""
    assert [one.path for one in find_photos([str(path.parent)]).photos] == [str(path)]
    assert load_photo(path).format == "JPEG"


def grey_photo() -> bytes:
    grey = Image.fromarray(picture(60, 90)).convert("L")
    grey.paste(255, (10, 10, 40, 30))
    return saved(grey, "PNG")


def zero_primaries() -> bytes:
    return hdr(flat_rgbe(light()), header="PRIMARIES=0 0 0 0 0 0 0 0\n")


Check = Callable[..., None]
CASES: dict[str, tuple[Callable[[], bytes], Check]] = {
    "200MP_flat.png": (wide_bilevel, reads_own_large_photos),
    "animated.avif": (made.animated_avif, takes_the_first_frame),
    "black_and_white.png": (grey_photo, stays_grey),
    "cutout_transparent.png": (cutout, has_no_light_where_there_is_nothing),
    "gpano_gps_iptc_xmp.jpg": (lambda: rich_jpeg("größer"), keeps_what_the_photo_says),
    "lamps_2x_and_12x_ultrahdr.jpg": (lamps, gives_the_recorded_lamps),
    "one_pixel.gif": (lambda: saved(Image.new("P", (1, 1)), "GIF"), can_be_written_in_every_format),
    "pano_window_on_seam.png": (lambda: bytes(imagecodecs.png_encode(window())), closes_around_the_viewer),
    "photoshop_primaries_zero.hdr": (zero_primaries, takes_no_primaries_for_ours),
    "pq_cicp.png": (lambda: pq(b"cICP", bytes([1, 16, 0, 1])), is_light_around_a_white_of_203),
    "pq_icc_only.png": (
        lambda: pq(b"iCCP", b"any name\0\0" + zlib.compress(named_profile())),
        is_light_around_a_white_of_203,
    ),
    "screenshot.png": (lambda: bytes(imagecodecs.png_encode(page())), has_no_lamps),
    "six_negative_pixels.exr": (negative, is_cut_at_zero),
    "windows_download.jfif": (lambda: saved(Image.fromarray(picture()), "JPEG"), is_found_in_a_folder),
}


USES_EXIFTOOL = "gpano_gps_iptc_xmp.jpg"


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name == USES_EXIFTOOL)) for name in CASES]
)
def test_a_file_of_each_kind_gives_what_is_right(name, pipes, tmp_path):
    make, check = CASES[name]
    path = tmp_path / name
    path.write_bytes(make())
    check(path, pipes, tmp_path / "out")


@pytest.mark.shared
@pytest.mark.parametrize("name", CASES)
def test_the_collected_file_gives_what_is_right(name, pipes, shared, tmp_path):
    path = tmp_path / name
    path.write_bytes((shared / "cases" / name).read_bytes())
    CASES[name][1](path, pipes, tmp_path / "out")


@pytest.mark.shared
def test_every_collected_file_is_tried(shared):
    assert {path.name for path in (shared / "cases").iterdir()} == CASES.keys()
