"""What page and command line do in a long crowd of good, bad and abandoned work: ``python -m benchmarks.soak``.

It serves the page on two processor cores of this machine, and visits it over the loopback for half an hour: visitors
with a few photos each, all at once, by the page's own script and by its API. Some of what they send is hostile, some of
what they ask for they abandon: while it is uploaded, while it waits, while it is worked on. Beside them `hdrgan
generate` works on folders of such photos, and is ended in the middle now and then. A line a minute says what the page
takes of the machine. It ends with status 1 if anybody read something that is not a sentence for people, if memory grew
by more than a tenth of its value after two minutes (that it falls is no fault), or if anything is left on the disk
after the time for which photos are kept.

The visitors run on the same cores as the page, so its times are those of a machine that is busier than it looks.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np

from benchmarks.served import ROOT, RefusedError, Server, Visitor, marked, photo

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from mutants import mutate
from photo_files import photos as small_files

KEEP_MINUTES = 1
SETTLED_S = 120.0  # from which on memory is judged
GROWTH = 1.10
_NO_SENTENCE = re.compile(r"Traceback|File \"|Something broke on our side|Internal Server Error|Errno|0x[0-9a-f]{6}")


def is_sentence(says: str) -> bool:
    """Whether a visitor can read it: one line of words with an end, and nothing of the inside."""
    return bool(re.fullmatch(r"[^\n]*[a-z]{2}[^\n]*[.!]", says.strip())) and not _NO_SENTENCE.search(says)


class Inputs:
    """Photos to send: good ones of three sizes, and hostile ones that are made, or come from a folder too."""

    def __init__(self, folder: Path | None) -> None:
        self.good = [photo(seed, size) for seed, size in enumerate((0.3, 0.5, 0.8, 1.0, 2.0, 2.0))]
        self.files = list(small_files().values())
        self.given = [path for path in sorted(folder.rglob("*")) if path.is_file()] if folder else []
        self.number = 0
        self.lock = threading.Lock()

    def next_good(self, rng: random.Random, size: int | None = None) -> bytes:
        """A photo that nobody sent before."""
        with self.lock:
            self.number += 1
        return marked(self.good[rng.randrange(len(self.good)) if size is None else size], self.number)

    def next_hostile(self, rng: random.Random) -> tuple[str, bytes]:
        """A name and a content."""
        if self.given and rng.random() < 0.5:
            path = rng.choice(self.given)
            return path.name, path.read_bytes()[: 8 << 20]
        makers: list[tuple[str, Callable[[], bytes]]] = [
            (
                "mutant.jpg",
                lambda: mutate(rng.choice(self.files), np.random.default_rng(rng.getrandbits(32)), self.files),
            ),
            ("cut.jpg", lambda: self.good[3][: rng.randrange(1, len(self.good[3]))]),
            ("text.jpg", lambda: b"this is no photo\n" * 99),
            ("empty.png", lambda: b""),
            ("noise.tif", lambda: b"II*\0" + rng.randbytes(5000)),
            ("bomb.png", lambda: _bomb()),
            ("../../../etc/passwd", lambda: rng.randbytes(100)),
        ]
        name, make = rng.choice([makers[0], *makers])
        return name, make()


def _bomb() -> bytes:
    """A PNG that says it has 60,000 by 60,000 pixels."""
    import struct
    import zlib

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    head = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


class Tally:
    """What came of everything, and what should not have."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.waits: list[float] = []
        self._lock = threading.Lock()

    def count(self, outcome: str) -> None:
        with self._lock:
            self.counts[outcome] += 1

    def said(self, says: object, outcome: str) -> None:
        """Somebody was refused in these words."""
        if isinstance(says, str) and is_sentence(says):
            self.count("busy" if "busy" in says or "waited for" in says else outcome)
        else:
            self.fault(f"{outcome}: {str(says)[:300]!r}")

    def fault(self, what: str) -> None:
        with self._lock:
            self.counts["faults"] += 1
            self.faults.append(what)
        say(f"  {what}")


class Crowd:
    """Visitors of one server, one thread each, until the time is up."""

    def __init__(self, server: Server, inputs: Inputs, tally: Tally, end: float, photos: int) -> None:
        self.server, self.inputs, self.tally, self.end, self.photos = server, inputs, tally, end, photos

    def visitor(self, number: int) -> None:
        """One after the other: people with a few photos each."""
        rng = random.Random(number)
        while time.monotonic() < self.end:
            for _ in range(self.photos):
                self._shielded(rng)
                if self._pause(rng.uniform(0.5, 6)):
                    return

    def _pause(self, seconds: float) -> bool:
        time.sleep(max(0.0, min(seconds, self.end - time.monotonic())))
        return time.monotonic() >= self.end

    def _shielded(self, rng: random.Random) -> None:
        started = time.monotonic()
        try:
            done = self._photo(rng)
        except RefusedError as refused:
            if refused.status >= 500 and refused.status not in (503, 507):
                self.tally.fault(str(refused))
            else:
                self.tally.said(refused.says, "refused")
        except Exception as error:
            self.tally.fault(f"no answer that makes sense: {error!r}")
        else:
            if done:
                self.tally.waits.append(time.monotonic() - started)

    def _photo(self, rng: random.Random) -> bool:
        """One photo: good, hostile or abandoned; whether it was answered in full."""
        chance = rng.random()
        with Visitor(self.server.url) as visitor:
            if chance < 0.1:
                return self._hostile(rng, visitor)
            if chance < 0.3:
                self._abandoned(rng, visitor)
                return False
            model = rng.choices(("radiance", "bracket", "ein"), (80, 15, 5))[0]
            path = visitor.upload(self.inputs.next_good(rng, None if model == "radiance" else 0))
            return self._followed(rng, visitor, path, model)

    def _followed(self, rng: random.Random, visitor: Visitor, path: str, model: str, outcome: str = "failed") -> bool:
        """Ask for a photo by one of the doors, and read the answer to its end."""
        way = rng.random()
        kind = rng.choice(("exr", "hdr", "ultrahdr", "zip", "finished")) if way < 0.2 else ""
        asked = visitor.develop(path, model) if way > 0.6 else visitor.ask(path, model, kind=kind)
        text = "\n".join(visitor.listen(asked))
        files = set(re.findall(r'(?:"path": ?"|gradio_api/file=)(/[^"]+/answer-[^"]+)"', text))
        if '"state": "done"' in text or "event: complete" in text:
            for file in files:
                if not visitor.fetch(file):
                    self.tally.fault(f"an empty file: {file}")
            self.tally.count("done" if files else "answered without files")
            return bool(files)
        says = re.findall(r'"says": ?"([^"]*)"[^"]*$|"error": ?"([^"]*)"|"says": ?"([^"]*)"', text)
        self.tally.said("".join(says[-1]) if says else text[-300:], outcome)
        return False

    def _hostile(self, rng: random.Random, visitor: Visitor) -> bool:
        way = rng.random()
        if way < 0.8:
            name, content = self.inputs.next_hostile(rng)
            self._followed(rng, visitor, visitor.upload(content, name), "radiance", "refused hostile")
        elif way < 0.9:
            visitor.ask("/etc/passwd", "radiance")
        else:
            answer = visitor.http.post("gradio_api/call/generate", content=b'{"data": [[[[[' + b"[" * 5000)
            self.tally.said(answer.json()["detail"], "refused hostile")
        return False

    def _abandoned(self, rng: random.Random, visitor: Visitor) -> None:
        way = rng.choice(("upload", "tab", "call", "cancel", "never heard"))
        if way == "upload":
            self._broken_upload()
        else:
            path = visitor.upload(self.inputs.next_good(rng))
            model = rng.choices(("radiance", "bracket", "ein"), (70, 15, 15))[0] if way != "never heard" else "radiance"
            asked = visitor.ask(path, model) if way in ("call", "never heard") else visitor.develop(path, model)
            if way != "never heard":
                news = visitor.listen(asked)
                for _ in range(rng.choice((1, 6, 20))):
                    next(news, None)
                if way == "cancel":
                    visitor.cancel()
                news.close()  # type: ignore[attr-defined]
        self.tally.count("abandoned")

    def _broken_upload(self) -> None:
        url = httpx.URL(self.server.url)
        with socket.create_connection((url.host, url.port)) as line:
            head = "POST /gradio_api/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n"
            form = '--x\r\nContent-Disposition: form-data; name="files"; filename="a.jpg"\r\n\r\n'
            kind = "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
            line.sendall((head + kind + form).encode() + b"0" * 2_000_000)
            time.sleep(0.3)


class Batches:
    """`hdrgan generate` over a folder of good and hostile photos, again and again; one in five is ended halfway."""

    def __init__(self, inputs: Inputs, tally: Tally, end: float, folder: Path) -> None:
        self.inputs, self.tally, self.end, self.folder = inputs, tally, end, folder
        self.most_megabytes = 0.0
        self.now: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Until the time is up."""
        rng = random.Random(1000)
        while time.monotonic() < self.end:
            with suppress(FileNotFoundError):
                shutil.rmtree(self.folder)
            self._batch(rng)
            time.sleep(max(0.0, min(rng.uniform(5, 20), self.end - time.monotonic())))

    def _batch(self, rng: random.Random) -> None:
        photos, output = self.folder / "photos", self.folder / "out"
        photos.mkdir(parents=True)
        for k in range(4):
            (photos / f"good{k}.jpg").write_bytes(self.inputs.next_good(rng, k % 4))
        for k in range(2):
            (photos / f"bad{k}.jpg").write_bytes(self.inputs.next_hostile(rng)[1])
        command = [sys.executable, "-m", "hdrgan", "generate", str(photos), "-o", str(output), "--device", "cpu"]
        with open(self.folder / "said", "wb") as said:
            self.now = subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=said)
        ended = rng.random() < 0.2
        if ended:
            time.sleep(rng.uniform(0.5, 8))
            self.now.terminate()
        _, status, usage = os.wait4(self.now.pid, 0)
        code = self.now.returncode = os.waitstatus_to_exitcode(status)
        self.most_megabytes = max(self.most_megabytes, usage.ru_maxrss / 1024)
        says = (self.folder / "said").read_text(errors="replace")
        halves = [path.name for path in self.folder.rglob("*.part*")]
        if code not in ((0, 1, 143, -15) if ended else (0, 1)) or "Traceback" in says:
            self.tally.fault(f"hdrgan generate ended with {code}: {says[-500:]!r}")
        elif halves:
            self.tally.fault(f"hdrgan generate left {halves}")
        elif not ended and len(list(output.glob("good*"))) < 20:
            self.tally.fault(f"hdrgan generate wrote {len(list(output.glob('good*')))} files: {says[-500:]!r}")
        else:
            self.tally.count("batches ended" if ended else "batches")


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


def say(line: str) -> None:
    """Print it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main(arguments: list[str] | None = None) -> int:
    """Run it all and print it; 1 if anything is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--visitors", type=int, default=20, help="at once")
    parser.add_argument("--photos", type=int, default=3, help="of each visitor, before the next one comes")
    parser.add_argument("--hostile", type=Path, help="a folder of more hostile files")
    parser.add_argument("--no-batches", action="store_true", help="leave the command line out")
    parser.add_argument("--skip-sweep", action="store_true", help="do not wait until old files are deleted")
    options = parser.parse_args(arguments)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # the page inherits it
    wrong: list[str] = []

    def line(name: str, value: str, ok: bool = True) -> None:
        say(f"{name:<44} {value}{'' if ok else '   <-- not as it should be'}")
        if not ok:
            wrong.append(name)

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    line("cores, and the load of the machine before", f"{cores}, {os.getloadavg()[1]:.1f}")
    line("asked for", f"{options.minutes:g} minutes, {options.visitors} visitors x {options.photos} photos")
    line("hostile files", "made by the test" + (f", and those in {options.hostile.name}/" if options.hostile else ""))
    line("memory may grow after two minutes by", f"{100 * (GROWTH - 1):.0f} %; that it falls is no fault")
    inputs, tally = Inputs(options.hostile), Tally()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as work:
        server = Server(Path(folder), HDRGAN_KEEP_MINUTES=str(KEEP_MINUTES))
        health = Health(server.url)
        health.start()
        try:
            started = time.monotonic()
            end = started + 60 * options.minutes
            crowd = Crowd(server, inputs, tally, end, options.photos)
            batches = Batches(inputs, tally, end, Path(work) / "batch")
            doers = [threading.Thread(target=crowd.visitor, args=(k,), daemon=True) for k in range(options.visitors)]
            if not options.no_batches:
                doers.append(threading.Thread(target=batches.run, daemon=True))
            for doer in doers:
                doer.start()
            memory = watch(server, tally, doers, started)
            over = min(300.0, 15 * options.minutes)  # seconds: what is worked on at one moment says little
            settled = [mb for at, mb in memory if SETTLED_S <= at < SETTLED_S + over]
            last = [mb for at, mb in memory if at > 60 * options.minutes - over]
            say("")
            for outcome, count in sorted(tally.counts.items()):
                line(outcome, str(count))
            times = sorted(tally.waits) or [float("inf")]
            line("from upload to the last file", f"median {np.median(times):.1f} s, slowest {times[-1]:.1f} s")
            if settled:
                before, after = float(np.mean(settled)), float(np.mean(last))
                text = f"{before:.0f} MB and {after:.0f} MB ({100 * (after / before - 1):+.1f} %)"
                line(f"memory, {over / 60:g} minutes from the third, and the last", text, after <= GROWTH * before)
            line("memory at most", f"{server.megabytes('VmHWM'):.0f} MB, a batch {batches.most_megabytes:.0f} MB")
            if not options.skip_sweep:
                quiet = time.monotonic() + (KEEP_MINUTES + 2) * 60 + 15
                while server.files() and time.monotonic() < quiet:
                    time.sleep(1)
                left = len(server.files())
                line("files on the disk, after the time they are kept", str(left), not left)
            line("memory at rest", f"{server.megabytes():.0f} MB")
            line("descriptors and threads at rest", f"{server.descriptors()} and {server.threads()}")
            health.over.set()
            health.join()
            waits = sorted(health.waits)
            text = f"median {1000 * waits[len(waits) // 2]:.0f} ms, slowest {1000 * waits[-1]:.0f} ms"
            line(f"health, asked {len(waits)} times", text)
            said = "".join(server.log)
            broken = said.count("Traceback")
            line("tracebacks in the log", str(broken), not broken)
            line("answers that are no sentence, and other faults", str(len(tally.faults)), not tally.faults)
            line("load of the machine, with this run", f"{os.getloadavg()[1]:.1f}")
        finally:
            health.over.set()
            code = server.stop()
        line("exit code of the page, ended by SIGTERM", str(code), code == 143)
        line("files left by the server when it stopped", str(len(server.files())), not server.files())
    if any("Traceback" in text for text in server.log):
        say("".join(server.log[-200:]))
    return 1 if wrong else 0


def watch(server: Server, tally: Tally, doers: list[threading.Thread], started: float) -> list[tuple[float, float]]:
    """Print what the page takes, a line a minute, until all are done; its memory, second by second."""
    say("\nminute   RSS MB   descriptors   threads   decoders   files     MB    done    busy   faults")
    memory: list[tuple[float, float]] = []
    minute = 0
    while any(doer.is_alive() for doer in doers):
        at = time.monotonic() - started
        memory.append((at, server.megabytes()))
        if at >= 60 * minute:
            sizes = []
            for path in server.files():
                with suppress(OSError):
                    sizes.append(path.stat().st_size)
            counts = tally.counts
            say(
                f"{minute:6d} {memory[-1][1]:8.0f} {server.descriptors():13d} {server.threads():9d} "
                f"{len(server.processes()) - 1:10d} {len(sizes):7d} {sum(sizes) / 1e6:6.0f} {counts['done']:7d} "
                f"{counts['busy']:7d} {len(tally.faults):8d}"
            )
            minute += 1
        time.sleep(1)
    return memory


if __name__ == "__main__":
    raise SystemExit(main())
