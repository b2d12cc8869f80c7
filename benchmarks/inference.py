"""How fast and how small: each network from 1 to 100 megapixels, beside the same work with no network at all.

    python benchmarks/inference.py                              # measure everything; the better part of an hour
    python benchmarks/inference.py --networks radiance --sizes 12 --runs 9
    python benchmarks/inference.py --start                      # how long the command takes to start
    python benchmarks/inference.py --readme                     # put the measured figures into the README

Results are kept in benchmarks/inference.json, one row for each network and size, and drawn in docs/inference.svg. A
row is measured in one process: in every run the floor, the whole way and its stages take turns, so that whatever else
the machine does falls on all of them. Ratios are taken run by run, then the median. Memory is the peak of a process
of its own that does one photo and ends.

The photo is an example enlarged, with the grain of a small sensor, so that its file is as large as a camera's.
floor     read the JPEG, encode five exposures as JPEG on all cores: what no network can be faster than
whole     read the JPEG, run the network, draw and encode the five exposures
in memory read the JPEG, run the network, hold radiance and five exposures; processor: its processor time
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "benchmarks/inference.json"
PLOT = ROOT / "docs/inference.svg"
BEGIN, END = "<!-- speed -->\n", "<!-- /speed -->"
SIZES = {1: (1224, 816), 12: (4000, 3000), 24: (6000, 4000), 100: (11648, 8736)}
DEFAULT_SIZES = {"radiance": (1, 12, 24, 100), "bracket": (1, 12, 24, 100), "ein": (1,)}
_BUSY = 2.5  # load above which two cores were not ours alone
STAGES = ("decode", "network", "render", "light", "encode")
GRAIN = 4  # standard deviation in 8-bit codes; a 12-megapixel JPEG then has 3 to 4 MB, as telephones write them
LONG = 50  # megapixels from which a few runs must do


# In the processes that measure. They alone import torch, because a process inherits its parent's peak of memory.


def make_photo(path: Path, width: int, height: int) -> None:
    """Write the photo of a size."""
    import numpy as np
    from PIL import Image

    example = Image.open(ROOT / "examples/dandelions.jpg").convert("RGB")
    pixels = np.array(example.resize((width, height), Image.Resampling.BICUBIC))
    rng = np.random.default_rng(0)
    for top in range(0, height, 256):
        part = pixels[top : top + 256]
        grain = rng.standard_normal(part.shape, np.float32) * GRAIN
        part[...] = np.where(part >= 250, part, (part + grain).clip(0, 255).round())  # what is clipped has no grain
    Image.fromarray(pixels).save(path, quality=95)


def pipeline(name: str) -> Any:
    """A bundled network, or an untrained one of the published size: the work is the same."""
    from hdrgan import EIN, Pipeline
    from hdrgan.models.finding import bundled_folder

    if bundled_folder(name) is not None:
        return Pipeline.from_pretrained(name, device="cpu")
    return Pipeline(EIN(), device="cpu", name="ein")


def timed(work: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Seconds by the clock and seconds of processor time, and what the work answered."""
    clock, processor = time.perf_counter(), time.process_time()
    answer = work()
    return {"seconds": time.perf_counter() - clock, "cpu": time.process_time() - processor}, answer


def measure_times(name: str, photo: Path, runs: int) -> list[dict[str, dict[str, float]]]:
    """Floor, whole way and stages, ``runs`` times after one to warm up."""
    from hdrgan import load_photo
    from hdrgan.batch.settings import processor
    from hdrgan.files.write import save_jpeg
    from hdrgan.light.evs import DEFAULT_EVS
    from hdrgan.light.parallel import each

    pipe = pipeline(name)
    process = processor(pipe, DEFAULT_EVS, "auto", one_thread=False)  # as `hdrgan generate` does it
    with tempfile.TemporaryDirectory() as out:
        frames = tuple(pipe(photo).exposures)
        files = [Path(out) / f"{k}.jpg" for k in range(len(frames))]

        def floor() -> None:
            load_photo(photo)
            each(lambda k: save_jpeg(files[k], frames[k]), range(len(frames)))

        def run() -> dict[str, dict[str, float]]:
            row = {"floor": timed(floor)[0]}
            row["whole"] = timed(lambda: process(load_photo(photo)).save(out, format="jpg", hdr=()))[0]
            row["decode"], loaded = timed(lambda: load_photo(photo))
            row["network"], result = timed(lambda: pipe(loaded))
            row["render"], _ = timed(lambda: list(result.exposures))
            row["light"], _ = timed(lambda: result.radiance)
            row["encode"], _ = timed(lambda: result.save(out, format="jpg", hdr=()))
            return row

        rows = [run() for _ in range(runs + 1)]
    return rows[1:]


def measure_memory(name: str, photo: Path, what: str) -> float:
    """Peak resident memory in GB of this process when it has made the files, or the result, of one photo."""
    pipe = pipeline(name)
    with tempfile.TemporaryDirectory() as out:
        result = pipe(photo)
        if what == "files":
            result.save(out, format="jpg", hdr=())
        else:
            held = (list(result.exposures), result.radiance)
            assert len(held) == 2
    # The largest size in `resource.getrusage` may be that of the process that started this one.
    most = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert most, "the kernel tells no largest size"
    return int(most[1]) * 1024 / 1e9


def measure_first_call(photo: Path) -> dict[str, float]:
    """The first run of the bundled radiance network in a process: the network itself, cold."""
    pipe = pipeline("radiance")
    return timed(lambda: pipe(photo))[0]


CHILDREN: dict[str, Callable[..., Any]] = {
    "photo": lambda path, width, height: make_photo(Path(path), int(width), int(height)),
    "times": lambda name, photo, runs: measure_times(name, Path(photo), int(runs)),
    "memory": lambda name, photo, what: measure_memory(name, Path(photo), what),
    "first": lambda photo: measure_first_call(Path(photo)),
}


# In the process that asks.


def environment() -> dict[str, str]:
    """What the command line sets for itself, so that both are measured alike."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": os.environ.get("OMP_WAIT_POLICY", "PASSIVE")}


def child(*arguments: object) -> Any:
    """Run one of `CHILDREN` in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--child", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment())
    return json.loads(done.stdout)


def measure(name: str, megapixels: int, runs: int, photo: Path) -> dict[str, Any]:
    """One row of the report."""
    width, height = SIZES[megapixels]
    if not photo.exists():
        child("photo", photo, width, height)
    rows = child("times", name, photo, runs)
    middle = {
        what: {unit: statistics.median(row[what][unit] for row in rows) for unit in ("seconds", "cpu")}
        for what in rows[0]
    }
    in_memory = [sum(row[stage]["seconds"] for stage in STAGES[:-1]) for row in rows]
    over_floor = {
        unit: statistics.median(row["whole"][unit] / row["floor"][unit] for row in rows) for unit in ("seconds", "cpu")
    }
    return {
        "network": name,
        "megapixels": width * height / 1e6,
        "size": [width, height],
        "file_megabytes": photo.stat().st_size / 1e6,
        "runs": len(rows),
        "load": os.getloadavg()[0],
        "times": middle,
        "in_memory_seconds": statistics.median(in_memory),
        "in_memory_cpu": statistics.median(sum(row[stage]["cpu"] for stage in STAGES[:-1]) for row in rows),
        "over_floor": over_floor,
        "files_gb": child("memory", name, photo, "files"),
        "result_gb": child("memory", name, photo, "result"),
    }


def measure_start(runs: int) -> dict[str, Any]:
    """How long the command takes for a small photo, beside loading torch and nothing else."""
    photo = ROOT / "examples/launch_pad.jpg"
    with tempfile.TemporaryDirectory() as out:
        commands = {
            "torch": ["-c", "import torch"],
            "generate": ["-m", "hdrgan", "generate", str(photo), "-o", out, "--overwrite"],
            "help": ["-m", "hdrgan", "--help"],
        }
        rows: list[dict[str, dict[str, float]]] = []
        for _ in range(runs + 1):
            row = {}
            for name, command in commands.items():
                clock, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
                subprocess.run(
                    [sys.executable, *command], check=True, stdout=subprocess.DEVNULL, cwd=ROOT, env=environment()
                )
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                row[name] = {"seconds": time.perf_counter() - clock, "cpu": spent}
            row["network"] = child("first", photo)
            rows.append(row)
    rows = rows[1:]
    return {
        "runs": len(rows),
        "load": os.getloadavg()[0],
        "times": {
            what: {unit: statistics.median(row[what][unit] for row in rows) for unit in ("seconds", "cpu")}
            for what in rows[0]
        },
        # The network comes on top of the half that is allowed for everything else.
        "over_torch": {
            unit: statistics.median((r["generate"][unit] - r["network"][unit]) / r["torch"][unit] for r in rows)
            for unit in ("seconds", "cpu")
        },
    }


def machine() -> dict[str, Any]:
    """What it was measured on."""
    model = platform.processor() or platform.machine()
    listed = Path("/proc/cpuinfo")
    if listed.exists():
        names = [line.split(":", 1)[1].strip() for line in listed.read_text().splitlines() if "model name" in line]
        model = names[0] if names else model
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"processor": model, "cores": cores, "python": platform.python_version()}


def read() -> dict[str, Any]:
    """The report so far."""
    return json.loads(REPORT.read_text()) if REPORT.exists() else {"rows": []}


def write(report: dict[str, Any]) -> None:
    """Keep the report, and draw it."""
    report["machine"] = machine()
    order = list(DEFAULT_SIZES)
    report["rows"].sort(key=lambda row: (order.index(row["network"]), row["megapixels"]))
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    PLOT.write_text(plot(report["rows"]))


# What is shown.


def digits(value: float) -> str:
    """Two digits that count."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def markdown(report: dict[str, Any]) -> str:
    """The README's table and the sentences under it."""
    head = [
        "",
        "MP",
        *STAGES,
        "in memory",
        "processor",
        "MP/s",
        "five JPEGs",
        "floor",
        "× floor",
        "RSS files",
        "RSS memory",
    ]
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    for row in report["rows"]:
        times = {name: value["seconds"] for name, value in row["times"].items()}
        cells = [
            row["network"],
            f"{row['megapixels']:.0f}",
            *(digits(times[stage]) for stage in STAGES),
            digits(row["in_memory_seconds"]),
            digits(row["in_memory_cpu"]),
            digits(row["megapixels"] / row["in_memory_seconds"]),
            digits(times["whole"]),
            digits(times["floor"]),
            f"{row['over_floor']['seconds']:.2f}",
            f"{row['files_gb']:.2f} GB",
            f"{row['result_gb']:.2f} GB",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    there = report["machine"]
    load = [row["load"] for row in report["rows"]]
    busy = [f"{row['network']} {row['megapixels']:.0f} MP" for row in report["rows"] if row["load"] > _BUSY]
    text = (
        f"Seconds on {there['cores']} cores of an {there['processor']}, medians of "
        f"{min(row['runs'] for row in report['rows'])} to {max(row['runs'] for row in report['rows'])} runs. "
        + (
            f"During {', '.join(busy)} the machine was busy with other work (load up to {digits(max(load))}), so that "
            "most of their time is waiting: their ratios and processor time say more than the seconds."
            if busy
            else "The machine did nothing else."
        )
    )
    start = report.get("start")
    if start:
        seconds = {name: value["seconds"] for name, value in start["times"].items()}
        text += (
            f" Starting cold, `python -m hdrgan generate` of a small photo takes {digits(seconds['generate'])} s, of "
            f"which {digits(seconds['network'])} s are the network: the rest is {start['over_torch']['seconds']:.2f} "
            f"times `import torch` alone ({digits(seconds['torch'])} s). `hdrgan --help` takes "
            f"{digits(seconds['help'])} s."
        )
    return "\n".join(lines) + "\n\n" + text


def put_into_readme(readme: Path, report: dict[str, Any]) -> None:
    """Rewrite what stands between the README's two markers."""
    before, rest = readme.read_text().split(BEGIN)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{BEGIN}\n{markdown(report)}\n\n{END}{after}")


COLOURS = {"radiance": "#c2410c", "bracket": "#1d4ed8", "ein": "#15803d", "floor": "#6b7280"}


def plot(rows: list[dict[str, Any]]) -> str:
    """Time of five JPEGs and peak memory against megapixels, both on logarithmic axes, as SVG."""
    time_lines = {
        name: [(r["megapixels"], r["times"]["whole"]["seconds"]) for r in rows if r["network"] == name]
        for name in dict.fromkeys(r["network"] for r in rows)
    }
    time_lines["floor"] = [
        (r["megapixels"], r["times"]["floor"]["seconds"]) for r in rows if r["network"] == rows[0]["network"]
    ]
    memory_lines = {
        name: [(r["megapixels"], r["files_gb"]) for r in rows if r["network"] == name]
        for name in dict.fromkeys(r["network"] for r in rows)
    }
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 360" font-family="sans-serif" font-size="12">',
        '<rect width="860" height="360" fill="#ffffff"/>',
        *chart(time_lines, 60, "photo to five JPEGs, seconds"),
        *chart(memory_lines, 500, "peak memory, GB"),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def chart(lines: dict[str, list[tuple[float, float]]], left: int, title: str) -> Iterable[str]:
    """One diagram 320 wide and 260 high, its lower left corner at (``left``, 310)."""
    points = [point for line in lines.values() for point in line]
    low = 10 ** math.floor(math.log10(min(y for _, y in points)))
    high = 10 ** math.ceil(math.log10(max(y for _, y in points)))

    def x(megapixels: float) -> float:
        return left + 320 * math.log10(megapixels / 0.9) / math.log10(130 / 0.9)

    def y(value: float) -> float:
        return 310 - 260 * math.log10(value / low) / math.log10(high / low)

    yield f'<text x="{left}" y="28" font-weight="bold">{title}</text>'
    value = low
    while value <= high * 1.001:
        yield f'<line x1="{left}" x2="{left + 320}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#e5e7eb"/>'
        yield f'<text x="{left - 6}" y="{y(value) + 4:.1f}" text-anchor="end">{value:g}</text>'
        value *= 10
    for megapixels in SIZES:
        yield f'<text x="{x(megapixels):.1f}" y="328" text-anchor="middle">{megapixels}</text>'
    yield f'<text x="{left + 160}" y="348" text-anchor="middle">megapixels</text>'
    placed: list[tuple[float, float]] = []
    for name, line in lines.items():
        colour = COLOURS[name]
        path = " ".join(f"{x(a):.1f},{y(b):.1f}" for a, b in line)
        yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
        yield from (f'<circle cx="{x(a):.1f}" cy="{y(b):.1f}" r="3.5" fill="{colour}"/>' for a, b in line)
        end = line[-1]
        right, height = x(end[0]) + 7, y(end[1]) + 4
        while any(abs(right - a) < 60 and abs(height - b) < 14 for a, b in placed):  # names must not lie on one another
            height += 14
        placed.append((right, height))
        yield f'<text x="{right:.1f}" y="{height:.1f}" fill="{colour}">{name}</text>'


def main() -> None:
    """Measure what is asked for, or rewrite the README's figures."""
    if sys.argv[1:2] == ["--child"]:
        sys.stdout.write(json.dumps(CHILDREN[sys.argv[2]](*sys.argv[3:])))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", nargs="+", choices=DEFAULT_SIZES, default=list(DEFAULT_SIZES))
    parser.add_argument("--sizes", nargs="+", type=int, choices=SIZES, help="megapixels (default: ein 1, others all)")
    parser.add_argument("--runs", type=int, default=7, help="runs of each size; 3 at most of the largest")
    parser.add_argument("--start", action="store_true", help="measure only how long the command takes to start")
    parser.add_argument("--readme", action="store_true", help="measure nothing, rewrite the README's figures")
    arguments = parser.parse_args()
    if arguments.readme:
        put_into_readme(ROOT / "README.md", read())
        return
    if not arguments.start:
        with tempfile.TemporaryDirectory() as folder:
            for name in arguments.networks:
                for megapixels in arguments.sizes or DEFAULT_SIZES[name]:
                    runs = min(arguments.runs, 3) if megapixels > LONG else arguments.runs
                    row = measure(name, megapixels, runs, Path(folder) / f"photo_{megapixels}.jpg")
                    report = read()
                    same = [k for k, r in enumerate(report["rows"]) if (r["network"], r["size"]) == (name, row["size"])]
                    report["rows"] = [r for k, r in enumerate(report["rows"]) if k not in same] + [row]
                    write(report)
                    sys.stderr.write(
                        f"{name} {megapixels} MP: {row['times']['whole']['seconds']:.2f} s to five JPEGs, "
                        f"{row['over_floor']['seconds']:.2f} x floor, {row['files_gb']:.2f} GB\n"
                    )
    if arguments.start or not arguments.sizes:
        report = read()
        report["start"] = measure_start(arguments.runs)
        write(report)


if __name__ == "__main__":
    main()
