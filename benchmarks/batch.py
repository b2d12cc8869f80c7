"""How fast a batch is, and what it holds in memory: 200 photos of 1 to 24 megapixels through `hdrgan generate`.

    python -m benchmarks.batch                          # some six minutes on two cores
    python -m benchmarks.batch --photos 20 --keep /tmp/photos
    python -m benchmarks.batch --readme                 # put the measured figures into the README and docs/scale.md

The report is kept in benchmarks/batch.json. Floor: the same photos decoded and five JPEGs of each encoded by as many
threads in one process, with no network at all; what no batch can be faster than. Floor and batch take turns by fifths
of the photos, so that whatever else the machine does falls on both; the ratio compares the sums, less what each takes
to start. Resident memory is read every half second while one batch does all photos. Photos of one size are copies of
one file.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.inference import digits, environment, machine, make_photo

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "benchmarks/batch.json"
BEGIN, END = "<!-- batch -->\n", "<!-- /batch -->"
PARTS = 5
SIZES = 24
_BUSY = 2.5  # load above which two cores were not ours alone


def sizes(count: int) -> list[tuple[int, int]]:
    """Pixels of so many photos, 3:2, from 1 to 24 megapixels and mixed."""
    several = min(count, SIZES)
    steps = [1 + 23 * (k * several // count) / max(1, several - 1) for k in range(count)]
    mixed = [steps[k * 7919 % count] for k in range(count)] if count % 7919 else steps
    return [(round((megapixels * 1.5e6) ** 0.5), round((megapixels / 1.5 * 1e6) ** 0.5)) for megapixels in mixed]


def make_photos(folder: Path, count: int) -> list[Path]:
    """The photos, those that are there already as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    first: dict[tuple[int, int], Path] = {}
    for k, size in enumerate(sizes(count)):
        path = folder / f"{k:03}_{size[0]}x{size[1]}.jpg"
        if not path.exists():
            if size in first:
                shutil.copyfile(first[size], path)
            else:
                make_photo(path, *size)
        first.setdefault(size, path)
        paths.append(path)
    return paths


def floor(listed: Path, output: Path, jobs: int) -> None:
    """Decode and encode, in this process."""
    from hdrgan import load_photo
    from hdrgan.files.write import save_jpeg
    from hdrgan.light.parallel import stream

    def work(path: str) -> None:
        pixels = load_photo(path).pixels
        for ev in range(5):
            save_jpeg(output / f"{Path(path).stem}_{ev}.jpg", pixels)

    for _ in stream(work, listed.read_text().splitlines(), workers=jobs):
        pass


def timed(command: list[str], stdin: str = "") -> np.ndarray:
    """Seconds that a command takes: (2,), by the clock and of processor time."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, cwd=ROOT, env=environment(), input=stdin.encode(), stdout=subprocess.DEVNULL)
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return np.array([seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime])


def batch_command(output: Path, jobs: int, *, overwrite: bool = True) -> list[str]:
    """What is measured."""
    command = [sys.executable, "-m", "hdrgan", "generate", "--from", "-", "-o", str(output), "--format", "jpg"]
    return [*command, "--jobs", str(jobs), "--json", *(["--overwrite"] if overwrite else [])]


def resident(pid: int) -> float:
    """Resident memory of a process in GB; 0 where it is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e9 for line in lines if line.startswith("VmRSS")), 0.0)


def memory_over_time(command: list[str], stdin: str) -> list[float]:
    """Resident memory of one batch every half second, in GB."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    )
    assert process.stdin is not None
    feed = threading.Thread(target=lambda: (process.stdin.write(stdin), process.stdin.close()))
    feed.start()
    seen = []
    while process.poll() is None:
        seen.append(resident(process.pid))
        time.sleep(0.5)
    feed.join()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return seen


def measure(count: int, jobs: int, folder: Path) -> dict[str, Any]:
    """The report."""
    paths = make_photos(folder / "photos", count)
    sizes_of = [path.stem.split("_")[1].split("x") for path in paths]
    megapixels = sum(int(width) * int(height) for width, height in sizes_of) / 1e6
    seconds: dict[str, list[np.ndarray]] = {"floor": [], "batch": [], "start": []}
    loads = []
    shutil.rmtree(folder / "out", ignore_errors=True)
    (folder / "out").mkdir()
    tiny = ROOT / "examples/launch_pad.jpg"
    for part in range(min(PARTS, count)):
        mine = "\n".join(map(str, paths[part::PARTS]))
        listed = folder / "list.txt"
        listed.write_text(mine)
        (folder / "floor").mkdir(exist_ok=True)
        ours = [sys.executable, "-m", "benchmarks.batch", "--floor", str(listed), str(folder / "floor"), str(jobs)]
        seconds["floor"].append(timed(ours))
        seconds["batch"].append(timed(batch_command(folder / "out", jobs), mine))
        listed.write_text("")
        seconds["start"].append(timed(ours))  # what the floor takes to begin
        loads.append(os.getloadavg()[0])
    # A photo that is complete is skipped: the network is loaded, and nothing is done.
    skipping = batch_command(folder / "tiny", jobs, overwrite=False)
    start = [timed(skipping, str(tiny)) for _ in range(4)][1:]
    memory = memory_over_time(batch_command(folder / "out", jobs), "\n".join(map(str, paths)))
    quarter = max(1, len(memory) // 4)
    total = {name: np.sum(values, axis=0) for name, values in seconds.items()}
    begin = np.median(start, axis=0)
    work = {"floor": total["floor"] - total["start"], "batch": total["batch"] - len(seconds["batch"]) * begin}
    return {
        "photos": count,
        "megapixels": megapixels,
        "jobs": jobs,
        "load": max(loads),
        "seconds": {name: values[0] for name, values in work.items()},
        "start_seconds": begin[0],
        "over_floor": work["floor"][0] / work["batch"][0],
        "processor_over_floor": work["floor"][1] / work["batch"][1],
        "memory_gb": memory,
        "gigabytes_written": sum(file.stat().st_size for file in (folder / "out").glob("*.jpg")) / 1e9,
        "peak_gb": max(memory),
        "peak_gb_of_quarters": [max(memory[k * quarter : (k + 1) * quarter] or [0.0]) for k in range(4)],
        "machine": machine(),
    }


def text_of(report: dict[str, Any]) -> str:
    """What the README says."""
    seconds, megapixels = report["seconds"]["batch"], report["megapixels"]
    core_hours = seconds / report["photos"] * 1e6 / 3600 * report["machine"]["cores"]
    quarters = ", ".join(f"{peak:.2f}" for peak in report["peak_gb_of_quarters"])
    busy = "The machine did nothing else."
    if report["load"] > _BUSY:
        busy = (
            f"Other work ran beside both (load up to {digits(report['load'])}): the ratio says more than the seconds."
        )
    return (
        f"`hdrgan generate --format jpg --jobs {report['jobs']}` on {report['photos']} photos of 1 to 24 megapixels "
        f"({megapixels:,.0f} in all): {digits(report['photos'] / seconds)} photos and {digits(megapixels / seconds)} "
        f"megapixels a second on {report['machine']['cores']} cores of an {report['machine']['processor']}, "
        f"{report['over_floor']:.2f} times the floor (the same photos decoded and five JPEGs of each encoded by as "
        f"many threads, with no network; {report['processor_over_floor']:.2f} times by processor time). "
        f"Resident memory was at most {report['peak_gb']:.2f} GB; in the four quarters "
        f"of the run at most {quarters} GB. A million such photos take {core_hours:,.0f} core hours without a graphics "
        f"card, and their JPEGs {report['gigabytes_written'] / report['photos'] * 1e3:,.0f} TB. {busy}"
    )


def put_into(path: Path, report: dict[str, Any]) -> None:
    """Replace what a page says of batches."""
    text = path.read_text()
    before, rest = text.split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n{text_of(report)}\n\n{END}{rest.split(END)[1]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for photos and results, kept")
    parser.add_argument("--readme", action="store_true", help="put the figures of the report into README and docs")
    parser.add_argument("--floor", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.floor:
        floor(Path(arguments.floor[0]), Path(arguments.floor[1]), int(arguments.floor[2]))
        return
    if arguments.readme:
        for page in ("README.md", "docs/scale.md"):
            put_into(ROOT / page, json.loads(REPORT.read_text()))
        return
    with tempfile.TemporaryDirectory() as temporary:
        report = measure(arguments.photos, arguments.jobs, arguments.keep or Path(temporary))
    REPORT.write_text(json.dumps(report, indent=1) + "\n")
    print(text_of(report))  # noqa: T201


if __name__ == "__main__":
    main()
