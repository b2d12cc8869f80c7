"""Small photo and radiance files of every kind the loaders know, made from nothing, for tests and the fuzzer."""

from __future__ import annotations

import io
import struct
import zlib

import imagecodecs
import numpy as np
import OpenEXR
from PIL import Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

HEIGHT, WIDTH = 40, 56


def picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A smooth colourful picture without symmetry, so that every turn of it is different: (H, W, 3) uint8."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    y, x = y / max(1, height - 1), x / max(1, width - 1)
    colours = np.stack([0.1 + 0.8 * x, 0.9 - 0.7 * y, 0.2 + 0.6 * x * y], -1)
    colours[: height // 4, : width // 4] = (0.95, 0.1, 0.1)
    return np.round(colours * 255).astype(np.uint8)


def deep_picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """The same with a ramp below 8 bits: (H, W, 3) uint16."""
    fine = np.arange(height * width, dtype=np.uint32).reshape(height, width, 1) % 257
    return (picture(height, width).astype(np.uint32) * 256 + fine).clip(0, 65535).astype(np.uint16)


def camera_exif(orientation: int | None = None, gps: bool = False) -> Image.Exif:
    """EXIF as a camera writes it."""
    exif = Image.Exif()
    exif[271], exif[272], exif[306] = "Maker", "Model 7", "2024:05:06 07:08:09"
    if orientation is not None:
        exif[274] = orientation
    detail = exif.get_ifd(0x8769)
    detail[33434], detail[33437], detail[34855] = IFDRational(1, 250), IFDRational(28, 10), 200
    detail[36867], detail[37386], detail[37500] = "2024:05:06 07:08:09", IFDRational(35), b"maker's secret note"
    if gps:
        degrees = (IFDRational(48), IFDRational(8), IFDRational(12))
        exif.get_ifd(0x8825).update({1: "N", 2: degrees, 3: "E", 4: degrees})
    return exif


def profile(name: str) -> bytes:
    """An ICC profile: "p3", "adobe", "swapped" (green, blue, red), "gray18", "linear" or "srgb"."""
    primaries = {
        "p3": (0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
        "adobe": (0.64, 0.33, 0.21, 0.71, 0.15, 0.06),
        "swapped": (0.30, 0.60, 0.15, 0.06, 0.64, 0.33),
        "linear": (0.64, 0.33, 0.30, 0.60, 0.15, 0.06),
    }
    gamma = {"p3": 2.2, "adobe": 563 / 256, "swapped": 2.2, "gray18": 1.8, "linear": 1.0}
    white = (0.3127, 0.3290, 1.0)
    if name == "srgb":
        return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    if name == "gray18":
        return bytes(imagecodecs.cms_profile("gray", whitepoint=white, gamma=1.8))
    return bytes(imagecodecs.cms_profile("rgb", whitepoint=white, primaries=primaries[name], gamma=gamma[name]))


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """The bytes of a file that Pillow saves."""
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def png_chunk(name: bytes, body: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def insert_png_chunk(data: bytes, name: bytes, body: bytes) -> bytes:
    """A PNG with one more chunk right behind its header."""
    return data[:33] + png_chunk(name, body) + data[33:]


def animated_webp() -> bytes:
    """Two frames on one canvas."""
    frames = [Image.fromarray(picture()), Image.fromarray(picture()[::-1].copy())]
    return saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True)


def run_length_bmp() -> bytes:
    """An RLE8 bitmap of 4 x 3 pixels: runs, a literal, ends of lines, and a jump."""
    palette = b"".join(bytes([k * 40, k * 20, k * 10, 0]) for k in range(4))
    codes = bytes([4, 1, 0, 0]) + bytes([0, 3, 1, 2, 3, 0, 1, 2, 0, 0]) + bytes([1, 3, 0, 2, 1, 0, 2, 2, 0, 1])
    offset = 54 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", offset + len(codes), 0, 0, offset)
    return head + struct.pack("<IiiHHIIiiII", 40, 4, 3, 1, 8, 1, len(codes), 0, 0, 4, 0) + palette + codes


def photos() -> dict[str, bytes]:
    """A file of every kind that `load_photo` takes."""
    image, pixels, deep = Image.fromarray(picture()), picture(), deep_picture()
    grey = image.convert("L")
    alpha = image.copy()
    alpha.putalpha(Image.fromarray(np.linspace(0, 255, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.uint8)))
    exif = camera_exif(6, gps=True).tobytes()
    files = {
        "baseline.jpg": saved(image, "JPEG", quality=90, exif=exif, icc_profile=profile("p3")),
        "progressive.jpg": saved(image, "JPEG", quality=80, progressive=True),
        "cmyk.jpg": saved(image.convert("CMYK"), "JPEG", quality=90),
        "grey.jpg": saved(grey, "JPEG", icc_profile=profile("gray18")),
        "several.jpg": saved(image, "MPO", save_all=True, append_images=[grey.convert("RGB")]),
        "rgb.png": saved(image, "PNG", exif=exif, icc_profile=profile("adobe")),
        "deep.png": imagecodecs.png_encode(deep),
        "palette.png": saved(image.quantize(16), "PNG", transparency=3),
        "bilevel.png": saved(grey.convert("1"), "PNG"),
        "lossy.webp": saved(image, "WEBP", exif=exif, icc_profile=profile("p3")),
        "alpha.webp": saved(alpha, "WEBP", quality=70),
        "lossless.webp": saved(alpha, "WEBP", lossless=True),
        "animated.webp": animated_webp(),
        "eight.avif": saved(image, "AVIF", quality=80, exif=exif),
        "ten.avif": imagecodecs.avif_encode(deep >> 6, level=90, bitspersample=10),
        "one.gif": saved(image.quantize(32), "GIF"),
        "animated.gif": saved(grey, "GIF", save_all=True, append_images=[grey.transpose(0)]),
        "plain.bmp": saved(image, "BMP"),
        "palette.bmp": saved(image.quantize(200), "BMP"),
        "runs.bmp": run_length_bmp(),
    }
    for compression in ("raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        files[f"{compression}.tif"] = saved(image, "TIFF", compression=compression, exif=camera_exif(3))
    files["bilevel.tif"] = saved(grey.convert("1"), "TIFF", compression="group4")
    files["cmyk.tif"] = saved(image.convert("CMYK"), "TIFF", compression="tiff_lzw")
    files["deep.tif"] = deep_tiff(deep)
    files["heic.heic"] = heic(pixels)
    return files


def deep_tiff(pixels: np.ndarray, tile: int | None = None) -> bytes:
    """An uncompressed big-endian 16-bit RGB TIFF in one strip, or in square tiles."""
    height, width, channels = pixels.shape
    if tile:
        padded = np.zeros((-(-height // tile) * tile, -(-width // tile) * tile, channels), pixels.dtype)
        padded[:height, :width] = pixels
        blocks = [
            padded[y : y + tile, x : x + tile].astype(">u2").tobytes()
            for y in range(0, padded.shape[0], tile)
            for x in range(0, padded.shape[1], tile)
        ]
    else:
        blocks = [pixels.astype(">u2").tobytes()]
    fields = [(256, 4, [width]), (257, 4, [height]), (258, 3, [16] * channels), (259, 3, [1]), (262, 3, [2])]
    fields += [(277, 3, [channels]), (284, 3, [1])]
    fields += [(322, 4, [tile]), (323, 4, [tile])] if tile else [(278, 4, [height])]
    fields += [(324 if tile else 273, 4, [0] * len(blocks)), (325 if tile else 279, 4, [len(b) for b in blocks])]
    fields.sort()
    directory, extra = 8, 8 + 2 + 12 * len(fields) + 4
    offset_at = 0
    body, tail = struct.pack(">H", len(fields)), b""
    for tag, kind, values in fields:
        raw = b"".join(struct.pack(">H" if kind == 3 else ">I", v) for v in values)
        if tag in (273, 324):
            offset_at = extra + len(tail) if len(raw) > 4 else directory + len(body) + 8
        if len(raw) > 4:
            body += struct.pack(">HHII", tag, kind, len(values), extra + len(tail))
            tail += raw
        else:
            body += struct.pack(">HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
    data = bytearray(b"MM\0*" + struct.pack(">I", directory) + body + b"\0\0\0\0" + tail)
    starts = np.cumsum([len(data)] + [len(b) for b in blocks])[:-1]
    data[offset_at : offset_at + 4 * len(blocks)] = b"".join(struct.pack(">I", s) for s in starts)
    return bytes(data) + b"".join(blocks)


def heic(pixels: np.ndarray, bits: int = 8) -> bytes:
    """A HEIC of (H, W, 3) uint8, or of uint16 stored in 10 bits."""
    import pillow_heif

    stream = io.BytesIO()
    height, width = pixels.shape[:2]
    pillow_heif.encode("RGB" if bits == 8 else "RGB;16", (width, height), pixels.tobytes(), stream, quality=95)
    return stream.getvalue()


def light(height: int = 24, width: int = 40) -> np.ndarray:
    """Radiance over eleven stops without symmetry: (H, W, 3) float32."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    x, y = x / width, y / height
    exponent = np.stack([10 * x - 6, 9 * y - 5, 3 * x + 4 * y - 4], -1)
    return np.exp2(exponent).astype(np.float32)


def exr(channels: dict[str, np.ndarray], compression: int | None = None, **header) -> bytes:
    """An OpenEXR file written by the library."""
    stream = io.BytesIO()
    options = {"compression": OpenEXR.ZIP_COMPRESSION if compression is None else compression}
    options |= {"type": OpenEXR.scanlineimage} | header
    OpenEXR.File(options, {k: np.ascontiguousarray(v) for k, v in channels.items()}).write(stream)
    return stream.getvalue()


def planes(radiance: np.ndarray, dtype=np.float16, names: str = "RGB") -> dict[str, np.ndarray]:
    """The channels of (H, W, 3)."""
    return {name: radiance[..., k].astype(dtype) for k, name in enumerate(names)}


def hdr(rgbe: np.ndarray, resolution: str = "-Y {h} +X {w}", header: str = "", kind: str = "rgbe") -> bytes:
    """A flat .hdr of (lines, pixels, 4) bytes."""
    lines, pixels = rgbe.shape[:2]
    text = f"#?RADIANCE\n{header}FORMAT=32-bit_rle_{kind}\n\n" + resolution.format(h=lines, w=pixels) + "\n"
    return text.encode() + rgbe.astype(np.uint8).tobytes()


def flat_rgbe(radiance: np.ndarray) -> np.ndarray:
    """(H, W, 4) shared-exponent bytes, by the definition."""
    brightest = radiance.max(-1)
    exponent = np.ceil(np.log2(np.maximum(brightest, 1e-30)) + 1e-6).astype(int)
    mantissa = np.floor(radiance / np.exp2(exponent)[..., None] * 256)
    return np.concatenate([mantissa.clip(0, 255), exponent[..., None] + 128], -1).astype(np.uint8)


def radiance_files() -> dict[str, bytes]:
    """A file of every kind that `load_radiance` takes."""
    lit = light()
    runs = imagecodecs.rgbe_encode(lit)
    return {
        "runs.hdr": bytes(runs),
        "flat.hdr": hdr(flat_rgbe(lit), header="EXPOSURE=0.5\n"),
        "xyz.hdr": hdr(flat_rgbe(lit), "+Y {h} -X {w}", kind="xyze"),
        "old.hdr": hdr(np.array([[[9, 8, 7, 128], [1, 1, 1, 4], [3, 2, 1, 129]]]), "-Y 2 +X 3"),
        "zip.exr": exr(planes(lit)),
        "piz.exr": exr(planes(lit, np.float32), OpenEXR.PIZ_COMPRESSION),
        "dwa.exr": exr(planes(lit), OpenEXR.DWAA_COMPRESSION),
        "b44.exr": exr(planes(lit), OpenEXR.B44_COMPRESSION),
        "none.exr": exr({"Y": lit[..., 0].astype(np.float16)}, OpenEXR.NO_COMPRESSION),
        "tiled.exr": exr(planes(lit), type=OpenEXR.tiledimage, tiles=OpenEXR.TileDescription()),
    }


def float_tiffs() -> dict[str, bytes]:
    """Floating-point TIFFs of 16 and 32 bits."""
    lit = light()
    return {
        "single.tif": bytes(imagecodecs.tiff_encode(lit, photometric="rgb")),
        "half.tif": bytes(imagecodecs.tiff_encode(lit.astype(np.float16), photometric="rgb")),
        "deflated.tif": bytes(imagecodecs.tiff_encode(lit, photometric="rgb", compression="deflate")),
    }
