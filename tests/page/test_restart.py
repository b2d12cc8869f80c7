"""The page is killed in the middle of its work, and started again beside what it left behind."""

from __future__ import annotations

import io
import os
import re
import signal
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
from page_server import Program
from PIL import Image


class Visited(Program):
    """The program, and somebody who uploads photos to it and asks for their light."""

    def __init__(self, root: Path, temporary: Path, model: str = "radiance", before: str = "") -> None:
        super().__init__(root, temporary, before, HDRGAN_MODELS=model)
        self.model = model
        self.http = httpx.Client(base_url=self.url, timeout=60)

    def upload(self, height: int, width: int) -> str:
        file = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
        Image.fromarray(noise).save(file, "JPEG", quality=95)
        return self.http.post("gradio_api/upload", files={"files": ("beach.jpg", file.getvalue())}).json()[0]

    def ask(self, path: str) -> str:
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, self.model, 2, "auto", ""]
        event = self.http.post("gradio_api/call/generate", json={"data": data}).json()["event_id"]
        return f"gradio_api/call/generate/{event}"

    def end(self) -> None:
        self.http.close()
        super().end()


def children(pid: int) -> list[int]:
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if fields[1] == str(pid) and fields[0] != "Z":
            found.append(int(status.parent.name))
    return found


def processor_s(pid: int) -> float:
    """Seconds of processor time that a process has used; those of the processes that it started do not count."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def seen_within(seconds: float, look) -> object:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.01)
    raise AssertionError(f"nothing to be seen within {seconds} seconds")


HELD_AFTER_A_FILE = """
import threading, time
from hdrgan.result import Result

write, turn = Result._write_frame, threading.Semaphore()

def held(self, *arguments, **options):
    while not turn.acquire(timeout=1):
        pass
    write(self, *arguments, **options)

Result._write_frame = held
"""


def test_a_server_killed_in_the_middle_of_its_work_starts_clean(root, tmp_path):
    first = Visited(root, tmp_path, before=HELD_AFTER_A_FILE)
    try:
        first.ask(first.upload(1600, 2400))
        (half,) = seen_within(60, lambda: list(tmp_path.glob("hdrgan-*/answer-*/*"))[:1])
        workers = children(first.process.pid)
    finally:
        first.process.send_signal(signal.SIGKILL)
        first.process.wait(30)
        first.http.close()
    left = list(tmp_path.glob("hdrgan-*/answer-*/*"))
    assert len(left) == 1, "it must have been killed before its last file was written"
    (orphan,) = tmp_path.glob("hdrgan-*")

    second = Visited(root, tmp_path)
    try:
        seen_within(20, lambda: not [pid for pid in workers if Path(f"/proc/{pid}").exists()])
        assert not orphan.exists()
        assert "left behind by a server that was killed" in "".join(second.said)
        assert second.http.get("healthz").json() == {"status": "ok"}
        assert second.http.get(f"gradio_api/file={half}").status_code == 404
        answer = second.http.get(second.ask(second.upload(60, 80))).text
        assert "event: complete" in answer
        files = set(re.findall(r'"path": "([^"]+_ev[^"]+\.png)"', answer))
        assert len(files) == 5
        for file in files:
            served = second.http.get(f"gradio_api/file={file}").content
            assert Image.open(io.BytesIO(served)).convert("RGB").size == (80, 60)
    finally:
        second.end()
    assert not list(tmp_path.iterdir()), "a stopped server leaves nothing behind"
    log = "".join(first.said + second.said)
    assert "Traceback" not in log
    assert re.search(r"radiance: 80 × 60 pixels in \d+\.\d\d s", log)
    assert re.search(r"POST /gradio_api/upload: 200 in \d+\.\d\d s, \d{4,} bytes in", log)
    assert "beach" not in log, "the log never says whose photo or what it is called"


HELD = """
import time
from pathlib import Path
from hdrgan.light.cancellation import CancelledError, check_cancelled
from hdrgan.models.{module} import {network}

work = {network}.{method}

def held(self, *inputs):
    Path({running!r}).touch()
    try:
        while True:
            check_cancelled()
            time.sleep(0.01)
    except CancelledError:
        return work(self, *inputs)

{network}.{method} = held
"""


@pytest.mark.parametrize(
    ("model", "number", "network", "method"),
    [
        ("radiance", signal.SIGTERM, "RadianceGenerator", "light"),
        ("bracket", signal.SIGINT, "BracketGenerator", "forward"),
    ],
)
def test_a_signal_in_the_middle_of_a_network_ends_it_in_order(root, tmp_path, model, number, network, method):
    """These networks are done so soon that they are held until the signal has come."""
    temporary, running = tmp_path / "temporary", tmp_path / "running"
    temporary.mkdir()
    hold = HELD.format(module=f"{model}_generator", network=network, method=method, running=str(running))
    program = Visited(root, temporary, model, hold)
    try:
        with program.http.stream("GET", program.ask(program.upload(2400, 3600))):
            seen_within(300, running.exists)
            program.process.send_signal(number)
            assert program.process.wait(60) == 128 + number
    finally:
        program.end()
    ended_in_order(program, temporary)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_in_the_middle_of_a_slow_network_ends_it_in_order(root, tmp_path, number):
    program = Visited(root, tmp_path, "ein")
    try:
        path = program.upload(2400, 3600)  # which is read by another process
        before = processor_s(program.process.pid)
        with program.http.stream("GET", program.ask(path)):
            seen_within(300, lambda: processor_s(program.process.pid) > before + 1.5)
            program.process.send_signal(number)
            assert program.process.wait(60) == 128 + number
    finally:
        program.end()
    ended_in_order(program, tmp_path)


def ended_in_order(program: Visited, temporary: Path) -> None:
    assert not list(temporary.iterdir()), "a stopped server leaves nothing behind"
    said = "".join(program.said)
    assert "Traceback" not in said
    assert f"{program.model}: 3600" not in said, "the network was not ready"


def test_a_visitor_who_stays_connected_does_not_keep_the_server_from_ending(root, tmp_path):
    program = Program(root, tmp_path, HDRGAN_MODELS="radiance")
    with httpx.Client(base_url=program.url, timeout=60) as http:
        large = b"\xff\xd8\xff" + bytes(40 << 20)  # more than the buffers between the two hold
        path = http.post("gradio_api/upload", files={"files": ("beach.jpg", large)}).json()[0]
        with http.stream("GET", f"gradio_api/file={path}") as answer:  # and is not read on
            assert answer.status_code == 200
            program.process.send_signal(signal.SIGTERM)
            assert program.process.wait(60) == 128 + signal.SIGTERM
    assert not list(tmp_path.iterdir()), "a stopped server leaves nothing behind"
