"""A decoder that crashes costs one photo; what a batch reads is what `load_photo` reads."""

import json
import struct

import gain_map_files
import numpy as np
import photo_files
import pytest
import raw_files
from PIL import Image

from hdrgan.batch.budget import megapixels_of
from hdrgan.batch.reading import read_photo
from hdrgan.files import guarded
from hdrgan.files.kinds import is_risky
from hdrgan.files.photo import load_photo
from hdrgan.files.radiance import load_radiance

# The process that decodes imports this as it starts: a file with this word in it is one that finds a flaw.
FLAW = """
import os, signal
import imagecodecs

sound = imagecodecs.avif_decode

def avif_decode(data, **options):
    if b"find the flaw" in bytes(data):
        os.kill(os.getpid(), signal.SIGSEGV)
    return sound(data, **options)

imagecodecs.avif_decode = avif_decode
"""


@pytest.fixture(autouse=True)
def _no_worker_is_left_behind():
    yield
    guarded.close_decoders()


def test_a_decoder_that_crashes_costs_one_photo(hdrgan, make_photo, tmp_path):
    files = photo_files.photos()
    make_photo(tmp_path / "in/a.jpg")
    (tmp_path / "in/c.avif").write_bytes(files["eight.avif"])
    (tmp_path / "in/d.heic").write_bytes(files["heic.heic"])
    bad = tmp_path / "in/b.avif"
    bad.write_bytes(files["eight.avif"] + struct.pack(">I4s", 21, b"free") + b"find the flaw")
    (tmp_path / "path").mkdir()
    (tmp_path / "path/sitecustomize.py").write_text(FLAW)
    command = ("reconstruct", tmp_path / "in", "--hdr", "hdr", "-o", tmp_path / "out", "--json")
    done = hdrgan(*command, PYTHONPATH=str(tmp_path / "path"))
    assert done.returncode == 1, done.stderr
    failed = [json.loads(line) for line in (tmp_path / "out/failed.jsonl").read_text().splitlines()]
    assert [line["path"] for line in failed] == [str(bad)]
    assert "The decoder crashed on this file" in failed[0]["reason"]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.hdr")) == ["a.hdr", "c.hdr", "d.hdr"]
    again = hdrgan(*command)
    assert again.returncode == 0, again.stderr
    assert again.stdout.count('"skipped"') == 3
    assert (tmp_path / "out/b.hdr").exists()


def test_what_is_read_is_what_load_photo_reads(tmp_path):
    for name, data in photo_files.photos().items():
        (tmp_path / name).write_bytes(data)
        assert is_risky(data) == name.endswith(("avif", "heic"))
        here, there = load_photo(tmp_path / name), read_photo(tmp_path / name)
        assert np.array_equal(here.pixels, there.pixels)
        assert (here.name, here.format) == (there.name, there.format)


@pytest.mark.parametrize("suffix", [".dng", ".nef", ".jpg", ""])
def test_raw_files_are_risky_by_what_is_in_them(suffix, tmp_path, monkeypatch):
    """Whatever they are called."""
    data = raw_files.dng(raw_files.scene(40, 56))
    (tmp_path / f"x{suffix}").write_bytes(data)
    monkeypatch.setattr("hdrgan.batch.reading.load_photo", None)  # never in this process
    assert read_photo(tmp_path / f"x{suffix}").format == "raw"


@pytest.mark.parametrize(
    ("head", "risky"),
    [
        (b"FUJIFILMCCD-RAW 0201", True),  # .raf
        (b"IIRO\x08\0\0\0", True),  # .orf
        (b"IIRS\x08\0\0\0", True),
        (b"IIU\0\x08\0\0\0", True),  # .rw2
        (b"MMOR\0\0\0\x08", True),
        (b"\0\0\0\x18ftypcrx \0\0\0\x01crx isom", True),  # .cr3
        (b"\0MRM\0\0\0\0", True),  # .mrw
        (b"II\x1a\0\0\0HEAPCCDR", True),  # .crw
        (b"FOVb\0\0\0\0", True),  # .x3f
        (b"II*\0\x10\0\0\0CR\x02\0\0\0\0\0\0\0", True),  # .cr2
        (b"II*\0\x10\0\0\0\0\0\0\0\0\0\0\0\0\0", False),  # a TIFF
        (b"\xff\xd8\xff\xe0", False),
        (b"", False),
    ],
)
def test_the_beginning_of_a_file_says_whether_it_is_risky(head, risky):
    assert is_risky(head.ljust(64, b"\0") if head else head) == risky


def test_the_size_of_risky_files_is_read_from_their_boxes(tmp_path, monkeypatch):
    size = photo_files.WIDTH * photo_files.HEIGHT / 1e6
    files = photo_files.photos()
    monkeypatch.setattr(Image, "open", None)
    # The HEIC is cropped from the 64 x 64 pixels that are decoded.
    for name, megapixels in (("eight.avif", size), ("ten.avif", size), ("heic.heic", 64 * 64 / 1e6)):
        (tmp_path / name).write_bytes(files[name])
        assert megapixels_of(str(tmp_path / name)) == megapixels
    (tmp_path / "x.raf").write_bytes(b"FUJIFILMCCD-RAW " + bytes(30_000_000))
    assert megapixels_of(str(tmp_path / "x.raf")) == pytest.approx(30, abs=0.1)


def test_larger_photos_than_asked_for_are_refused(hdrgan, make_photo, tmp_path):
    make_photo(tmp_path / "in/small.png", size=(30, 20))
    make_photo(tmp_path / "in/large.png", 1, size=(60, 40))
    command = ("reconstruct", tmp_path / "in", "--hdr", "hdr", "-o", tmp_path / "out")
    done = hdrgan(*command, "--max-megapixels", "0.001")
    assert done.returncode == 1
    assert sorted(path.name for path in (tmp_path / "out").glob("*.hdr")) == ["small.hdr"]
    assert "large.png" in done.stderr
    assert "at most 0.001 megapixels" in done.stderr
    done = hdrgan(*command, "--max-megapixels", "0.01")
    assert done.returncode == 0, done.stderr
    assert load_radiance(tmp_path / "out/large.hdr").shape == (40, 60, 3)
    assert hdrgan(*command, "--max-megapixels", "-1").returncode == 2


def test_a_gain_map_is_used_and_ignored_if_asked(hdrgan, tmp_path):
    (tmp_path / "lamps.jpg").write_bytes(gain_map_files.jpeg_with_iso(gain_map_files.scene()))
    command = ("reconstruct", tmp_path / "lamps.jpg", "--hdr", "exr", "-o")
    done = hdrgan(*command, tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    assert "light recorded by the camera: 3.3 stops above white" in done.stderr
    assert load_radiance(tmp_path / "kept/lamps.exr")[36, 90] == pytest.approx([10, 10, 10], rel=0.03)
    done = hdrgan(*command, tmp_path / "ignored", "--ignore-gain-map")
    assert done.returncode == 0, done.stderr
    assert "recorded" not in done.stderr
    ignored = load_radiance(tmp_path / "ignored/lamps.exr")
    assert ignored[30:45, 20:40].mean() == pytest.approx(ignored[30:45, 70:110].mean(), rel=0.5), "no longer 2 and 10"
    # The same command in the same folder answers the other question.
    assert "light recorded" in hdrgan(*command, tmp_path / "ignored", "--overwrite").stderr


def test_a_photo_from_standard_input(hdrgan, make_photo, tmp_path):
    data = make_photo(tmp_path / "x.png").read_bytes()
    done = hdrgan("generate", "-", "--hdr", "hdr", "--evs=0,1", "-o", tmp_path / "out", stdin=data)
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("s*")) == [
        "stdin.hdr",
        "stdin_ev+0.png",
        "stdin_ev+1.png",
    ]
    assert np.array_equal(load_photo(tmp_path / "out/stdin_ev+0.png").pixels, load_photo(data).pixels)
    done = hdrgan("generate", "-", "-o", tmp_path / "out2", stdin=b"this is a letter")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
