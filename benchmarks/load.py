"""What the page does in a crowd: ``python -m benchmarks.load``, about ten minutes on two cores.

It serves the page with its default limits, but photos kept for three minutes, on two processor cores of this machine,
and visits it over the loopback: users with photos all at once, then one after the other until the memory can be judged,
uploads that break off, visitors who leave in the middle of the work. It prints what came out, and ends with status 1 if
anything is not as it should be. The visitors run on the same cores as the page, so its times are those of a machine
that is busier than it looks.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
KEEP_MINUTES = 3
HEALTHY_S = 2.0
GROWTH = 1.10


class Server:
    """``python app.py`` on two cores: its address, its memory, its log."""

    def __init__(self, temporary: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        environ = os.environ | {"TMPDIR": str(temporary), "GRADIO_SERVER_PORT": str(port), "HDRGAN_DEVICE": "cpu"}
        environ |= {"HDRGAN_KEEP_MINUTES": str(KEEP_MINUTES)}
        environ.pop("GRADIO_TEMP_DIR", None)
        self.temporary = temporary
        self.process = subprocess.Popen(
            [sys.executable, "app.py"],
            cwd=ROOT,
            env=environ,
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

    def resident_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def peak_mb(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]

    def files(self) -> list[Path]:
        return [path for path in self.temporary.rglob("*") if path.is_file()]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(30)


class Health(threading.Thread):
    """Asks the page four times a second how it is, and notes how long it waits for an answer."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.waits: list[float] = []
        self.over = threading.Event()

    def run(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self.over.wait(0.25):
                started = time.monotonic()
                ok = client.get(f"{self.url}healthz").json() == {"status": "ok"}
                self.waits.append(time.monotonic() - started if ok else float("inf"))


def photo(seed: int, megapixels: float) -> bytes:
    """One of the examples in one of three shapes, with a noise of its own: a JPEG."""
    rng = np.random.default_rng(seed)
    examples = sorted((ROOT / "examples").glob("*.jpg"))
    aspect = (4 / 3, 3 / 2, 3 / 4)[seed % 3]
    height = round((megapixels * 1e6 / aspect) ** 0.5)
    with Image.open(examples[seed % len(examples)]) as example:
        pixels = np.asarray(example.convert("RGB").resize((round(height * aspect), height)), np.float32)
    file = io.BytesIO()
    Image.fromarray((pixels + rng.normal(0, 3, pixels.shape)).clip(0, 255).astype(np.uint8)).save(
        file, "JPEG", quality=92
    )
    return file.getvalue()


def upload(client: httpx.Client, picture: bytes) -> str:
    return client.post("gradio_api/upload", files={"files": ("photo.jpg", picture)}).raise_for_status().json()[0]


def ask(client: httpx.Client, path: str, model: str) -> httpx.Response:
    data = [{"path": path, "meta": {"_type": "gradio.FileData"}}, model, 2, "auto", ""]
    return client.post("gradio_api/call/generate", json={"data": data})


def visit(url: str, picture: bytes) -> tuple[str, float]:
    """One photo of one user, from upload to the last byte of five files: what came of it, and in what time."""
    started = time.monotonic()
    with httpx.Client(base_url=url, timeout=600) as client:
        asked = ask(client, upload(client, picture), "radiance")
        if asked.status_code == 503 and "busy" in asked.json().get("detail", ""):
            return "refused", time.monotonic() - started
        if asked.status_code != 200:
            return f"status {asked.status_code}", time.monotonic() - started
        events = client.get(f"gradio_api/call/generate/{asked.json()['event_id']}").text
        if "event: complete" not in events:
            return "failed", time.monotonic() - started
        for path in set(re.findall(r'"path": "([^"]+_ev[^"]+\.png)"', events)):
            if not client.get(f"gradio_api/file={path}").raise_for_status().content.startswith(b"\x89PNG"):
                return "no picture", time.monotonic() - started
    return "done", time.monotonic() - started


def crowd(url: str, users: int, photos: int, megapixels: float) -> list[tuple[str, float]]:
    """Users at once, each with photos one after the other; who is refused waits a little and takes the next."""

    def user(number: int) -> list[tuple[str, float]]:
        outcomes = []
        for k in range(photos):
            outcomes.append(visit(url, photo(1000 * number + k, megapixels)))
            if outcomes[-1][0] == "refused":
                time.sleep(5)
        return outcomes

    with ThreadPoolExecutor(users) as pool:
        return [outcome for outcomes in pool.map(user, range(users)) for outcome in outcomes]


def break_off(url: str, times: int) -> None:
    """Begin uploads and hang up in the middle."""
    address = (httpx.URL(url).host, httpx.URL(url).port)
    for _ in range(times):
        with socket.create_connection(address) as line:
            head = "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
            form = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
            line.sendall(
                f"{head}Content-Type: multipart/form-data; boundary=x\r\n\r\n{form}".encode() + b"0" * 2_000_000
            )
            time.sleep(0.3)


def leave(server: Server, times: int) -> list[float]:
    """Ask for a large photo, hang up while the network works, and read from the log how long it went on."""
    stops: list[float] = []
    for k in range(times):
        before = len(server.log)
        with httpx.Client(base_url=server.url, timeout=600) as client:
            event = ask(client, upload(client, photo(5000 + k, 12)), "bracket").json()["event_id"]
            with client.stream("GET", f"gradio_api/call/generate/{event}") as events:
                heard = 0
                for line in events.iter_lines():
                    heard += line.startswith("event: generating")
                    if heard == 6:  # reading, loading, and some pulses of the network at work
                        break
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            said = "".join(server.log[before:])
            if stopped := re.search(r"work stopped (\d+\.\d+) s after", said):
                stops.append(float(stopped[1]))
                break
            time.sleep(0.2)
        else:
            stops.append(float("inf"))
    return stops


def main() -> None:
    """Run it all and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--photos", type=int, default=3, help="of each user")
    parser.add_argument("--megapixels", type=float, default=2.0)
    parser.add_argument("--requests", type=int, default=100, help="done before the memory is read again")
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # the page inherits it
    failures: list[str] = []

    def line(name: str, value: str, ok: bool = True) -> None:
        sys.stdout.write(f"{name:<44} {value}{'' if ok else '   <-- not as it should be'}\n")
        sys.stdout.flush()
        if not ok:
            failures.append(name)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    line("cores, and the load of the machine before", f"{cores}, {os.getloadavg()[1]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        health = Health(server.url)
        health.start()
        try:
            line("memory, nobody was there yet", f"{server.resident_mb():.0f} MB")
            first = [visit(server.url, photo(k, options.megapixels)) for k in range(10)]
            done = sum(outcome == "done" for outcome, _ in first)
            after_10 = server.resident_mb()
            line("memory after 10 requests", f"{after_10:.0f} MB", done == 10)

            started = time.monotonic()
            outcomes = crowd(server.url, options.users, options.photos, options.megapixels)
            seconds = time.monotonic() - started
            counts = Counter(outcome for outcome, _ in outcomes)
            clear = counts["done"] + counts["refused"] == len(outcomes)
            line(
                f"{options.users} users x {options.photos} photos of {options.megapixels:g} MP",
                ", ".join(f"{count} {outcome}" for outcome, count in sorted(counts.items())) + f" in {seconds:.0f} s",
                clear and counts["done"] > 0,
            )
            times = sorted(wait for outcome, wait in outcomes if outcome == "done")
            line("  from upload to the last file", f"median {np.median(times):.1f} s, slowest {times[-1]:.1f} s")
            done += counts["done"]
            while done < options.requests:
                done += visit(server.url, photo(9000 + done, options.megapixels))[0] == "done"
            after_all = server.resident_mb()
            line(
                f"memory after {done} requests",
                f"{after_all:.0f} MB ({100 * (after_all / after_10 - 1):+.1f} %), peak {server.peak_mb():.0f} MB",
                after_all <= GROWTH * after_10,
            )

            break_off(server.url, 5)
            torn = [
                path
                for path in server.files()
                if path.stat().st_size > 1_000_000 and path.parent.parent == Path(folder)
            ]
            line("uploads broken off", f"{len(torn)} on the disk", len(torn) == 5)
            stops = leave(server, 3)
            line(
                "visitors who left: the work went on for",
                ", ".join(f"{stop:.2f} s" for stop in stops),
                max(stops) < 30,
            )
            line("files on the disk, right after", f"{len(server.files())}")
            deadline = time.monotonic() + (KEEP_MINUTES + 2) * 60 + 15
            while server.files() and time.monotonic() < deadline:
                time.sleep(1)
            left = server.files()
            line("files on the disk, after the sweep", f"{len(left)}", not left)
            line("memory at rest", f"{server.resident_mb():.0f} MB")
            line("load of the machine, with this run", f"{os.getloadavg()[1]:.1f}")
            health.over.set()
            health.join()
            waits = sorted(health.waits)
            line(
                f"health, asked {len(waits)} times",
                f"median {1000 * waits[len(waits) // 2]:.0f} ms, slowest {1000 * waits[-1]:.0f} ms",
                waits[-1] < HEALTHY_S,
            )
            tracebacks = "".join(server.log).count("Traceback")
            line("tracebacks in the log", f"{tracebacks}", not tracebacks)
        finally:
            server.stop()
        line("files left by the server when it stopped", f"{len(server.files())}", not server.files())
    raise SystemExit(1 if failures else 0)


if __name__ == "__main__":
    main()
