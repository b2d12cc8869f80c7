"""Files that record light that is known, made from nothing: gain maps by ISO 21496-1, Adobe and Apple in JPEG, AVIF and
HEIC, and PQ and HLG in PNG, AVIF and HEIC."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
from photo_files import heic, insert_png_chunk, saved
from PIL import Image

from hdrgan.files.transfer import HLG, PQ, hlg_scene, pq_light

OFFSET = 1 / 64
APPLE_HEADROOM = 4.0


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A wall in soft light with lamps of twice and ten times white: (H, W, 3) float32."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    light = (0.3 + 0.2 * np.sin(x / 23) * np.sin(y / 19))[..., None] * np.float32([1, 0.9, 0.8])
    light[height // 4 : height // 2, width // 8 : width // 3] = 2
    light[height // 4 : height // 2, width // 2 : -width // 8] = 10
    return light


def encoded(light: np.ndarray, peak: int = 255) -> np.ndarray:
    """sRGB codes of light, clipped at white."""
    linear = light.clip(0, 1)
    srgb = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.round(srgb * peak).astype(np.uint8 if peak == 255 else np.uint16)


def decoded(codes: np.ndarray) -> np.ndarray:
    """Undo `encoded`."""
    srgb = codes.astype(np.float32) / np.iinfo(codes.dtype).max
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def gains(base: np.ndarray, light: np.ndarray) -> tuple[np.ndarray, float, float]:
    """Codes of the map from linear ``base`` to ``light`` in one channel, with the stops of codes 0 and 255."""
    stops = np.log2((light.max(-1) + OFFSET) / (base.max(-1) + OFFSET))
    low, high = min(float(stops.min()), 0.0), max(float(stops.max()), 0.1)
    return np.round((stops - low) / (high - low) * 255).astype(np.uint8), low, high


def ratio(value: float) -> tuple[int, int]:
    return round(value * 65536), 65536


def iso(low, high, *, base: float = 0.0, alternate: float = 3.32, common: bool = False, channels: int = 1) -> bytes:
    """ISO 21496-1, Annex C, from the version on; ``low`` and ``high`` are of all channels, or one for each."""
    flags = 0x40 | (0x08 if common else 0) | (0x80 if channels == 3 else 0)
    ranges = zip(np.broadcast_to(low, channels), np.broadcast_to(high, channels), strict=True)
    rows = [(float(least), float(most), 1.0, OFFSET, OFFSET) for least, most in ranges]
    if common:
        head = struct.pack(">HHBIII", 0, 0, flags, 65536, round(base * 65536), round(alternate * 65536))
        return head + b"".join(struct.pack(">iiIii", *(round(v * 65536) for v in row)) for row in rows)
    head = struct.pack(">HHBIIII", 0, 0, flags, *ratio(base), *ratio(alternate))
    return head + b"".join(struct.pack(">iIiIIIiIiI", *(n for v in row for n in ratio(v))) for row in rows)


def segment(marker: int, body: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def with_segments(jpeg: bytes, *segments: bytes) -> bytes:
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def xmp(body: str) -> bytes:
    packet = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {body}</rdf:RDF></x:xmpmeta>'
    )
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet.encode())


def jpeg_with_iso(light: np.ndarray, **options) -> bytes:
    """A JPEG followed by its map, described by ISO 21496-1 alone."""
    base = encoded(light)
    codes, low, high = gains(decoded(base), light)
    described = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + iso(low, high, **options))
    return saved(Image.fromarray(base), "JPEG", quality=97, subsampling=0) + with_segments(
        saved(Image.fromarray(codes), "JPEG", quality=97), described
    )


def jpeg_with_three_channels(light: np.ndarray) -> bytes:
    """The same with a map of its own for each channel, each with its own range."""
    base = encoded(light)
    planes = [gains(decoded(base)[..., k : k + 1], light[..., k : k + 1]) for k in range(3)]
    low, high = [plane[1] for plane in planes], [plane[2] for plane in planes]
    described = segment(0xE2, b"urn:iso:std:iso:ts:21496:-1\0" + iso(low, high, channels=3))
    codes = Image.fromarray(np.stack([plane[0] for plane in planes], -1))
    return saved(Image.fromarray(base), "JPEG", quality=97, subsampling=0) + with_segments(
        saved(codes, "JPEG", quality=97, subsampling=0), described
    )


def jpeg_with_hdrgm(light: np.ndarray, *, elements: bool = False, mixed: bool = False) -> bytes:
    """The same, described by Adobe's XMP alone: as attributes, as elements with three values each, or some of both."""
    base = encoded(light)
    codes, low, high = gains(decoded(base), light)
    values = {"GainMapMin": low, "GainMapMax": high, "Gamma": 1, "OffsetSDR": OFFSET, "OffsetHDR": OFFSET}
    head = 'xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"'
    head += f' hdrgm:HDRCapacityMin="0" hdrgm:HDRCapacityMax="{high}"'
    if mixed:  # what has a default may be left out, and one value may stand beside three
        attributes = "".join(f' hdrgm:{k}="{v}"' for k, v in values.items() if k not in ("GainMapMax", "Gamma"))
        body = f"{head}{attributes}><hdrgm:GainMapMax><rdf:Seq>" + f"<rdf:li>{high}</rdf:li>" * 3
        body += "</rdf:Seq></hdrgm:GainMapMax></rdf:Description>"
    elif elements:
        inner = "".join(
            f"<hdrgm:{k}><rdf:Seq>" + f"<rdf:li>{v}</rdf:li>" * 3 + f"</rdf:Seq></hdrgm:{k}>" for k, v in values.items()
        )
        body = f"{head}>{inner}</rdf:Description>"
    else:
        body = head + "".join(f' hdrgm:{k}="{v}"' for k, v in values.items()) + "/>"
    return saved(Image.fromarray(base), "JPEG", quality=97, subsampling=0) + with_segments(
        saved(Image.fromarray(codes), "JPEG", quality=97), xmp(body)
    )


def apple_codes(light: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Base and map by Apple's formula: light = base * (1 + (headroom - 1) * linear map)."""
    base = encoded(light)
    brighter = light.max(-1) / np.maximum(decoded(base).max(-1), 1e-3)
    return base, encoded(((brighter - 1) / (APPLE_HEADROOM - 1)).clip(0, 1))


def apple_exif(*, first: bool = False) -> bytes:
    """EXIF whose maker note gives a headroom of 2 stops: tags 33 and 48, as iPhones write them.

    The ``first`` phones that wrote maps had tag 33 alone, which gives 1.8 stops.
    """
    note = b"Apple iOS\0\0\x01MM" + struct.pack(">H", 1 if first else 2)
    if first:
        note += struct.pack(">HHII", 33, 10, 1, 32) + b"\0\0\0\0" + struct.pack(">ii", 7, 8)
    else:
        note += struct.pack(">HHII", 33, 10, 1, 44) + struct.pack(">HHII", 48, 10, 1, 52) + b"\0\0\0\0"
        note += struct.pack(">iiii", 1, 1, 1, 1)
    exif = Image.Exif()
    exif[271] = "Apple"
    exif.get_ifd(0x8769)[37500] = note
    return exif.tobytes()


def apple_jpeg(light: np.ndarray, *, in_xmp: bool) -> bytes:
    """An iPhone's JPEG: headroom in the map's XMP, or in the maker note (exactly 2 stops: 2.303 - 0.303)."""
    base, codes = apple_codes(light)
    space = 'xmlns:HDRGainMap="http://ns.apple.com/HDRGainMap/1.0/" HDRGainMap:HDRGainMapVersion="65536"'
    more = f' HDRGainMap:HDRGainMapHeadroom="{APPLE_HEADROOM}"' if in_xmp else ""
    first = saved(Image.fromarray(base), "JPEG", quality=97, subsampling=0, exif=b"" if in_xmp else apple_exif())
    return first + with_segments(saved(Image.fromarray(codes), "JPEG", quality=97), xmp(f"{space}{more}/>"))


# AVIF and HEIC


def avif(pixels: np.ndarray, **options) -> bytes:
    return bytes(imagecodecs.avif_encode(pixels, level=98, pixelformat="444", **options))


def box(name: bytes, *bodies: bytes) -> bytes:
    body = b"".join(bodies)
    return struct.pack(">I4s", 8 + len(body), name) + body


def full(name: bytes, version: int, *bodies: bytes, flags: int = 0) -> bytes:
    return box(name, struct.pack(">I", version << 24 | flags), *bodies)


def inside(data: bytes, *path: bytes) -> bytes:
    """The body of a box within boxes, by names."""
    at, end = 0, len(data)
    for name in path:
        while at < end:
            size, found = struct.unpack_from(">I4s", data, at)
            if found == name:
                break
            at += size
        else:
            raise KeyError(name)
        end = at + size
        at += 12 if name == b"meta" else 8
    return data[at:end]


def only_picture(data: bytes) -> tuple[bytes, bytes, list[bytes]]:
    """Kind, coded data and properties (whole boxes) of a file that holds one picture of one extent."""
    infe = inside(data, b"meta", b"iinf")
    kind = b"av01" if b"av01" in infe else b"hvc1"
    assert kind in infe
    coded = inside(data, b"mdat")
    properties, body, at = [], inside(data, b"meta", b"iprp", b"ipco"), 0
    while at < len(body):
        size = struct.unpack_from(">I", body, at)[0]
        properties.append(body[at : at + size])
        at += size
    return kind, coded, properties


def muxed(
    base: bytes, mapped: bytes, *, tmap: bytes | None = None, auxiliary: str | None = None, exif: bytes = b""
) -> bytes:
    """One file of two pictures: the second is the gain map of the first, by a ``tmap`` item or as an auxiliary."""
    kind, first, first_properties = only_picture(base)
    _, second, second_properties = only_picture(mapped)
    if auxiliary:
        second_properties = [*second_properties, full(b"auxC", 0, auxiliary.encode() + b"\0")]
    payloads = [first, second] + ([b"\0" + tmap] if tmap else []) + ([struct.pack(">I", 0) + exif] if exif else [])
    names = [(1, kind, 0), (2, kind, 1)] + ([(3, b"tmap", 0)] if tmap else []) + ([(4, b"Exif", 1)] if exif else [])
    numbers = [number for number, _, _ in names]
    infe = [full(b"infe", 2, struct.pack(">HH4s", n, 0, k), b"\0", flags=hidden) for n, k, hidden in names]
    references = []
    if tmap:
        references.append(box(b"dimg", struct.pack(">HHHH", 3, 2, 1, 2)))
    if auxiliary:
        references.append(box(b"auxl", struct.pack(">HHH", 2, 1, 1)))
    if exif:
        references.append(box(b"cdsc", struct.pack(">HHH", 4, 1, 1)))
    properties = first_properties + second_properties
    lists = {1: range(1, len(first_properties) + 1), 2: range(len(first_properties) + 1, len(properties) + 1)}
    if tmap:
        ispe = next(k for k, p in enumerate(first_properties, 1) if p[4:8] == b"ispe")
        lists[3] = [ispe]
    associations = b"".join(
        struct.pack(">HB", n, len(list(ks)))
        + bytes(k | (0x80 if properties[k - 1][4:8] in (b"av1C", b"hvcC") else 0) for k in ks)
        for n, ks in lists.items()
    )
    brand = b"avif" if kind == b"av01" else b"heic"
    ftyp = box(b"ftyp", brand, b"\0\0\0\0", brand, b"mif1", b"miaf", *([b"tmap"] if tmap else []))

    def meta(start: int) -> bytes:
        iloc, at = b"", start
        for number, payload in zip(numbers, payloads, strict=True):
            iloc += struct.pack(">HHHII", number, 0, 1, at, len(payload))
            at += len(payload)
        return full(
            b"meta",
            0,
            full(b"hdlr", 0, b"\0\0\0\0pict", bytes(13)),
            full(b"pitm", 0, struct.pack(">H", 1)),
            full(b"iloc", 0, struct.pack(">BBH", 0x44, 0, len(numbers)), iloc),
            full(b"iinf", 0, struct.pack(">H", len(infe)), *infe),
            full(b"iref", 0, *references),
            box(b"iprp", box(b"ipco", *properties), full(b"ipma", 0, struct.pack(">I", len(lists)), associations)),
        )

    start = len(ftyp) + len(meta(0)) + 8
    return ftyp + meta(start) + box(b"mdat", *payloads)


def avif_with_map(light: np.ndarray, *, common: bool = False) -> bytes:
    """An AVIF whose SDR picture has a gain map."""
    base = encoded(light)
    codes, low, high = gains(decoded(base), light)
    described = iso(low, high, alternate=high, common=common)
    return muxed(avif(base), avif(np.repeat(codes[..., None], 3, 2)), tmap=described)


def heic_with_map(light: np.ndarray) -> bytes:
    """A HEIC whose SDR picture has a gain map by ISO 21496-1."""
    base = encoded(light)
    codes, low, high = gains(decoded(base), light)
    return muxed(heic(base), heic(np.repeat(codes[..., None], 3, 2)), tmap=iso(low, high, alternate=high))


def apple_heic(light: np.ndarray) -> bytes:
    """An iPhone's HEIC: the map is an auxiliary picture, its headroom in the maker note."""
    base, codes = apple_codes(light)
    auxiliary = "urn:com:apple:photo:2020:aux:hdrgainmap"
    return muxed(heic(base), heic(np.repeat(codes[..., None], 3, 2)), auxiliary=auxiliary, exif=apple_exif())


def pq(light: np.ndarray, most: int) -> np.ndarray:
    """PQ codes of light whose white is 203 cd/m2."""
    y = (light * 203 / 10_000).clip(0, 1) ** (2610 / 16384)
    value = ((3424 / 4096 + 2413 / 128 * y) / (1 + 2392 / 128 * y)) ** (2523 / 32)
    return np.round(value * most).astype(np.uint16)


def hlg(light: np.ndarray, most: int) -> np.ndarray:
    """HLG codes of light whose white is 203 cd/m2 on a screen of 1,000."""
    shown = light * 0.203
    luminance = (shown @ np.float32([0.2627, 0.678, 0.0593]))[..., None]
    scene = (shown * np.maximum(luminance, 1e-6) ** (1 / 1.2 - 1)).clip(0, 1)
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    value = np.where(scene <= 1 / 12, np.sqrt(3 * scene), a * np.log(np.maximum(12 * scene - b, 1e-6)) + c)
    return np.round(value * most).astype(np.uint16)


def deep_png(codes: np.ndarray, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of 16 bits with more chunks behind its header."""
    data = bytes(imagecodecs.png_encode(codes))
    for name, body in chunks:
        data = insert_png_chunk(data, name, body)
    return data


def iccp(icc: bytes) -> tuple[bytes, bytes]:
    """The chunk of a PNG that holds an ICC profile."""
    return b"iCCP", b"any name\0\0" + zlib.compress(icc)


def curve_profile(transfer: int) -> bytes:
    """An ICC profile of Rec. 709 primaries that says PQ or HLG by the curve of its channels alone."""
    codes = np.linspace(0, 1, 4096)
    return _profile(pq_light(codes) / 10_000 if transfer == PQ else hlg_scene(codes))


def tag_profile(transfer: int) -> bytes:
    """An ICC profile with a curve of no meaning, and a cicp tag in place of the copyright, which every profile has."""
    icc = bytearray(_profile(np.linspace(0, 1, 4096) ** 2.2))
    at = icc.index(b"cprt")
    offset = struct.unpack_from(">I", icc, at + 4)[0]
    icc[at : at + 4] = b"cicp"
    icc[offset : offset + 12] = b"cicp\0\0\0\0" + bytes([1, transfer, 0, 1])
    return bytes(icc)


def _profile(samples: np.ndarray) -> bytes:
    return bytes(
        imagecodecs.cms_profile(
            "rgb",
            whitepoint=(0.3127, 0.329, 1.0),
            primaries=[0.64, 0.33, 0.30, 0.60, 0.15, 0.06],
            transferfunction=samples.astype("f4"),
        )
    )


def hdr_heic(codes: np.ndarray, transfer: int, primaries: int = 1) -> bytes:
    """A HEIC of 10-bit codes in PQ or HLG, told by nclx."""
    import pillow_heif

    stream = io.BytesIO()
    image = pillow_heif.from_bytes("RGB;16", codes.shape[1::-1], (codes << 6).tobytes())
    told = {"color_primaries": primaries, "transfer_characteristics": transfer, "matrix_coefficients": 1}
    image.save(stream, quality=98, chroma=444, **told)
    return stream.getvalue()


def hdr_avif_with_map(light: np.ndarray) -> bytes:
    """An AVIF whose PQ picture has a map to its SDR rendition, which is half as bright up to white."""
    base = avif(pq(light, 1023), bitspersample=10, primaries=1, transfer=16, matrix=0)
    shown = (light / 2).clip(0, 1)
    codes, low, high = gains(shown, light)
    described = iso(low, high, base=high, alternate=0.0)
    return muxed(base, avif(np.repeat(codes[..., None], 3, 2)), tmap=described)


def files() -> dict[str, bytes]:
    """A small file of every dialect on every carrier; `rich_photos` has those that say a lot of themselves."""
    light = scene(32, 40)
    dim = np.minimum(light, 4)
    return {
        "iso.jpg": jpeg_with_iso(light),
        "three_channels.jpg": jpeg_with_three_channels(light * np.float32([1, 0.7, 0.4])),
        "adobe.jpg": jpeg_with_hdrgm(light, elements=True),
        "apple_xmp.jpg": apple_jpeg(light, in_xmp=True),
        "apple_note.jpg": apple_jpeg(light, in_xmp=False),
        "iso.avif": avif_with_map(light),
        "hdr_base.avif": hdr_avif_with_map(light),
        "iso.heic": heic_with_map(light),
        "apple.heic": apple_heic(light),
        "pq.png": deep_png(pq(light, 65535), (b"cICP", bytes([9, PQ, 0, 1]))),
        "pq_curve.png": deep_png(pq(light, 65535), iccp(curve_profile(PQ))),
        "pq_tag.png": deep_png(pq(light, 65535), iccp(tag_profile(PQ))),
        "pq.heic": hdr_heic(pq(light, 1023), PQ),
        "hlg.png": deep_png(hlg(dim, 65535), (b"cICP", bytes([9, HLG, 0, 1]))),
        "hlg_curve.png": deep_png(hlg(dim, 65535), iccp(curve_profile(HLG))),
        "hlg.avif": avif(hlg(dim, 1023), bitspersample=10, primaries=9, transfer=HLG, matrix=0),
        "hlg.heic": hdr_heic(hlg(dim, 1023), HLG),
        "animated.avif": animated_avif(),
    }


def animated_avif(count: int = 3) -> bytes:
    """Frames as Pillow writes them, each turned a little."""
    first = Image.new("RGB", (48, 32), "red")
    first.paste((0, 0, 255), (4, 4, 20, 12))
    return saved(
        first, "AVIF", save_all=True, append_images=[first.rotate(20 * k) for k in range(1, count)], quality=90
    )
