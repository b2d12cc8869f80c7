"""The command lines and programs of docs/scale.md run as they stand there."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pandas
import pytest

from hdrgan.batch.shards import Shard

# Where joblib is not installed: it starts fresh processes in the same way, and gives answers back in the same order.
JOBLIB = """
from multiprocessing import get_context


def delayed(work):
    return lambda *arguments: (work, arguments)


def _do(work, arguments):
    return work(*arguments)


class Parallel:
    def __init__(self, jobs):
        self.jobs = jobs

    def __call__(self, tasks):
        with get_context("spawn").Pool(self.jobs) as pool:
            return pool.starmap(_do, tasks)
"""
PHOTOS = 3


def section(root, title):
    """What stands under a heading of the page."""
    return (root / "docs/scale.md").read_text().split(f"\n## {title}\n")[1].split("\n## ")[0]


def lines_of(root, title):
    """Command lines under a heading."""
    blocks = re.findall(r"```bash\n(.*?)```", section(root, title), re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if not line.startswith("#")]


def program(root, mark):
    """A program of the page, by the mark above it."""
    return (root / "docs/scale.md").read_text().split(f"<!-- {mark} -->\n```python\n")[1].split("```")[0]


@pytest.fixture
def place(make_photo, tmp_path, root):
    """A folder like that of a reader of the page, and `run` for a line of it."""
    bin_ = tmp_path / "bin"
    tools = {
        "hdrgan": f'exec "{sys.executable}" -m hdrgan "$@"',
        "torchrun": f'exec "{sys.executable}" -m torch.distributed.run "$@"',
        "accelerate": f'exec "{sys.executable}" -m accelerate.commands.accelerate_cli "$@"',
        # Two tasks of a step, as srun starts them.
        "srun": "export SLURM_JOB_ID=7 SLURM_STEP_NUM_TASKS=2\n"
        'SLURM_PROCID=0 SLURM_LOCALID=0 "$@" &\nSLURM_PROCID=1 SLURM_LOCALID=1 "$@" || exit\nwait $!',
    }
    bin_.mkdir()
    for name, text in tools.items():
        (bin_ / name).write_text(f"#!/bin/bash\n{text}\n")
        (bin_ / name).chmod(0o755)
    (tmp_path / "last-time").touch()
    os.utime(tmp_path / "last-time", (0, 0))
    photos = [make_photo(tmp_path / f"photos/{k % 2}/{k}.jpg", k) for k in range(PHOTOS)]
    (tmp_path / "list.txt").write_text("".join(f"{photo}\n" for photo in photos))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {
        **os.environ,
        "PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(root),
        "HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
        "PET_MASTER_PORT": port,  # torchrun's
    }

    def run(line):
        command = ["bash", "-euo", "pipefail", "-c", line]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=1200)
        assert done.returncode == 0, done.stderr
        return done

    run.folder, run.environment = tmp_path, environment
    return run


def names(folder):
    return sorted(path.name for path in Path(folder).rglob("*") if path.is_file() and ".hdrgan" not in path.parts)


BRACKETS = sorted(f"{k}_ev{ev}.jpg" for k in range(PHOTOS) for ev in ("-4", "-2", "+0", "+2", "+4"))


def test_the_lines_for_one_machine(place, root):
    folders, lists, counts = lines_of(root, "One machine")
    place(folders)
    assert names(place.folder / "out") == BRACKETS
    place(lists.replace("/archive", str(place.folder / "photos")))
    assert names(place.folder / "light") == [f"{k}.exr" for k in range(PHOTOS)]
    again = place(counts.replace("out ", "out2 ")) and (place.folder / "photos.jsonl").read_text()
    assert again.count('"status": "done"') == PHOTOS


@pytest.mark.parametrize("engine", ["accelerate", "torchrun"])
def test_the_lines_for_several_processes(engine, place, root):
    lines = {line.split()[0]: line for line in lines_of(root, "Several processes")}
    assert set(lines) == {"accelerate", "torchrun"}
    line = re.sub(r"(--num_processes|--nproc_per_node) 8 ", r"\1 2 ", lines[engine])
    assert line != lines[engine]
    done = place(line)
    assert names(place.folder / "out") == BRACKETS
    assert done.stderr.count(f"{PHOTOS} of {PHOTOS} photos") == 1, done.stderr


def test_the_line_for_slurm(place, root):
    (line,) = lines_of(root, "SLURM")
    done = place(line.replace("/shared/out", str(place.folder / "out")))
    assert names(place.folder / "out") == BRACKETS
    assert done.stderr.count(f"{PHOTOS} of {PHOTOS} photos") == 1, done.stderr


def test_the_part_of_an_array_job(place, root):
    (part,) = re.findall(r"`--shard ([^`]*SLURM[^`]*)`", section(root, "SLURM"))
    told = place(f"SLURM_ARRAY_TASK_ID=2 SLURM_ARRAY_TASK_COUNT=64; echo {part}").stdout.strip()
    assert Shard.parse(told) == Shard(2, 64)


def test_the_program_for_joblib(place, root, tmp_path, files_in):
    try:
        import joblib  # noqa: F401
    except ImportError:
        (tmp_path / "joblib.py").write_text(JOBLIB)
    (tmp_path / "recipe.py").write_text(program(root, "joblib"))
    done = place(f'"{sys.executable}" recipe.py list.txt engine')
    assert done.stdout.splitlines()[-1] == f"{PHOTOS} photos"
    place("hdrgan generate --from list.txt -o batch --format jpg --hdr exr")
    assert files_in(tmp_path / "engine") == {Path(k).name: v for k, v in files_in(tmp_path / "batch", False).items()}


def test_the_function_for_spark_takes_tables_and_yields_them(place, root, tmp_path, one_seeded_thread):
    inside = {}
    exec(program(root, "spark"), inside)  # as Spark does, in each of its processes
    paths = (tmp_path / "list.txt").read_text().splitlines()
    tables = [pandas.DataFrame({"value": paths[:2]}), pandas.DataFrame({"value": paths[2:]})]
    yielded = inside["generate"](iter(tables), tmp_path / "out")
    assert [len(table) for table in yielded] == [2, 1]
    assert names(tmp_path / "out") == sorted([*BRACKETS, *(f"{k}.exr" for k in range(PHOTOS))])
