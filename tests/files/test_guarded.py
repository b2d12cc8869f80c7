"""The worker that decodes for a server: same photos, and whatever happens to it is a sentence to the visitor."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import imagecodecs
import numpy as np
import photo_files
import pytest
from PIL import Image

from hdrgan.files import guarded
from hdrgan.files.exif import bracket_exif
from hdrgan.files.guarded import load_photo_guarded
from hdrgan.files.photo import PhotoError, PhotoLimits, load_photo
from hdrgan.light.cancellation import Cancellation, CancelledError


@pytest.fixture(autouse=True)
def _no_worker_is_left_behind():
    yield
    guarded.close_decoders()


def test_the_photo_is_the_same(tmp_path):
    files = photo_files.photos()
    for name in ("baseline.jpg", "progressive.jpg", "deep.png", "alpha.webp", "ten.avif"):
        path = tmp_path / name
        path.write_bytes(files[name])
        here, there = load_photo(path), load_photo_guarded(path)
        assert np.array_equal(here.pixels, there.pixels)
        assert here.pixels.dtype == there.pixels.dtype
        assert (here.name, here.format, here.jpeg) == (there.name, there.format, there.jpeg)
        assert here.from_camera == there.from_camera
        size = here.width, here.height
        for ev in (-2, 2):
            assert bracket_exif(here.exif, size, ev, keep_gps=True) == bracket_exif(there.exif, size, ev, keep_gps=True)
    assert np.array_equal(load_photo_guarded(files["deep.png"]).pixels, load_photo(files["deep.png"]).pixels)


def test_refusals_and_limits_come_through():
    with pytest.raises(PhotoError, match="SVG"):
        load_photo_guarded(b"<svg/>")
    with pytest.raises(PhotoError, match="megapixels"):
        load_photo_guarded(photo_files.photos()["rgb.png"], limits=PhotoLimits(megapixels=0.001))
    with pytest.raises(PhotoError, match="larger"):
        load_photo_guarded(bytes(200), limits=PhotoLimits(bytes=100))
    with pytest.raises(PhotoError, match="no file"):
        load_photo_guarded("missing.jpg")


def test_one_worker_serves_many_photos():
    data = photo_files.photos()["rgb.png"]
    load_photo_guarded(data)
    (worker,) = guarded._idle
    for _ in range(5):
        load_photo_guarded(data)
        with pytest.raises(PhotoError):
            load_photo_guarded(b"junk")
    assert guarded._idle == [worker]
    assert worker.requests == 11


def test_a_decoder_that_hangs_is_given_up():
    data = photo_files.photos()["rgb.png"]
    load_photo_guarded(data)
    (worker,) = guarded._idle
    os.kill(worker._process.pid, signal.SIGSTOP)
    with pytest.raises(PhotoError, match="longer than 0.3 seconds"):
        load_photo_guarded(data, timeout_s=0.3)
    assert worker.has_ended
    assert guarded._idle == []
    assert load_photo_guarded(data).format == "PNG"


@pytest.mark.parametrize("ready", [True, False])
def test_a_decoder_ends_when_its_photo_is_no_longer_wanted(ready, monkeypatch):
    """The worker is stopped, so that the photo would never be read, and cancelled once it has been given the photo."""
    data = photo_files.photos()["rgb.png"]
    token, asked = Cancellation(), threading.Event()
    started = guarded._Worker.load

    def load(worker, *arguments):
        os.kill(worker._process.pid, signal.SIGSTOP)
        asked.set()
        return started(worker, *arguments)

    if ready:
        load_photo_guarded(data)
    monkeypatch.setattr(guarded._Worker, "load", load)
    threading.Thread(target=lambda: (asked.wait(60), token.cancel("the visitor left"))).start()
    with token.in_force(), pytest.raises(CancelledError, match="the visitor left"):
        load_photo_guarded(data, timeout_s=3600)
    assert guarded._idle == []
    assert not guarded._working
    monkeypatch.undo()
    assert load_photo_guarded(data).format == "PNG"


def test_a_decoder_at_work_does_not_outlive_its_owner(monkeypatch):
    asked = threading.Event()
    started = guarded._Worker.load

    def load(worker, *arguments):
        os.kill(worker._process.pid, signal.SIGSTOP)
        asked.set()
        return started(worker, *arguments)

    monkeypatch.setattr(guarded._Worker, "load", load)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(load_photo_guarded, photo_files.photos()["rgb.png"], timeout_s=3600)
        assert asked.wait(60)
        guarded.close_decoders()  # as when the interpreter ends
        assert isinstance(reading.exception(60), PhotoError)


def test_a_photo_that_needs_too_much_memory_is_refused():
    flat = np.zeros((7000, 7000), np.uint8)
    data = bytes(imagecodecs.png_encode(flat, 1))
    with pytest.raises(PhotoError, match="memory"):
        load_photo_guarded(data, memory_mb=64)


@pytest.mark.parametrize(
    ("number", "says"), [(signal.SIGSEGV, "decoder crashed on this file"), (signal.SIGKILL, "system ended the decoder")]
)
def test_a_crash_takes_only_the_worker_and_a_kill_is_not_blamed_on_the_file(number, says):
    data = photo_files.photos()["rgb.png"]
    load_photo_guarded(data)
    (worker,) = guarded._idle
    os.kill(worker._process.pid, signal.SIGSTOP)  # so that it is in the middle of the request when it crashes
    threading.Timer(0.2, lambda: os.kill(worker._process.pid, number)).start()
    threading.Timer(0.3, lambda: worker._process.poll() is None and worker._process.send_signal(signal.SIGCONT)).start()
    with pytest.raises(PhotoError, match=says):
        load_photo_guarded(data)
    assert load_photo_guarded(data).format == "PNG"


def test_no_room_for_a_worker_is_said(monkeypatch):
    def refuse(*args, **kwargs):
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr("hdrgan.files.guarded.subprocess.Popen", refuse)
    with pytest.raises(PhotoError, match="no room"):
        load_photo_guarded(b"anything")


def test_a_worker_that_died_waiting_costs_no_visitor_a_photo():
    data = photo_files.photos()["rgb.png"]
    load_photo_guarded(data)
    (worker,) = guarded._idle
    os.kill(worker._process.pid, signal.SIGKILL)
    worker._process.wait()
    assert load_photo_guarded(data).format == "PNG"


def test_several_at_once():
    files = [data for name, data in photo_files.photos().items() if name.endswith("png")]
    expected = [load_photo(data).pixels for data in files]
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda data: load_photo_guarded(data, timeout_s=60).pixels, files))
    assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))
    assert len(guarded._idle) <= 2


def test_the_worker_is_light_and_goes_when_its_owner_goes(root, tmp_path):
    Image.fromarray(photo_files.picture()).save(tmp_path / "a.png")
    program = """
import os, sys, time
from hdrgan.files import guarded
guarded.load_photo_guarded(sys.argv[1])
pid = guarded._idle[0]._process.pid
maps = open(f"/proc/{pid}/maps").read() if os.path.exists("/proc") else ""
print(pid, "torch" in maps)
sys.stdout.flush()
os._exit(1)  # no farewell, as when a server is killed
"""
    command = [sys.executable, "-c", program, str(tmp_path / "a.png")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False, timeout=60)
    pid, torch_is_there = done.stdout.split()
    assert torch_is_there == "False"
    for _ in range(100):
        try:
            os.kill(int(pid), 0)
        except ProcessLookupError:
            return
        if "zombie" in _state(pid):
            return
        threading.Event().wait(0.1)
    raise AssertionError("the worker outlived its owner")


def _state(pid: str) -> str:
    try:
        with open(f"/proc/{pid}/status") as file:
            return next((line for line in file if line.startswith("State:")), "")
    except OSError:
        return "zombie"


def test_a_worker_that_was_taken_over_does_not_choose_names(tmp_path, monkeypatch):
    (tmp_path / "mine.png").write_bytes(photo_files.photos()["rgb.png"])
    load = guarded._Worker.load
    for bad, refused in ({"name": "../../etc/x"}, False), ({"jpeg_orientation": 77}, True):
        monkeypatch.setattr(guarded._Worker, "load", lambda *given, bad=bad: dataclasses.replace(load(*given), **bad))
        if refused:
            with pytest.raises(PhotoError):
                load_photo_guarded(tmp_path / "mine.png")
        else:
            assert load_photo_guarded(tmp_path / "mine.png").name == "mine"


def test_a_watch_that_wakes_late_kills_no_process_that_works_for_others():
    from hdrgan.files.guarded import _Watch
    from hdrgan.light.cancellation import Cancellation

    class Process:
        killed = False

        def kill(self):
            self.killed = True

    class AsksOnce(threading.Event):
        """Says that it is not set once more, as when the watch had just looked before the work ended."""

        def wait(self, timeout=None):
            return False

    token, process = Cancellation(), Process()
    with token.in_force():
        watch = _Watch(process, 60)
    watch._over = AsksOnce()
    watch._over.set()
    token.cancel("left")
    watch.run()
    assert not process.killed
    assert not watch.killed
