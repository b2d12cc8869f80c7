"""Broken files in their thousands: the loaders accept or refuse, and never crash, hang, swell or raise anything else.

The cases run in a process of its own, so that a crash of a decoder is a failure and not the end of the tests. The
variable HDRGAN_FUZZ_SECONDS lengthens the run; the seed is fixed, and a failure names the case to run again:
``python tests/files/test_fuzz_loaders.py KIND FIRST_CASE SECONDS [CASES]``. Without a kind, all of them are tried in
turn and a table is printed: ``python tests/files/test_fuzz_loaders.py --cases 20000``; that of the last such run is
``benchmarks/fuzz.txt``.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent.parent
KINDS = ("photo", "recorded", "scene", "radiance", "raw")
SECONDS = float(os.environ.get("HDRGAN_FUZZ_SECONDS", "16"))
SLOWEST = 10.0  # seconds of processor time for one file
HANGS = 120  # seconds by the clock, after which a file that takes no processor time is a failure as well
MOST_MEMORY = 700  # megabytes beyond what loading the seeds took


def seeds_of(kind: str) -> dict[str, bytes]:
    """The whole files of one of `KINDS`, by name."""
    import gain_map_files
    import photo_files
    import raw_files
    from rich_photos import rich_photo

    rich = ("jpg", "png", "webp", "avif", "heic")  # of TIFF it takes exiftool
    makers = {
        "photo": lambda: photo_files.photos() | {f"rich.{kind}": rich_photo(kind, "größer") for kind in rich},
        "recorded": gain_map_files.files,
        "scene": lambda: photo_files.radiance_files() | photo_files.float_tiffs(),
        "radiance": photo_files.radiance_files,
        "raw": lambda: {"camera.dng": raw_files.dng(raw_files.scene(40, 56))},
    }
    return makers[kind]()


def run(kind: str, first: int, seconds: float, cases: float = np.inf) -> None:
    """Load mutated files until the time or the cases are up; the first that is not taken as it should is an error."""
    import resource

    sys.path.insert(0, str(Path(__file__).parent.parent / "helpers"))
    from mutants import mutate

    from hdrgan.files.photo import Photo, PhotoError, load_photo
    from hdrgan.files.radiance import RadianceFileError, load_radiance
    from hdrgan.files.xmp_iptc import kept_iptc, kept_xmp

    faulthandler.enable()
    warnings.simplefilter("error")  # a warning on a user's terminal counts as well
    seeds = seeds_of(kind)
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
    slowest = 0.0
    case, end = first, time.monotonic() + seconds
    while time.monotonic() < end and case < first + cases:
        rng = np.random.default_rng((20240601, case))
        which = int(rng.integers(0, len(files)))
        data = mutate(files[which], rng, files)
        os.write(1, f"case {case} {names[which]}\n".encode())
        started = time.process_time()
        faulthandler.dump_traceback_later(HANGS, exit=True)
        try:
            load(data)
            accepted, said = accepted + 1, "accepted."
        except (PhotoError, RadianceFileError) as error:
            refused, said = refused + 1, str(error)
        assert said.endswith("."), said
        assert "\n" not in said, said
        faulthandler.cancel_dump_traceback_later()
        took = time.process_time() - started
        slowest = max(slowest, took)
        assert took < SLOWEST, f"{took:.1f} s"
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
        assert grown < MOST_MEMORY, f"{grown:.0f} MB"
        case += 1
    file.unlink(missing_ok=True)
    folder.rmdir()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    os.write(1, f"done {accepted} accepted {refused} refused {slowest:.2f} s {most:.0f} MB\n".encode())


def started(kind: str, first: int, seconds: float, cases: float = np.inf) -> tuple[int, list[str], str]:
    """Run a kind in a process of its own: its exit code, its last lines, and what it complained of."""
    command = [sys.executable, __file__, kind, str(first), str(seconds), str(cases)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    # The OpenEXR library prints its own complaints in between.
    lines = [line for line in done.stdout.decode("utf-8", "replace").splitlines() if line[:5] in ("case ", "done ")]
    return done.returncode, lines[-1:], done.stderr.decode("utf-8", "replace")[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_loaders_withstand_mutated_files(kind):
    code, last, complaint = started(kind, 0, SECONDS / len(KINDS))
    assert code == 0, (code, last, complaint)
    _, accepted, _, refused, *_ = last[0].split()
    assert int(accepted) > 0
    assert int(refused) > 5


def test_the_seeds_reach_every_reader_of_light_and_of_what_photos_say():
    from hdrgan.files.photo import load_photo

    read = {name: load_photo(data) for name, data in seeds_of("recorded").items() if name != "animated.avif"}
    found = {f"{photo.format} {photo.light_source}" for photo in read.values()}
    assert found == {
        *("JPEG gain map", "AVIF gain map", "HEIC gain map", "PNG PQ", "HEIC PQ"),
        *("PNG HLG", "AVIF HLG", "HEIC HLG"),
    }
    assert read["three_channels.jpg"].gain_map.codes.shape[2] == 3
    assert len(set(read["three_channels.jpg"].gain_map.high)) > 1
    said = {name: load_photo(data) for name, data in seeds_of("photo").items() if name.startswith("rich.")}
    assert all(photo.xmp and b"GPano" in photo.xmp for photo in said.values())
    assert {name for name, photo in said.items() if photo.iptc} == {"rich.jpg", "rich.png"}


MENDED = {
    "photo": ("rgb.png", "deep.png", "raw.tif", "deep.tif", "heic.heic", "eight.avif", "lossy.webp", "baseline.jpg"),
    "scene": ("zip.exr", "piz.exr", "none.exr", "single.tif"),
}


@pytest.mark.parametrize("kind", MENDED)
def test_mutants_reach_the_decoders(kind):
    """A file whose pixels alone were changed and whose sizes and sums were spoilt is read again once it is mended."""
    from mutants import repaired
    from photo_files import float_tiffs, photos, radiance_files

    from hdrgan.files.photo import load_photo

    files = photos() if kind == "photo" else radiance_files() | float_tiffs()
    for name in MENDED[kind]:
        data = files[name]
        assert repaired(data) == data, f"{name}: nothing is mended where nothing is broken"
        load_photo(repaired(spoilt(name, data)), scenes=True)


def spoilt(name: str, data: bytes) -> bytes:
    """The file with sizes, offsets or sums that are wrong."""
    raw = bytearray(data)
    if name.endswith(".png"):
        end = raw.index(b"IEND") - 8
        raw[end : end + 4] = b"\xde\xad\xbe\xef"
    elif name.endswith((".heic", ".avif")):
        at = raw.index(b"mdat") - 4
        raw[at : at + 4] = b"\x7f\xff\xff\xff"
    elif name.endswith(".webp"):
        raw[4:8] = b"\xff\xff\0\0"
    elif name.endswith(".jpg"):
        raw[4:6] = b"\0\x03"
    elif name.endswith(".exr"):
        from mutants import exr_header

        table = exr_header(raw)[0]
        raw[table : table + 8] = b"\xff" * 8
    else:  # how many bytes the first strip has
        place = next(k for k in range(len(raw) - 12) if raw[k : k + 2] in (b"\x01\x17", b"\x17\x01"))
        raw[place + 8 : place + 12] = b"\x7f" * 4
    return bytes(raw)


def main() -> int:
    """Try all kinds and print what became of them."""
    ask = argparse.ArgumentParser(description="Load mutated files of every kind.")
    ask.add_argument("--cases", type=int, default=20_000, help="mutants of all kinds together")
    ask.add_argument("--first", type=int, default=0, help="number of the first case")
    ask.add_argument("--seconds", type=float, default=float("inf"), help="for each kind at most")
    given = ask.parse_args()
    failed = 0
    for kind in KINDS:
        code, last, complaint = started(kind, given.first, given.seconds, -(-given.cases // len(KINDS)))
        sys.stdout.write(f"{kind:10s} exit code {code:4d}  {''.join(last)}\n{complaint if code else ''}")
        sys.stdout.flush()
        failed += code != 0
    return 1 if failed else 0


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in KINDS:
        run(sys.argv[1], int(sys.argv[2]), *map(float, sys.argv[3:]))
    else:
        sys.exit(main())
