"""Photos that say a lot of themselves, in every format that can."""

from __future__ import annotations

import io
import struct
import subprocess
import tempfile
from pathlib import Path

from gain_map_files import segment, with_segments
from photo_files import camera_exif, insert_png_chunk, picture, saved
from PIL import Image

from hdrgan.files.xmp_iptc import photoshop_resources, raw_profile

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
    # As bytes, because Pillow writes nothing but ASCII.
    exif[270], exif[315], exif[33432] = (f"{words} {what}".encode() for what in ("description", "artist", "copyright"))
    exif[18246] = 4
    detail = exif.get_ifd(0x8769)
    detail[42036], detail[34850], detail[37383] = "Lens 35 mm", 2, 5
    detail[37521] = "123"
    return exif


def rich_jpeg(words: str) -> bytes:
    base = saved(Image.fromarray(picture()), "JPEG", quality=95, exif=rich_exif(words))
    xmp = segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp_packet(words))
    return with_segments(base, xmp, segment(0xED, b"Photoshop 3.0\0" + photoshop_resources(iptc_records(words))))


def rich_photo(kind: str, words: str) -> bytes:
    """A photo of one of `KINDS` that says all that its format can hold."""
    image, exif, packet = Image.fromarray(picture()), rich_exif(words), xmp_packet(words)
    if kind == "jpg":
        return rich_jpeg(words)
    if kind == "png":
        data = saved(image, "PNG", exif=exif)
        data = insert_png_chunk(data, b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet)
        iptc = raw_profile("iptc", photoshop_resources(iptc_records(words)))
        return insert_png_chunk(data, b"zTXt", iptc)
    if kind == "tif":  # whose EXIF Pillow leaves out
        with tempfile.TemporaryDirectory() as folder:
            source, path = Path(folder) / "a.jpg", Path(folder) / "a.tif"
            source.write_bytes(rich_jpeg(words))
            path.write_bytes(saved(image, "TIFF", compression="tiff_lzw"))
            copied = ["-all:all", "-unsafe", "-iptc:all", "-xmp:all", "-codedcharacterset=utf8"]
            command = ["exiftool", "-q", "-overwrite_original", "-tagsfromfile", str(source), *copied, str(path)]
            subprocess.run(command, check=True)
            return path.read_bytes()
    if kind == "heic":
        import pillow_heif

        stream = io.BytesIO()
        pillow_heif.from_pillow(image).save(stream, exif=exif.tobytes(), xmp=packet, quality=95)
        return stream.getvalue()
    return saved(image, {"webp": "WEBP", "avif": "AVIF"}[kind], xmp=packet, exif=exif)


KINDS = ("jpg", "png", "tif", "webp", "avif", "heic")
