"""Broken files in their thousands: the loaders accept or refuse, and never crash, hang, swell or raise anything else.

The cases run in a process of its own, so that a crash of a decoder is a failure and not the end of the tests. The
variable HDRGAN_FUZZ_SECONDS lengthens the run; the seed is fixed, and a failure names the case to run again:
``python tests/files/test_fuzz_loaders.py KIND SECONDS FIRST_CASE``.
"""

from __future__ import annotations

import faulthandler
import os
import subprocess
import sys
import tempfile
import time
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest

SECONDS = float(os.environ.get("HDRGAN_FUZZ_SECONDS", "16"))
SLOWEST = 10.0  # seconds of processor time for one file
MOST_MEMORY = 700  # megabytes beyond what loading the seeds took


def mutate(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """Break a file in one to four of the ways in which files break, or are broken on purpose."""
    raw = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        if not raw:
            break
        # Headers are short and decide most: half of all changes land in the first 200 bytes.
        at = int(rng.integers(0, min(len(raw), 200) if rng.random() < 0.5 else len(raw)))
        way = rng.integers(0, 8)
        if way == 0:
            raw[at] ^= 1 << int(rng.integers(0, 8))
        elif way == 1:
            raw[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
        elif way == 2:
            word = rng.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\0\1\0\0", b"\xff\xff\xff\x7f"])
            raw[at : at + 4] = word.tobytes().ljust(4, b"\0")
        elif way == 3:
            raw[at : at + int(rng.integers(1, 64))] = rng.bytes(int(rng.integers(1, 64)))
        elif way == 4:
            del raw[at : at + int(rng.integers(1, 64))]
        elif way == 5:
            raw = raw[:at] + raw[max(0, at - int(rng.integers(1, 400))) :]
        elif way == 6:
            del raw[max(8, at) :]
        else:
            other = others[int(rng.integers(0, len(others)))]
            start = int(rng.integers(0, len(other)))
            raw[at : at + 128] = other[start : start + 128]
    return repair_sizes(repair_checksums(bytes(raw))) if rng.random() < 0.8 else bytes(raw)


def repair_checksums(data: bytes) -> bytes:
    """Give the chunks of a PNG the right checksums again; without them nothing behind the first change is looked at."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    raw, at = bytearray(data), 8
    while at + 12 <= len(raw):
        end = at + 8 + int.from_bytes(raw[at : at + 4], "big")
        if end + 4 > len(raw):
            break
        raw[end : end + 4] = zlib.crc32(raw[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(raw)


def repair_sizes(data: bytes) -> bytes:
    """Let the last box of an ISO file, and the last of its meta box, end where the file or the meta box does."""
    if data[4:8] != b"ftyp":
        return data
    raw = bytearray(data)

    def mend(at: int, end: int) -> None:
        while at + 8 <= end:
            size = int.from_bytes(raw[at : at + 4], "big")
            following = bytes(raw[at + size + 4 : at + size + 8])
            if size < 8 or at + size > end or (at + size < end and not following.isalnum()):
                # A box that was cut or grew: the next one whose name is known begins where this one ends.
                names = (b"meta", b"mdat", b"iloc", b"iinf", b"iref", b"iprp", b"ipco", b"ipma", b"moov")
                places = [place for name in names if (place := raw.find(name, at + 8, end)) > 0]
                size = (min(places) - 4 if places else end) - at
                if size < 8:
                    return
                raw[at : at + 4] = size.to_bytes(4, "big")
            if raw[at + 4 : at + 8] in (b"meta", b"iprp"):
                mend(at + (12 if raw[at + 4 : at + 8] == b"meta" else 8), at + size)
            at += size

    mend(0, len(raw))
    return bytes(raw)


def run(kind: str, seconds: float, first: int) -> None:
    """Load mutated files until the time is up; leave with an exception at the first that is not taken as it should."""
    import resource

    sys.path.insert(0, str(Path(__file__).parent.parent / "helpers"))
    import gain_map_files
    import photo_files

    from hdrgan.files.metadata import kept_iptc, kept_xmp
    from hdrgan.files.photo import Photo, PhotoError, load_photo
    from hdrgan.files.radiance import RadianceFileError, load_radiance

    faulthandler.enable()
    warnings.simplefilter("error")  # a warning on a user's terminal counts as well
    makers = {
        "photo": photo_files.photos,
        "recorded": gain_map_files.files,
        "scene": lambda: photo_files.radiance_files() | photo_files.float_tiffs(),
        "radiance": photo_files.radiance_files,
    }
    seeds = makers[kind]()
    names, files = list(seeds), list(seeds.values())
    folder = Path(tempfile.mkdtemp())
    file = folder / "case"

    def load(data: bytes) -> None:
        if kind != "radiance":
            photo = load_photo(data, scenes=kind == "scene")
            assert isinstance(photo, Photo)
            assert photo.pixels.ndim == 3
            if photo.light is not None:
                assert photo.light.shape == photo.pixels.shape
                assert np.isfinite(photo.light).all()
                assert photo.light.min() >= 0
            kept_xmp(photo.xmp)
            kept_iptc(photo.iptc)
        else:
            file.write_bytes(data)
            radiance = load_radiance(file)
            assert radiance.dtype == np.float32
            assert np.isfinite(radiance).all()
            assert radiance.min() >= 0

    for data in files:
        load(data)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    accepted = refused = 0
    case, end = first, time.monotonic() + seconds
    while time.monotonic() < end:
        rng = np.random.default_rng((20240601, case))
        which = int(rng.integers(0, len(files)))
        data = mutate(files[which], rng, files)
        os.write(1, f"case {case} {names[which]}\n".encode())
        started = time.process_time()
        try:
            load(data)
            accepted, said = accepted + 1, "accepted."
        except (PhotoError, RadianceFileError) as error:
            refused, said = refused + 1, str(error)
        assert said.endswith("."), said
        assert "\n" not in said, said
        took = time.process_time() - started
        assert took < SLOWEST, f"{took:.1f} s"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < MOST_MEMORY, f"{grown:.0f} MB"
        case += 1
    file.unlink(missing_ok=True)
    folder.rmdir()
    os.write(1, f"done {accepted} accepted {refused} refused\n".encode())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["photo", "recorded", "scene", "radiance"])
def test_loaders_withstand_mutated_files(kind, root):
    command = [sys.executable, __file__, kind, str(SECONDS / 4), "0"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    done = subprocess.run(command, env=environment, capture_output=True, timeout=SECONDS * 2 + 120, check=False)
    # The OpenEXR library prints its own complaints in between.
    lines = [line for line in done.stdout.decode().splitlines() if line.startswith(("case ", "done "))]
    assert done.returncode == 0, (done.returncode, lines[-1:], done.stderr.decode()[-3000:])
    _, accepted, _, refused, _ = lines[-1].split()
    assert int(accepted) > 0
    assert int(refused) > 20


if __name__ == "__main__":
    run(sys.argv[1], float(sys.argv[2]), int(sys.argv[3]))
