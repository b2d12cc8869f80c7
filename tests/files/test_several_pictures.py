"""Files of one to five pictures, of one size and of different ones: the first is taken, and nothing else happens."""

from __future__ import annotations

import io
import re
import struct
import subprocess
import sys

import gain_map_files as made
import numpy as np
import OpenEXR
import pytest
from photo_files import HEIGHT, WIDTH, light, picture, planes, saved
from PIL import Image

from hdrgan import PhotoError, load_photo
from hdrgan.files.isobmff import boxes
from hdrgan.files.radiance import load_radiance

KINDS = ("AVIF", "HEIC", "WEBP", "GIF", "PNG", "TIFF", "MPO")


def sizes(count: int, equal: bool) -> list[tuple[int, int]]:
    """Height and width of each picture; the first is the largest."""
    return [(HEIGHT, WIDTH) if equal else (HEIGHT - 5 * k, WIDTH - 9 * k) for k in range(count)]


def several(kind: str, count: int, equal: bool) -> bytes:
    """A file of so many pictures, each with its colours rolled on."""
    frames = [
        Image.fromarray(np.roll(picture(), 9 * k, 1)[:height, :width].copy())
        for k, (height, width) in enumerate(sizes(count, equal))
    ]
    if kind == "HEIC":
        import pillow_heif

        file, stream = pillow_heif.HeifFile(), io.BytesIO()
        for frame in frames:
            file.add_from_pillow(frame)
        file.save(stream, quality=98)
        return stream.getvalue()
    if kind == "AVIF" and not equal:
        # Frames of a sequence are of one size; a picture and what belongs to it need not be.
        first, *others = (made.avif(np.asarray(frame)) for frame in frames)
        return made.muxed(first, others[-1], auxiliary="urn:another") if others else first
    options = {"AVIF": {"quality": 98}, "WEBP": {"lossless": True}, "MPO": {"quality": 98}}.get(kind, {})
    if not equal and kind in ("WEBP", "GIF"):  # frames of these are laid on the canvas of the first
        frames = [Image.new("RGB", (WIDTH, HEIGHT)) if k else frame for k, frame in enumerate(frames)]
        for k, (height, width) in enumerate(sizes(count, equal)[1:], 1):
            frames[k].paste(Image.fromarray(picture()[:height, :width].copy()), (k, k))
    return saved(frames[0], kind, save_all=count > 1, **({"append_images": frames[1:]} if count > 1 else {}), **options)


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "unequal"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("kind", KINDS)
def test_the_first_is_taken(kind, count, equal):
    found = load_photo(several(kind, count, equal)).pixels
    assert found.shape == picture().shape
    assert np.abs(found.astype(int) - picture()).mean() < 8  # a palette, or the loss of a codec


@pytest.mark.parametrize("kind", KINDS)
def test_it_costs_no_process(kind, root):
    """A codec that writes all frames into room for one; in a process of its own, so that a crash is seen as one."""
    code = (
        "import sys; sys.path[:0] = ['tests/helpers', 'tests/files', '.']\n"
        "from test_several_pictures import several\nfrom hdrgan import load_photo\n"
        f"files = [several({kind!r}, count, equal) for count in range(1, 6) for equal in (True, False)]\n"
        "for _ in range(20):\n    for data in files: load_photo(data)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=root, check=False).returncode == 0


def without_still(data: bytes) -> bytes:
    """A sequence of pictures alone, without the one that stands for it."""
    patched = bytearray(data)
    for name, start, _ in boxes(data, 0, len(data), "AVIF"):
        if name == b"meta":
            patched[start - 4 : start] = b"free"
    renamed = {b"avif": b"avis", b"mif1": b"msf1", b"heic": b"hevc"}
    for at in (8, *range(16, int.from_bytes(data[:4], "big"), 4)):
        patched[at : at + 4] = renamed.get(data[at : at + 4], data[at : at + 4])
    return bytes(patched)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_of_a_sequence_without_a_still_picture_the_first_frame_is_taken(count):
    data = without_still(several("AVIF", count, True))
    assert b"meta" not in [name for name, _, _ in boxes(data, 0, len(data), "AVIF")]
    found = load_photo(data).pixels
    assert found.shape == picture().shape
    assert np.abs(found.astype(int) - picture()).mean() < 8


def test_a_heic_sequence_is_its_still_picture_or_refused():
    """Its tracks are never followed: these are none."""
    still = several("HEIC", 1, True)
    track = struct.pack(">I4s", 16, b"trak") + b"\xff" * 8
    head = int.from_bytes(still[:4], "big")
    brands = b"hevc" + still[12:head].replace(b"mif1", b"msf1")
    data = still[:8] + brands + still[head:] + struct.pack(">I4s", 8 + len(track), b"moov") + track
    assert np.array_equal(load_photo(data).pixels, load_photo(still).pixels)
    with pytest.raises(PhotoError) as error:
        load_photo(without_still(data))
    assert re.fullmatch(r"[^\n]+\.", str(error.value))


@pytest.mark.parametrize("equal", [True, False], ids=["equal", "unequal"])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_of_the_parts_of_an_exr_the_first_with_colours_is_taken(count, equal, tmp_path):
    lit = light(HEIGHT, WIDTH)
    options = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    options["displayWindow"] = (np.array([0, 0], np.int32), np.array([WIDTH - 1, HEIGHT - 1], np.int32))
    parts = []
    for k, (height, width) in enumerate(sizes(count, equal)):
        seen = {name: plane[:height, :width].copy() for name, plane in planes(lit / (k + 1), np.float32).items()}
        parts.append(OpenEXR.Part(options | {"name": f"part {k}"}, seen))
    path = tmp_path / "parts.exr"
    OpenEXR.File(parts).write(str(path))
    assert np.array_equal(load_radiance(path), lit)
    assert np.array_equal(load_photo(path, scenes=True).light, lit)
