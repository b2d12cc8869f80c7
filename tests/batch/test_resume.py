"""Resume: what is complete is skipped, what is half is done again, and no stop leaves a trace."""

import contextlib
import errno
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from hdrgan.batch.records import Record, private_folder, remove_orphans
from hdrgan.files.atomic import move_files
from hdrgan.files.photo import load_photo
from hdrgan.result import Result

RESPONSE = np.linspace(0, 1, 256, dtype=np.float32)


@pytest.fixture
def photos(make_photo, tmp_path):
    for seed in range(8):
        make_photo(tmp_path / f"in/{seed % 2}/{seed}.png", seed)
    (tmp_path / "in/0/bad.jpg").write_text("this is a letter")
    return tmp_path / "in"


def command(photos, output):
    return "generate", photos, "-r", "-o", output, "--hdr", "exr", "--evs=-2,0,2"


def test_a_second_run_does_only_what_is_missing(hdrgan, photos, tmp_path, files_in):
    output = tmp_path / "out"
    first = hdrgan(*command(photos, output))
    assert first.returncode == 1
    before = files_in(output)
    times = {path: path.stat().st_mtime_ns for path in output.rglob("*.exr")}
    assert len(times) == 8
    (output / "1/3_ev+2.png").unlink()
    second = hdrgan(*command(photos, output), "--json")
    assert second.returncode == 1
    assert "7 of 9 photos were complete already" in second.stderr
    assert "1 of 9 photos failed" in second.stderr
    assert second.stdout.count('"status": "skipped"') == 7
    assert second.stdout.count('"status": "done"') == 1
    assert files_in(output) == before
    changed = [path.name for path, written in times.items() if path.stat().st_mtime_ns != written]
    assert changed == ["3.exr"]
    again = hdrgan(*command(photos, output), "--overwrite", "--json")
    assert again.stdout.count('"status": "done"') == 8
    assert files_in(output) == before


def test_other_settings_are_not_taken_for_complete(hdrgan, make_photo, tmp_path):
    photo = make_photo(tmp_path / "x.png", size=(64, 48))
    light = ("reconstruct", photo, "--hdr", "hdr", "-o", tmp_path / "out")
    assert hdrgan(*light).returncode == 0
    before = (tmp_path / "out/x.hdr").read_bytes()
    done = hdrgan(*light, "--response", "srgb", "--json")
    assert '"done"' in done.stdout
    assert (tmp_path / "out/x.hdr").read_bytes() != before
    assert '"skipped"' in hdrgan(*light, "--response", "srgb", "--json").stdout


def test_killed_at_any_moment_and_started_again(hdrgan, photos, tmp_path, files_in):
    whole = tmp_path / "whole"
    start = time.monotonic()
    assert hdrgan(*command(photos, whole)).returncode == 1
    seconds = time.monotonic() - start
    output, rng = tmp_path / "out", random.Random(0)
    for attempt in range(20):
        running = hdrgan.start(*command(photos, output), *(["--overwrite"] if attempt % 4 == 3 else []))
        time.sleep(rng.uniform(0.1, 1.0) * seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(running.pid, signal.SIGKILL)
        running.wait()
        for path in output.rglob("*.png"):
            if not path.parent.name.endswith(".part"):  # what was being written then
                assert load_photo(path).pixels.shape == (16, 24, 3), "whatever has its name is whole"
    assert hdrgan(*command(photos, output)).returncode == 1
    assert files_in(output) == files_in(whole)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("model", ["radiance", "bracket", "ein"])
def test_a_signal_ends_a_batch_with_its_own_code(number, model, hdrgan, make_photo, tmp_path, files_in):
    for seed in range(40):
        make_photo(tmp_path / f"in/{seed}.png", seed, size=(400, 300))
    running = hdrgan.start("generate", tmp_path / "in", "-m", model, "-o", tmp_path / "out", "--json")
    while not running.base.with_suffix(".out").read_text().count("\n"):
        time.sleep(0.01)
    os.kill(running.pid, number)
    done = running.wait()
    assert done.returncode == 128 + number
    assert f"stopped by {number.name} after" in done.stderr
    assert "goes on from there" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("*.part*"))
    assert 0 < len(list((tmp_path / "out").glob("*_ev-4.png"))) < 40


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_the_middle_of_ein_ends_a_batch(number, hdrgan, make_photo, tmp_path):
    for seed in range(2):  # of several the first tiles take longer than everything before them
        make_photo(tmp_path / f"in/{seed}.png", seed, size=(3000, 2000))
    running = hdrgan.start("generate", tmp_path / "in", "-m", "ein", "-o", tmp_path / "out")
    stat = Path(f"/proc/{running.pid}/stat")
    while sum(map(int, stat.read_text().rsplit(")", 1)[1].split()[11:13])) < 4 * os.sysconf("SC_CLK_TCK"):
        time.sleep(0.05)
    os.kill(running.pid, number)
    done = running.wait(60)
    assert done.returncode == 128 + number
    assert f"stopped by {number.name} after 0 of 2 photos" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "out").rglob("*.part*"))
    assert not list((tmp_path / "out").glob("*.png"))


def test_a_full_disk_ends_the_batch_and_says_what_to_do(hdrgan, make_photo, tmp_path):
    for seed in range(30):
        make_photo(tmp_path / f"in/{seed:02}.png", seed, size=(120, 90))
    with small_disk(tmp_path / "disk", 600_000) as disk:
        done = hdrgan("generate", tmp_path / "in", "-o", disk / "out", "--format", "tiff")
        assert done.returncode == 2, done.stderr
        assert "No space left on device" in done.stderr
        assert "of 30 photos are complete. Make room" in done.stderr
        assert "Traceback" not in done.stderr
        whole = sorted((disk / "out").glob("*_ev-4.tiff"))
        assert 0 < len(whole) < 30
        for path in whole:
            for ev in ("-4", "-2", "+0", "+2", "+4"):
                assert load_photo(path.with_name(f"{path.name[:2]}_ev{ev}.tiff")).pixels.shape == (90, 120, 3)
        assert len(list((disk / "out").glob("*.tiff"))) == 5 * len(whole), "no bracket is left half"
        assert not list((disk / "out").rglob("*.part"))


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of so many bytes: mounted by root or sudo; in a container that may not mount, its small /dev/shm
    filled up."""
    folder.mkdir()
    for as_root in ([], ["sudo", "-n"]):
        mount = [*as_root, "mount", "-t", "tmpfs", "-o", f"size={size},mode=1777", "tmpfs", folder]
        if shutil.which(mount[0]) and subprocess.run(mount, check=False).returncode == 0:
            try:
                yield folder
            finally:
                subprocess.run([*as_root, "umount", "-l", folder], check=True)
            return
    free = shutil.disk_usage("/dev/shm").free
    assert free < 1 << 30, "nothing can be mounted here, and /dev/shm is too large to fill it up"
    inside = Path(f"/dev/shm/hdrgan-{os.getpid()}")
    inside.mkdir()
    try:
        with open(inside / "filler", "wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, free - size)
        yield inside
    finally:
        shutil.rmtree(inside)


def test_a_bracket_is_replaced_whole_or_not_at_all(make_photo, tmp_path, monkeypatch, files_in):
    photo = load_photo(make_photo(tmp_path / "x.png"))
    result = Result(photo, [photo.pixels] * 3, (-1.0, 0.0, 1.0), photo.pixels, photo.pixels, RESPONSE)
    result.save(tmp_path / "out", hdr=())
    before = files_in(tmp_path / "out")
    darker = Result(photo, [photo.pixels // 2] * 3, (-1.0, 0.0, 1.0), photo.pixels, photo.pixels, RESPONSE)
    written = []

    def full(path, pixels, **options):
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        path.write_bytes(b"new")

    monkeypatch.setattr("hdrgan.result.save_png", full)
    with pytest.raises(OSError, match="No space left") as error:
        darker.save(tmp_path / "out", hdr=())
    assert error.value.filename.startswith(str(tmp_path / "out/x_ev"))
    assert files_in(tmp_path / "out") == before


@pytest.mark.parametrize("links", [True, False])
@pytest.mark.parametrize("there", ["", "a", "bd", "abcd"])
def test_moves_that_fail_leave_old_files_and_no_new_one(tmp_path, monkeypatch, there, links):
    (tmp_path / "private").mkdir()
    for name in "abcd":
        (tmp_path / "private" / name).write_text("new")
    for name in there:
        (tmp_path / name).write_text(f"old {name}")
    replace = os.replace

    def fail(source, target):
        if target == tmp_path / "c" and str(source).endswith("private/c"):
            raise OSError(errno.ENOSPC, "No space left on device", str(target))
        replace(source, target)

    def no_link(*_, **__):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "replace", fail)
    if not links:
        monkeypatch.setattr(os, "link", no_link)
    with pytest.raises(OSError, match="No space left"):
        move_files(tmp_path / "private", tmp_path)
    found = {path.name: path.read_text() for path in tmp_path.iterdir() if path.is_file()}
    assert found == {name: f"old {name}" for name in there}
    monkeypatch.setattr(os, "replace", replace)
    for name in "abcd":
        (tmp_path / "private" / name).write_text("new")
    assert move_files(tmp_path / "private", tmp_path) == [tmp_path / name for name in "abcd"]
    assert not list((tmp_path / "private").iterdir())
    assert {(tmp_path / name).read_text() for name in "abcd"} == {"new"}


def test_a_link_is_put_back_as_a_link(tmp_path, monkeypatch):
    (tmp_path / "private").mkdir()
    for name in "ab":
        (tmp_path / "private" / name).write_text("new")
    (tmp_path / "a").symlink_to("elsewhere")
    (tmp_path / "b").mkdir()
    monkeypatch.setattr(Path, "exists", lambda path: False)  # as if the folder came there only now
    with pytest.raises(OSError, match="irectory"):
        move_files(tmp_path / "private", tmp_path)
    assert os.readlink(tmp_path / "a") == "elsewhere"


def test_a_kill_between_two_moves_leaves_whole_files_and_no_second_names(tmp_path, root):
    code = (
        "import os, sys; from pathlib import Path\n"
        "from hdrgan.batch.records import private_folder; from hdrgan.files.atomic import move_files\n"
        "folder, replace, count = Path(sys.argv[1]), os.replace, []\n"
        "def twice(source, target):\n"
        "    count.append(1)\n"
        "    if len(count) == 3: os._exit(9)\n"
        "    replace(source, target)\n"
        "os.replace = twice\n"
        "with private_folder(folder) as private:\n"
        "    for name in 'abc': (private / name).write_text('new')\n"
        "    move_files(private, folder)\n"
    )
    for name in "abc":
        (tmp_path / name).write_text("old")
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=root, check=False)
    assert killed.returncode == 9
    assert [(tmp_path / name).read_text() for name in "abc"] == ["new", "new", "old"]
    assert len(list(tmp_path.rglob("*.old"))) == 2
    remove_orphans(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".hdrgan", "a", "b", "c"]


def test_two_processes_pack_into_one_folder(hdrgan, photos, tmp_path, files_in):
    packed = ("generate", photos / "1", "-o", tmp_path / "out", "--zip", "--evs=-1,0,1", "--overwrite")
    both = [hdrgan.start(*packed) for _ in range(2)]
    for running in both:
        done = running.wait()
        assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if path.is_file()) == [
        f"{k}_bracket.zip" for k in (1, 3, 5, 7)
    ]
    for path in (tmp_path / "out").glob("*.zip"):
        with zipfile.ZipFile(path) as archive:
            assert archive.testzip() is None
            assert len(archive.namelist()) == 3
    before = files_in(tmp_path / "out")
    assert hdrgan(*packed).returncode == 0
    assert files_in(tmp_path / "out") == before, "the hour is not in the archive"


def test_private_folders_of_the_living_are_left_alone(tmp_path):
    with private_folder(tmp_path) as mine:
        orphan = mine.with_name("0123456789abcdef.part")
        orphan.mkdir()
        (orphan / "x.png").write_text("half")
        remove_orphans(tmp_path)
        assert mine.is_dir()
        assert not orphan.exists()
    assert not (tmp_path / ".hdrgan").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"photo": 1}', '{"photo": {}, "files": 3, "claimed": []}', "\0" * 9])
def test_a_damaged_record_is_no_record(text, tmp_path):
    (tmp_path / ".hdrgan").mkdir()
    (tmp_path / ".hdrgan/x.json").write_text(text)
    assert Record.read(tmp_path, "x") is None
