"""What a photo says of itself is said by all that is made of it: read back by exiftool, which is not ours."""

from __future__ import annotations

import io
import json
import re
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
from gain_map_files import segment, with_segments
from photo_files import camera_exif, insert_png_chunk, picture, saved
from PIL import Image
from PIL.TiffImagePlugin import IFDRational

from hdrgan import Result, load_photo
from hdrgan.files.exif import bracket_exif, exr_making, read_exif
from hdrgan.files.metadata import kept_iptc, kept_xmp, photoshop_resources, raw_profile, read_raw_profile
from hdrgan.light.radiometry import srgb_curve
from hdrgan.light.recorded import recorded_only

GPANO = "http://ns.google.com/photos/1.0/panorama/"


def xmp_packet(words: str, position: bool = True) -> bytes:
    gps = ' exif:GPSLatitude="59,20.0N" exif:GPSLongitude="18,3.0E"' if position else ""
    return (
        '<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""'
        ' xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/"'
        ' xmlns:exif="http://ns.adobe.com/exif/1.0/" xmlns:tiff="http://ns.adobe.com/tiff/1.0/"'
        f' xmlns:GPano="{GPANO}" GPano:ProjectionType="equirectangular" GPano:FullPanoWidthPixels="56"'
        f' xmp:Rating="4" tiff:Orientation="6" exif:PixelXDimension="9999"{gps}>'
        f"<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>{words} title</rdf:li></rdf:Alt></dc:title>"
        f"<dc:creator><rdf:Seq><rdf:li>{words} creator</rdf:li></rdf:Seq></dc:creator>"
        f"<dc:rights><rdf:Alt><rdf:li xml:lang='x-default'>{words} rights</rdf:li></rdf:Alt></dc:rights>"
        "<dc:subject><rdf:Bag><rdf:li>tree</rdf:li><rdf:li>Bäume</rdf:li></rdf:Bag></dc:subject>"
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def iptc_records(words: str) -> bytes:
    fields = [(80, f"{words} by"), (116, f"{words} notice"), (25, "tree"), (120, f"{words} caption")]
    body = b"\x1c\x01\x5a\0\x03\x1b%G"  # in UTF-8
    for number, text in fields:
        raw = text.encode()
        body += struct.pack(">BBBH", 0x1C, 2, number, len(raw)) + raw
    return body


def rich_exif(words: str) -> Image.Exif:
    exif = camera_exif(gps=True)
    exif[270], exif[315], exif[33432] = f"{words} description", f"{words} artist", f"{words} copyright"
    exif[18246] = 4
    detail = exif.get_ifd(0x8769)
    detail[42036], detail[34850], detail[37383] = "Lens 35 mm", 2, 5
    detail[37521] = "123"
    return exif


def rich_jpeg(words: str) -> bytes:
    base = saved(Image.fromarray(picture()), "JPEG", quality=95, exif=rich_exif(words))
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(words))
    return with_segments(base, xmp, segment(0xED, b"Photoshop 3.0\0" + photoshop_resources(iptc_records(words))))


def result_of(photo) -> Result:
    """A result without a network: its light is twice the photo."""
    curve = srgb_curve().numpy()
    light = curve[np.asarray(photo)] * np.float32(2)
    return Result.of(photo, (0.0, 2.0), recorded_only(photo.pixels, light, curve))


def exiftool(paths) -> dict[str, dict]:
    command = ["exiftool", "-json", "-G1", "-struct", "-charset", "iptc=utf8", *map(str, paths)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {entry["SourceFile"].rpartition("/")[2]: entry for entry in told}


WANTED = (
    "IFD0:Make IFD0:Model IFD0:ImageDescription IFD0:Artist IFD0:Copyright ExifIFD:DateTimeOriginal ExifIFD:FNumber "
    "ExifIFD:ISO ExifIFD:LensModel ExifIFD:FocalLength ExifIFD:ExposureProgram ExifIFD:MeteringMode "
    "XMP-dc:Title XMP-dc:Creator XMP-dc:Rights XMP-dc:Subject XMP-xmp:Rating XMP-GPano:ProjectionType "
    "XMP-GPano:FullPanoWidthPixels IPTC:By-line IPTC:CopyrightNotice IPTC:Keywords IPTC:Caption-Abstract"
).split()


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jpg", "png", "tiff"])
def test_exiftool_shows_of_every_output_what_it_shows_of_the_photo(format, tmp_path):
    assert shutil.which("exiftool"), "install libimage-exiftool-perl"
    sources, made = [], []
    for k in range(14):  # in three formats and with the Ultra HDR: more than 40 files
        words = ["plain", "größer", "日本", "x" * 150][k % 4] + str(k)
        source = tmp_path / f"p{k}.jpg"
        source.write_bytes(rich_jpeg(words))
        sources.append(source)
        made += result_of(load_photo(source)).save(tmp_path / "out", format=format, hdr=("ultrahdr",))
    before, after = exiftool(sources), exiftool(made)
    for name, told in after.items():
        original = before[re.match(r"p\d+", name)[0] + ".jpg"]
        for tag in WANTED:
            assert told.get(tag) == original[tag], (name, tag)
        assert told["IFD0:Software"] == "hdrgan"
        assert not [tag for tag in told if "GPS" in tag or "Latitude" in tag], name
        assert told.get("IFD0:Orientation", "Horizontal (normal)") == "Horizontal (normal)"
        assert "XMP-tiff:Orientation" not in told
        assert "XMP-exif:ExifImageWidth" not in told


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jpg", "png", "tiff"])
def test_the_position_goes_along_when_asked(format, tmp_path):
    path = tmp_path / "p.jpg"
    path.write_bytes(rich_jpeg("a"))
    made = result_of(load_photo(path)).save(tmp_path, format=format, hdr=("ultrahdr", "exr", "hdr"), keep_gps=True)
    told = exiftool([path, *made])
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
