"""How soon work ends when nobody wants it any more: ``python -m benchmarks.stopping``, some ten minutes on two cores.

It serves the page, gives it photos of 12 megapixels, and stops the work in six ways (a closed tab, a closed call, the
button, the deadline, SIGTERM, SIGINT) for each network, while the photo is read, while the network works, and while
files are written. It prints the seconds from the stop until neither the page nor its decoders work any more, as the
system sees it; after a signal, until the page has ended with 128 and the number of the signal. The seconds of a
deadline begin when the work's time is up. Then it asks for a small photo while EIN works on a large one. It ends with
status 1 if anything took too long.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import imagecodecs
import numpy as np
from PIL import Image

from benchmarks.served import Server, Visitor, marked, photo

NETWORKS = ("radiance", "bracket", "ein")
WAYS = ("closed tab", "closed call", "cancel")
SIGNALS = (signal.SIGTERM, signal.SIGINT)
MOMENTS = ("reading", "network", "writing")
MOST_S = 2.0
MOST_WAIT_S = 15.0
DEADLINE_S = "1"
MIDDLE_S = 5.0  # from which the network is stopped at the latest


class Photos:
    """One large picture under as many names as are asked for."""

    def __init__(self, megapixels: float) -> None:
        self.jpeg = photo(2, megapixels)
        pixels = np.asarray(Image.open(io.BytesIO(self.jpeg))).astype(np.uint16) * 257
        pixels += np.random.default_rng(0).integers(0, 64, pixels.shape, np.uint16)
        self.png = imagecodecs.png_encode(pixels, level=1)  # takes seconds to read
        self.given = 0

    def next(self, moment: str = "") -> bytes:
        self.given += 1
        return self.png if moment == "reading" else marked(self.jpeg, self.given)


class Course:
    """An undisturbed photo: its upload, whose result is kept, and when the middle of the network's work is."""

    def __init__(self, server: Server, photos: Photos, network: str) -> None:
        with Visitor(server.url) as visitor:
            self.path = visitor.upload(photos.next())
            address = visitor.ask(self.path, network)
            started, first = time.monotonic(), 0.0
            for _ in visitor.listen(address):
                first = first or (time.monotonic() - started if server.answers() else 0.0)
            self.middle = min(MIDDLE_S, first / 2)
        for answer in server.answers():
            answer.unlink()


def reach(moment: str, server: Server, course: Course) -> None:
    """Wait until work that was just asked for has come to a moment."""
    if moment == "writing":
        while not server.answers():
            time.sleep(0.01)
    else:
        time.sleep(0.3 if moment == "reading" else course.middle)


def stopped(
    server: Server, photos: Photos, network: str, way: str | signal.Signals, moment: str, course: Course
) -> float:
    """Stop one photo's work, and wait for its end."""
    with Visitor(server.url) as visitor:
        if moment == "writing":
            path = course.path  # whose result is there already
        else:
            path = visitor.upload(photos.next(moment), "photo.png" if moment == "reading" else "photo.jpg")
        address = visitor.ask(path, network) if way == "closed call" else visitor.develop(path, network)
        news = visitor.listen(address)
        next(news)
        reach(moment, server, course)
        at = time.monotonic()
        if isinstance(way, signal.Signals):
            server.process.send_signal(way)
            code = server.process.wait(120)
            seconds = time.monotonic() - at
            if code == 128 + way:
                return seconds
            say(f"{network}, {way.name}: it ended with {code} and not with {128 + way}")
            return float("inf")
        if way == "cancel":
            visitor.cancel()
        else:
            news.close()  # type: ignore[attr-defined]
        return server.work_ended(at)


def past_its_time(server: Server, photos: Photos, network: str) -> float | None:
    """Ask a server of little patience: seconds from the moment when the work's time is up until it ends.

    None where the network was ready before.
    """
    for _ in range(5):
        with Visitor(server.url) as visitor:
            news = visitor.listen(visitor.develop(visitor.upload(photos.next()), network))
            if not any("Recovering the light" in line for line in news):
                continue  # on a busy machine reading alone may be too long; the network's time begins behind it
            deadline = time.monotonic() + float(DEADLINE_S)
            time.sleep(float(DEADLINE_S))
            seconds = server.work_ended(deadline)
            return seconds if any("takes longer than" in line for line in news) else None
    raise SystemExit(f"no photo was read within {DEADLINE_S} s: this machine is too busy")


def waited(server: Server, photos: Photos, network: str, megapixels: float) -> float:
    """Seconds from a small upload to the last of its files, while EIN works on a large one."""
    with Visitor(server.url) as large, Visitor(server.url) as small:
        news = large.listen(large.ask(large.upload(photos.next()), "ein"))
        for _ in range(60):
            next(news)
        started = time.monotonic()
        address = small.ask(small.upload(photo(photos.given, megapixels)), network)
        paths = set(re.findall(r'"path": "([^"]+_ev[^"]+\.png)"', "".join(small.listen(address))))
        for path in paths:
            small.fetch(path)
        seconds = time.monotonic() - started
        news.close()  # type: ignore[attr-defined]
    server.work_ended(time.monotonic())
    return seconds if len(paths) == 5 else float("inf")


def say(line: str) -> None:
    """Print it at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--megapixels", type=float, default=12.0, help="of the large photos")
    parser.add_argument("--small", type=float, default=0.4, help="megapixels of the small ones")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, choices=NETWORKS)
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # the page inherits it
    photos = Photos(options.megapixels)
    late: list[str] = []

    def line(name: str, seconds: list[float], most: float) -> None:
        ok = max(seconds) <= most
        columns = "".join(f"{value:>11.2f}" for value in seconds)
        say(f"{name:<34}{columns}{'' if ok else '   <-- too long'}")
        if not ok:
            late.append(name)

    def serve(work: Callable[[Server], None], **settings: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            server = Server(Path(folder), **settings)
            try:
                work(server)
            finally:
                if server.process.poll() is None:
                    server.stop()

    courses: dict[str, Course] = {}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    large, small = f"{options.megapixels:g} MP", f"{options.small:g} MP"
    say(f"{large} on {cores} cores, load of the machine before {os.getloadavg()[0]:.1f}\n")
    say(f"{'seconds from the stop to the end':<34}{''.join(f'{moment:>11}' for moment in MOMENTS)}")

    def ways(server: Server, network: str) -> None:
        courses[network] = course = Course(server, photos, network)
        for way in WAYS:
            line(f"{network}, {way}", [stopped(server, photos, network, way, at, course) for at in MOMENTS], MOST_S)

    def by_signal(server: Server, network: str, way: signal.Signals, moment: str, seconds: list[float]) -> None:
        course = Course(server, photos, network) if moment == "writing" else courses[network]
        seconds.append(stopped(server, photos, network, way, moment, course))

    def deadline(server: Server, network: str) -> None:
        name, seconds = f"{network}, deadline of {DEADLINE_S} s", past_its_time(server, photos, network)
        if seconds is None:
            say(f"{name:<34}ready before")
        else:
            line(name, [seconds], MOST_S)

    def waits(server: Server) -> None:
        say(f"\nseconds that {small} wait for their answer while EIN works on {large}")
        for network in options.networks:
            line(network, [waited(server, photos, network, options.small) for _ in range(3)], MOST_WAIT_S)

    for network in options.networks:
        serve(partial(ways, network=network))
        for way in SIGNALS:
            seconds: list[float] = []
            for moment in MOMENTS:
                serve(partial(by_signal, network=network, way=way, moment=moment, seconds=seconds))
            line(f"{network}, {way.name}", seconds, MOST_S)
        serve(partial(deadline, network=network), HDRGAN_WORK_SECONDS=DEADLINE_S)
    serve(waits)
    say(f"\nload of the machine, with this run: {os.getloadavg()[0]:.1f}")
    raise SystemExit(1 if late else 0)


if __name__ == "__main__":
    main()
