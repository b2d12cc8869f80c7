"""XMP and IPTC from a photo for its results: without what would be wrong there, and without private data.

Sources: XMP specification, part 1 and 3; IPTC-IIM 4.2 within Photoshop's image resources; Google's GPano schema.
"""

from __future__ import annotations

import re
import struct
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Sequence
from xml.sax.saxutils import quoteattr

_LARGEST = 60_000  # bytes of a packet that fits the segment of a JPEG
_IPTC_RESOURCE = 0x0404
_RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
_META = "adobe:ns:meta/"
_OURS = "urn:hdrgan:response:1#"
# Namespaces that describe the file the photo came in: its gain map, its parts, its history, its thumbnail.
_OF_THE_FILE = (
    "http://ns.adobe.com/hdr-gain-map/",
    "http://ns.google.com/photos/1.0/container/",
    "http://ns.apple.com/HDRGainMap/",
    "http://ns.apple.com/pixeldatainfo/",
    "http://ns.adobe.com/xmp/note/",
    "http://ns.adobe.com/xap/1.0/mm/",
    "http://ns.adobe.com/xap/1.0/g/img/",
    "http://ns.adobe.com/camera-raw-settings/",
    _OURS,
)
_WRONG_NOW = re.compile(
    r"\{http://ns\.adobe\.com/tiff/1\.0/\}(Orientation|ImageWidth|ImageLength|BitsPerSample|Compression|\w*Resolution\w*)"
    r"|\{http://ns\.adobe\.com/exif/1\.0/\}(Pixel[XY]Dimension|ColorSpace|NativeDigest|MakerNote)"
    r"|\{http://ns\.adobe\.com/photoshop/1\.0/\}(ICCProfile|History|DocumentAncestors|ColorMode)"
    r"|\{http://ns\.adobe\.com/xap/1\.0/\}Thumbnails"
)
_PERSONAL = re.compile(r"serial ?number|ownername|imageuniqueid", re.IGNORECASE)
_POSITION = re.compile(r"gps|latitude|longitude|altitude|geotag|location ?created", re.IGNORECASE)
_PREFIXES = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "xmp": "http://ns.adobe.com/xap/1.0/",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
    "exif": "http://ns.adobe.com/exif/1.0/",
    "aux": "http://ns.adobe.com/exif/1.0/aux/",
    "tiff": "http://ns.adobe.com/tiff/1.0/",
    "GPano": "http://ns.google.com/photos/1.0/panorama/",
    "Iptc4xmpCore": "http://iptc.org/std/Iptc4xmpCore/1.0/xmlns/",
    "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
    "rdf": _RDF,
    "x": _META,
}
for _prefix, _space in _PREFIXES.items():
    ElementTree.register_namespace(_prefix, _space)


def kept_xmp(packet: bytes | None, *, keep_gps: bool = False, more: str = "") -> bytes | None:
    """The part of an XMP packet that is true of what is made of the photo.

    Args:
        packet: as the photo had it.
        keep_gps: whether the position is handed on.
        more: a whole rdf:Description to put beside what is kept.

    Returns:
        A packet of at most 60,000 bytes; None where nothing is left.
    """
    kept = _kept_descriptions(packet, keep_gps)
    inner = "".join(kept)
    if len(inner.encode()) + len(more.encode()) > _LARGEST:
        inner = ""
    if not inner and not more:
        return None
    return xmp_packet(more + inner)


def xmp_packet(descriptions: str) -> bytes:
    """A packet of whole rdf:Descriptions."""
    return (
        f'<x:xmpmeta xmlns:x="{_META}" x:xmptk="hdrgan">\n <rdf:RDF xmlns:rdf="{_RDF}">'
        f"\n  {descriptions}\n </rdf:RDF>\n</x:xmpmeta>"
    ).encode()


def response_xmp(response: str, curve: Sequence[float]) -> str:
    """The response that a picture was made with, as an rdf:Description to put beside what `kept_xmp` keeps.

    Args:
        response: where it comes from.
        curve: linear values of its codes.
    """
    numbers = " ".join(f"{value:.5g}" for value in curve)
    names = f'rdf:about="" xmlns:hdrgan="{_OURS}"'
    return f"<rdf:Description {names} hdrgan:Response={quoteattr(response)} hdrgan:ResponseCurve={quoteattr(numbers)}/>"


def _kept_descriptions(packet: bytes | None, keep_gps: bool) -> list[str]:
    # A document type could declare entities that expand without bound; XMP has none.
    if not packet or len(packet) > 1 << 20 or b"<!DOCTYPE" in packet or b"<!ENTITY" in packet:
        return []
    start, end = packet.find(b"<rdf:RDF"), packet.rfind(b"</rdf:RDF>")
    if start < 0 or end < 0:
        return []
    try:
        root = ElementTree.fromstring(packet[start : end + len(b"</rdf:RDF>")])
    except (ElementTree.ParseError, ValueError, LookupError):
        return []
    found = []
    for description in root.findall(f"{{{_RDF}}}Description"):
        _prune(description, keep_gps)
        left = [name for name in description.attrib if name != f"{{{_RDF}}}about"]
        if left or len(description):
            description.tail = None
            found.append(ElementTree.tostring(description, encoding="unicode"))
    return found


def _prune(element: ElementTree.Element, keep_gps: bool) -> None:
    for name in list(element.attrib):
        if _goes(name, keep_gps):
            del element.attrib[name]
    for child in list(element):
        if _goes(child.tag, keep_gps):
            element.remove(child)
        else:
            _prune(child, keep_gps)


def _goes(name: str, keep_gps: bool) -> bool:
    local = name.rpartition("}")[2]
    of_the_file = name.startswith(tuple("{" + space for space in _OF_THE_FILE))
    return bool(
        of_the_file or _WRONG_NOW.match(name) or _PERSONAL.search(local) or (not keep_gps and _POSITION.search(local))
    )


def kept_iptc(resources: bytes | None) -> bytes | None:
    """The IPTC-IIM records among Photoshop's image resources; None where there are none."""
    if not resources:
        return None
    at = 0
    while at + 12 <= len(resources) and resources[at : at + 4] == b"8BIM":
        kind, name_length = struct.unpack_from(">HB", resources, at + 4)
        at += 6 + (name_length + 2) // 2 * 2
        if at + 4 > len(resources):
            return None
        size = struct.unpack_from(">I", resources, at)[0]
        body = resources[at + 4 : at + 4 + size]
        if kind == _IPTC_RESOURCE:
            return body if len(body) == size and 0 < size <= _LARGEST else None
        at += 4 + (size + 1) // 2 * 2
    return None


def iptc_of_longs(numbers: Sequence[int]) -> bytes | None:
    """IPTC-IIM records that a TIFF file holds as 32-bit numbers, which most of them do; None where they are none.

    The bytes stand in order, or in groups of four turned round, and zeros fill the last group.
    """
    for order in "<>":
        raw = struct.pack(f"{order}{len(numbers)}I", *numbers)
        end = 0
        while raw[end : end + 1] == b"\x1c" and end + 5 <= len(raw):
            end += 5 + struct.unpack_from(">H", raw, end + 3)[0]
        if 0 < end <= len(raw):
            return raw[:end]
    return None


def photoshop_resources(iptc: bytes) -> bytes:
    """IPTC-IIM records as Photoshop's image resources, as JPEG and PNG carry them."""
    return b"8BIM" + struct.pack(">HHI", _IPTC_RESOURCE, 0, len(iptc)) + iptc + b"\0" * (len(iptc) % 2)


def raw_profile(kind: str, body: bytes) -> bytes:
    """The body of a PNG zTXt chunk that holds a block in hexadecimal, as ImageMagick and exiftool write it."""
    digits = body.hex()
    lines = "\n".join(digits[k : k + 72] for k in range(0, len(digits), 72))
    text = f"\n{kind}\n{len(body):8d}\n{lines}\n"
    return f"Raw profile type {kind}".encode() + b"\0\0" + zlib.compress(text.encode("ascii"))


def read_raw_profile(text: bytes) -> bytes | None:
    """Undo `raw_profile`, from the text on; None where it is not one."""
    parts = text.split(b"\n", 3)
    if len(parts) != 4:
        return None
    try:
        size, body = int(parts[2]), bytes.fromhex(parts[3].decode("ascii"))
    except ValueError:
        return None
    return body[:size] if 0 < size <= len(body) else None
