"""The page in a process of its own: what its visitors can ask, and what the system sees of it from outside."""

from __future__ import annotations

import html
import io
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
_LOOK_S = 0.02  # between two looks at what its threads do
_WINDOW_S = 0.4  # over which they are judged


class Server:
    """``python app.py``, started and serving: its ``url``, its ``process``, and its ``log``.

    Args:
        temporary: its folder of temporary files.
        settings: environment variables.
    """

    def __init__(self, temporary: Path, **settings: str) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environ = os.environ | {"TMPDIR": str(temporary), "GRADIO_SERVER_PORT": str(port), "HDRGAN_DEVICE": "cpu"}
        environ.pop("GRADIO_TEMP_DIR", None)
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environ | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.log: list[str] = []
        for line in self.process.stderr or ():
            self.log.append(line)
            if "The page is at" in line:
                break
        else:
            raise SystemExit("the page did not start:\n" + "".join(self.log))
        threading.Thread(target=self.log.extend, args=(self.process.stderr,), daemon=True).start()
        self.url = f"http://127.0.0.1:{port}/"

    def megabytes(self, what: str = "VmRSS") -> float:
        """Memory of the page itself: "VmRSS" now, "VmHWM" at most so far."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"{what}:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def descriptors(self) -> int:
        """Open files, pipes and sockets of the page itself."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def threads(self) -> int:
        """Threads of the page itself."""
        return len(os.listdir(f"/proc/{self.process.pid}/task"))

    def processes(self) -> list[int]:
        """The page and all that it has started, which are its decoders."""
        parents = {}
        for status in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError, ValueError, IndexError):
                parents[int(status.parent.name)] = int(status.read_text().rsplit(")", 1)[1].split()[1])
        family = [self.process.pid]
        for pid in family:
            family += [child for child, parent in parents.items() if parent == pid]
        return family

    def files(self) -> list[Path]:
        """Temporary files, uploads among them."""
        # What is deleted meanwhile is left out: os.walk passes over a folder that is gone, where pathlib raises.
        return [Path(folder, name) for folder, _, names in os.walk(self.temporary) for name in names]

    def answers(self) -> list[Path]:
        """Files of answers, finished or under way."""
        return list(self.temporary.glob("hdrgan-*/answer-*/*"))

    def work_ended(self, since: float, most_s: float = 120.0) -> float:
        """Seconds from ``since`` until neither the page nor a decoder of it works; infinite after ``most_s``.

        Work is a thread that wants a processor at half of all looks, or a third of a processor used by all together.
        Wanting one counts, so that a busy machine changes nothing; idle, the server's own loop takes a tenth.
        """
        looks: deque[_Look] = deque()
        while time.monotonic() < since + most_s:
            looks.append(_Look.at(self.processes()))
            window = looks[-1].time - looks[0].time
            if window >= _WINDOW_S:
                wanting = Counter(thread for look in looks for thread in look.wanting)
                used = looks[-1].processor_s - looks[0].processor_s
                if max(wanting.values(), default=0) < len(looks) / 2 and used < window / 3:
                    return max(0.0, looks[-1].time - window / 2 - since)
                looks.popleft()
            time.sleep(_LOOK_S)
        return float("inf")

    def stop(self) -> int:
        """End it as a service manager does; its exit code."""
        self.process.terminate()
        return self.process.wait(60)


class _Look(NamedTuple):
    """What some processes do at one moment."""

    time: float
    processor_s: float  # that they have used so far
    wanting: frozenset[str]  # threads that run, could run, or wait for the disk

    @classmethod
    def at(cls, pids: list[int]) -> _Look:
        ticks, wanting = 0, []
        for pid in pids:
            with suppress(OSError):
                ticks += sum(map(int, _stat(f"/proc/{pid}/stat")[11:13]))
                for task in os.listdir(f"/proc/{pid}/task"):
                    with suppress(OSError):
                        if _stat(f"/proc/{pid}/task/{task}/stat")[0] in "RD":
                            wanting.append(task)
        return cls(time.monotonic(), ticks / os.sysconf("SC_CLK_TCK"), frozenset(wanting))


def _stat(path: str) -> list[str]:
    with open(path) as stat:
        return stat.read().rsplit(")", 1)[1].split()


class RefusedError(Exception):
    """What the server answered instead of doing it: the status and its words."""

    def __init__(self, status: int, says: str) -> None:
        super().__init__(f"{status} {says}")
        self.status, self.says = status, says


class Visitor:
    """Somebody with a photo: a browser with the page open, or a program that calls its API."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=600)
        self.session = secrets.token_hex(6)
        self.ticket = secrets.token_hex(6)

    def __enter__(self) -> Visitor:
        return self

    def __exit__(self, *_: object) -> None:
        self.http.close()

    def upload(self, picture: bytes, name: str = "photo.jpg") -> str:
        """The path of the upload."""
        answer = self.http.post("gradio_api/upload", files={"files": (name, picture)})
        return str(_checked(answer)[0])

    def ask(self, path: str, model: str, *, kind: str = "") -> str:
        """As a program: ask for exposures, or for one file of a ``kind``; what `listen` wants to know."""
        function = "export" if kind else "generate"
        data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, model, 2, "auto", *([kind] if kind else []), ""]
        event = _checked(self.http.post(f"gradio_api/call/{function}", json={"data": data}))["event_id"]
        return f"gradio_api/call/{function}/{event}"

    def develop(self, path: str, model: str) -> str:
        """As the page's script: ask for all that the page shows; what `listen` wants to know."""
        request = {"ticket": self.ticket, "path": path, "model": model, "evs": [-4, -2, 0, 2, 4], "response": "auto"}
        body = {"data": [json.dumps(request)], "fn_index": self._number("develop"), "session_hash": self.session}
        _checked(self.http.post("gradio_api/queue/join", json=body))
        return f"gradio_api/queue/data?session_hash={self.session}"

    def cancel(self) -> None:
        """Press the page's button."""
        body = {"data": [self.ticket], "fn_index": self._number("stop"), "session_hash": self.session}
        with httpx.Client(base_url=self.http.base_url, timeout=60) as second:  # the first may be listening
            _checked(second.post("gradio_api/run/stop", json=body))

    def listen(self, address: str) -> Iterator[str]:
        """Lines of news, without their escapes. Closing the generator closes the tab, or hangs the call up."""
        with self.http.stream("GET", address) as events:
            for line in events.iter_lines():
                yield html.unescape(line.replace('\\"', '"'))

    def fetch(self, path: str) -> bytes:
        """A file of an answer."""
        answer = self.http.get(f"gradio_api/file={path}")
        if answer.status_code >= 400:
            _checked(answer)
        return answer.content

    def _number(self, name: str) -> int:
        doors = self.http.get("config").json()["dependencies"]
        return int(next(door["id"] for door in doors if door["api_name"] == name))


def _checked(answer: httpx.Response) -> Any:
    if answer.status_code >= 400:
        try:
            says = str(answer.json().get("detail", answer.text))
        except ValueError:
            says = answer.text
        raise RefusedError(answer.status_code, says)
    return answer.json()


def photo(seed: int, megapixels: float) -> bytes:
    """One of the examples in one of three shapes, with a noise of its own: a JPEG."""
    rng = np.random.default_rng(seed)
    examples = sorted((ROOT / "examples").glob("*.jpg"))
    aspect = (4 / 3, 3 / 2, 3 / 4)[seed % 3]
    height = round((megapixels * 1e6 / aspect) ** 0.5)
    with Image.open(examples[seed % len(examples)]) as example:
        pixels = np.asarray(example.convert("RGB").resize((round(height * aspect), height)), np.float32)
    file = io.BytesIO()
    noisy = (pixels + rng.normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(file, "JPEG", quality=92)
    return file.getvalue()


def marked(jpeg: bytes, number: int) -> bytes:
    """The same picture as another file: with a comment of its own."""
    return jpeg[:2] + b"\xff\xfe\0\x0a" + b"%08d" % number + jpeg[2:]
