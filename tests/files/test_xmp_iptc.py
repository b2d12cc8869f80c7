"""What a photo says of itself is said by all that is made of it: read back by exiftool, which is not ours."""

from __future__ import annotations

import io
import re
import struct
import zlib
from fractions import Fraction

import numpy as np
import pytest
from exif_tool import exiftool
from photo_files import camera_exif, insert_png_chunk, picture, saved
from PIL import Image
from PIL.TiffImagePlugin import IFDRational
from rich_photos import KINDS, iptc_records, rich_exif, rich_jpeg, rich_photo, xmp_packet

from hdrgan import Result, load_photo
from hdrgan.files.exif import bracket_exif, exr_making, read_exif
from hdrgan.files.xmp_iptc import iptc_of_longs, kept_iptc, kept_xmp, photoshop_resources, raw_profile, read_raw_profile
from hdrgan.light.radiometry import srgb_curve
from hdrgan.light.recorded import recorded_only


def result_of(photo) -> Result:
    """A result without a network: its light is twice the photo."""
    curve = srgb_curve().numpy()
    light = curve[np.asarray(photo)] * np.float32(2)
    return Result.of(photo, (0.0, 2.0), recorded_only(photo.pixels, light, curve))


# What describes the stored file, or what a frame says in its own words.
OWN = re.compile(
    r"(IFD0:(Orientation|[XY]Resolution|ResolutionUnit|Software|YCbCr\w+|Image(Width|Height)|BitsPerSample|Compression"
    r"|PhotometricInterpretation|Strip\w+|RowsPerStrip|SamplesPerPixel|PlanarConfiguration|Predictor|ExifOffset)"
    r"|ExifIFD:(Exif(Version|ImageWidth|ImageHeight)|FlashpixVersion|ComponentsConfiguration|ColorSpace|MakerNote\w*"
    r"|ExposureCompensation|ExposureTime)"
    r"|XMP-x:XMPToolkit|XMP-tiff:Orientation|XMP-exif:(ExifImageWidth|GPS\w+))$"
)
SAID = re.compile(r"(IFD0|ExifIFD|IPTC|XMP-[\w]+):")


def said_by(told: dict) -> dict:
    return {tag: value for tag, value in told.items() if SAID.match(tag) and not OWN.match(tag)}


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_exiftool_shows_of_every_output_what_it_shows_of_the_photo(part, tmp_path):
    """Forty photos in six formats, each as frames of three formats, Ultra HDR and EXR."""
    sources, made = [], []
    for k in range(part, 40, 4):
        words = ["plain", "größer", "日本", "x" * 150][k % 3 + (k % 8 == 7)] + str(k)
        kind = KINDS[k // 4 % 6]
        source = tmp_path / f"p{k}.{kind}"
        source.write_bytes(rich_photo(kind, words))
        sources.append(source)
        result = result_of(load_photo(source))
        for format in ("jpg", "png", "tiff"):
            made += result.save(tmp_path / format, format=format, hdr=())
        made += result.save_hdr(tmp_path, ("ultrahdr", "finished", "exr"))
    before = {told["SourceFile"].rpartition("/")[2].partition(".")[0]: told for told in exiftool(sources)}
    for told in exiftool(made):
        name = told["SourceFile"].rpartition("/")[2]
        original = before[re.match(r"p\d+", name)[0]]
        assert not [tag for tag in told if "GPS" in tag or "atitude" in tag], name
        if name.endswith(".exr"):
            assert_exr_says(told, original)
            continue
        wanted = said_by(original)
        assert len(wanted) >= 22, name
        assert {tag: told.get(tag) for tag in wanted} == wanted, name
        ev = float(re.search(r"_ev([+-]\d)", name)[1]) if "_ev" in name else 0.0
        assert seconds(told["ExifIFD:ExposureTime"]) == pytest.approx(
            seconds(original["ExifIFD:ExposureTime"]) * 2**ev, rel=0.02
        )
        assert told["IFD0:Software"] == "hdrgan"
        assert told.get("IFD0:Orientation", "Horizontal (normal)") == "Horizontal (normal)"
        assert "XMP-tiff:Orientation" not in told
        assert "XMP-exif:ExifImageWidth" not in told


def seconds(shown: str | float) -> float:
    return float(Fraction(str(shown)))


EXR_NAMES = {
    "IFD0:Make": "CameraMake",
    "IFD0:Model": "CameraModel",
    "IFD0:Artist": "Artist",
    "IFD0:Copyright": "Copyright",
    "IFD0:ImageDescription": "Description",
    "ExifIFD:DateTimeOriginal": "DateTimeOriginal",
    "ExifIFD:LensModel": "LensModel",
    "ExifIFD:ExposureTime": "ExposureTime",
    "ExifIFD:FNumber": "Aperture",
    "ExifIFD:ISO": "ISO",
}


def assert_exr_says(told: dict, original: dict) -> None:
    """The standard attributes of OpenEXR, under exiftool's names for them, and the whole of XMP."""
    for theirs, ours in EXR_NAMES.items():
        assert told[f"OpenEXR:{ours}"] == original[theirs]
    for value in (original["XMP-dc:Title"], *original["XMP-dc:Subject"], "equirectangular"):
        assert value in told["OpenEXR:Xmp"]


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jpg", "png", "tiff"])
def test_the_position_goes_along_when_asked(format, tmp_path):
    path = tmp_path / "p.jpg"
    path.write_bytes(rich_jpeg("a"))
    made = result_of(load_photo(path)).save(tmp_path, format=format, hdr=("ultrahdr", "exr", "hdr"), keep_gps=True)
    told = {entry["SourceFile"].rpartition("/")[2]: entry for entry in exiftool([path, *made])}
    for name, entry in told.items():
        if name.endswith((".exr", ".hdr")):
            continue
        assert entry["GPS:GPSLatitude"] == told["p.jpg"]["GPS:GPSLatitude"], name
        assert "XMP-exif:GPSLatitude" in entry, name
    assert b"latitude" in (tmp_path / "p.exr").read_bytes()
    assert b"GPS=48.1366667 48.1366667" in (tmp_path / "p.hdr").read_bytes()
    plain = result_of(load_photo(path)).save_hdr(tmp_path / "plain", ("exr", "hdr"))
    assert not any(b"atitude" in file.read_bytes() or b"GPS" in file.read_bytes() for file in plain)


def test_exr_and_hdr_say_what_took_the_photo(tmp_path):
    path = tmp_path / "p.jpg"
    path.write_bytes(rich_jpeg("a"))
    made = exr_making(load_photo(path).exif)
    assert made["cameraModel"] == "Model 7"
    assert made["expTime"] == pytest.approx(1 / 250)
    assert made["aperture"] == pytest.approx(2.8)
    assert made["owner"] == "a copyright"
    result_of(load_photo(path)).save_hdr(tmp_path, ("exr", "hdr"))
    import OpenEXR

    header = OpenEXR.File(str(tmp_path / "p.exr")).header()
    assert header["expTime"] == pytest.approx(1 / 250)
    assert "equirectangular" in header["xmp"]
    assert b"CAMERAMODEL=Model 7" in (tmp_path / "p.hdr").read_bytes()


# Where files keep it


def test_xmp_and_exif_are_found_in_every_carrier():
    image, packet, exif = Image.fromarray(picture()), xmp_packet("a"), rich_exif("a")
    carriers = {
        "PNG": insert_png_chunk(saved(image, "PNG", exif=exif), b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet),
        "WEBP": saved(image, "WEBP", xmp=packet, exif=exif),
        "AVIF": saved(image, "AVIF", xmp=packet, exif=exif),
        "TIFF": saved(image, "TIFF", tiffinfo={700: packet, 271: "Maker"}),
        "JPEG": saved(image, "JPEG", xmp=packet, exif=exif),
    }
    for kind, data in carriers.items():
        photo = load_photo(data)
        assert b"equirectangular" in (photo.xmp or b""), kind
        assert photo.exif[271] == "Maker", kind


def test_iptc_of_tiff_is_read_in_whatever_order_its_bytes_are():
    records = iptc_records("größer")
    filled = records + b"\0" * (-len(records) % 4)
    for order in "<>":
        assert iptc_of_longs(struct.unpack(f"{order}{len(filled) // 4}I", filled)) == records
    for wrong in ((), (0,), (0x1C025000, 0x7FFF0000)):
        assert iptc_of_longs(wrong) is None


def test_exif_of_imagemagick_in_png_is_read():
    block = camera_exif(6).tobytes()
    for name, head in ((b"zTXt", b"\0\0"), (b"tEXt", b"\0")):
        text = zlib.decompress(raw_profile("exif", block).split(b"\0\0", 1)[1])
        body = b"Raw profile type exif" + head + (zlib.compress(text) if name == b"zTXt" else text)
        photo = load_photo(insert_png_chunk(saved(Image.fromarray(picture()), "PNG"), name, body))
        assert (photo.width, photo.height) == (picture().shape[0], picture().shape[1]), "turned"
        assert photo.exif[271] == "Maker"
    assert read_raw_profile(b"\nexif\n  9999999\n00\n") is None
    assert read_raw_profile(b"nothing") is None


def test_latin_1_and_two_texts_of_copyright():
    exif = Image.Exif()
    exif[315] = "x"
    block = bytearray(exif.tobytes())
    name = "© José Müller".encode("latin-1")

    def with_text(raw: bytes) -> bytes:
        return b"II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 33432, 2, len(raw), 26) + b"\0\0\0\0" + raw

    assert read_exif(with_text(name + b"\0"))[33432] == "© José Müller"
    assert read_exif(with_text("© José".encode() + b"\0"))[33432] == "© José"
    both = read_exif(with_text(b"photographer\0editor\0"))
    assert both[33432] == "photographer\0editor"
    again = bracket_exif(both, (4, 4), 0.0)
    assert b"photographer\0editor\0" in again
    assert exr_making(both)["copyright"] == "photographer / editor"
    assert block


@pytest.mark.parametrize(("apex", "seconds"), [(8, 1 / 256), (-2, 4), (0, 1)])
def test_exposure_time_from_shutter_speed(apex, seconds):
    exif = Image.Exif()
    exif[271] = "Maker"
    exif.get_ifd(0x8769)[37377] = IFDRational(apex, 1)
    block = bracket_exif(read_exif(exif.tobytes()), (4, 4), 1.0)
    found = Image.Exif()
    found.load(block)
    assert float(found.get_ifd(0x8769)[33434]) == pytest.approx(2 * seconds)


# What is not handed on


def test_of_xmp_only_what_is_still_true_is_kept():
    packet = xmp_packet("a").replace(
        b"xmlns:GPano",
        b'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:GainMapMax="3"'
        b' xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" aux:SerialNumber="S1234567" xmlns:GPano',
        1,
    )
    kept = kept_xmp(packet)
    for gone in (b"GainMapMax", b"S1234567", b"GPSLatitude", b"Orientation", b"9999"):
        assert gone not in kept
    assert b"GPSLatitude" in kept_xmp(packet, keep_gps=True)
    assert "Bäume".encode() in kept


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"<rdf:RDF",
        b"<rdf:RDF></rdf:RDF>",
        b'<!DOCTYPE x [<!ENTITY a "aaaa">]><rdf:RDF xmlns:rdf="r">&a;</rdf:RDF>',
        b"\xff\xfe<rdf:RDF\0</rdf:RDF>",
        b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description/></rdf:RDF>',
    ],
)
def test_broken_xmp_does_no_harm(packet):
    assert kept_xmp(packet) is None


def test_broken_iptc_does_no_harm():
    good = photoshop_resources(iptc_records("a"))
    assert kept_iptc(good) == iptc_records("a")
    assert kept_iptc(b"8BIM\x03\xed\0\0\0\0\0\x02ab" + good) == iptc_records("a"), "behind another resource"
    for cut in range(0, len(good) - 2):
        assert kept_iptc(good[:cut]) is None
    assert kept_iptc(None) is None


# Opacity


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("format", ["png", "tiff"])
def test_opacity_is_kept(format, deep, tmp_path):
    pixels = picture()
    alpha = np.tile(np.linspace(0, 255, pixels.shape[1]).astype(np.uint8), (pixels.shape[0], 1))
    rgba = np.concatenate([pixels, alpha[..., None]], 2)
    stream = io.BytesIO()
    if deep:
        import imagecodecs

        stream.write(imagecodecs.png_encode(rgba.astype(np.uint16) * 257))
    else:
        Image.fromarray(rgba).save(stream, "PNG")
    photo = load_photo(stream.getvalue())
    frame = result_of(photo).save(tmp_path, format=format, hdr=("exr",))[0]
    again = load_photo(frame)
    assert np.array_equal(again.alpha, photo.alpha)
    assert np.abs(again.pixels.astype(int) - photo.pixels).max() <= (257 if deep else 1)
    import OpenEXR

    channels = OpenEXR.File(str(tmp_path / "photo.exr"), separate_channels=True).channels()
    assert np.allclose(channels["A"].pixels, alpha / 255, atol=1e-3)
    assert channels["R"].pixels[:, 0].max() == 0, "on black where there is nothing"
