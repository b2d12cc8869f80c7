"""Many processes: each photo once, and the same bytes as from one."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from hdrgan.batch.ranks import Ranks, Tally
from hdrgan.batch.shards import Shard
from hdrgan.cli.batch import device_of

COMMAND = ("--format", "jpg", "--hdr", "exr", "--json")
TORCHRUN = "torch.distributed.run --nproc_per_node 2 --master_port PORT"
ACCELERATE = "accelerate.commands.launch --num_processes 2 --main_process_port PORT"


@pytest.fixture(scope="module")
def photos(make_photo, tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for seed in range(5):
        make_photo(folder / f"{seed}.png", seed, size=(96, 64))
    return folder


@pytest.fixture(scope="module")
def one_process(hdrgan, photos, tmp_path_factory, files_in):
    output = tmp_path_factory.mktemp("one")
    done = hdrgan("generate", photos, "-o", output, *COMMAND, OMP_NUM_THREADS="2")
    assert done.returncode == 0, done.stderr
    assert len(files_in(output, hidden=False)) == 30
    return files_in(output)


def photos_done(text):
    """Paths in the lines of JSON, which launchers mix with lines of their own."""
    found = (line[line.index('{"path"') :] for line in text.splitlines() if '{"path"' in line)
    return sorted(json.loads(line)["path"] for line in found)


def test_halves_by_hand(hdrgan, photos, one_process, tmp_path, files_in):
    halves = [
        hdrgan.start("generate", photos, "-o", tmp_path, *COMMAND, "--shard", f"{k}/2", OMP_NUM_THREADS="1")
        for k in (1, 2)
    ]
    told = [half.wait() for half in halves]
    assert [half.returncode for half in told] == [0, 0], told
    assert [len(photos_done(half.stdout)) for half in told] == [3, 2]
    assert ["3 of 3 photos" in told[0].stderr, "2 of 2 photos" in told[1].stderr] == [True, True], told
    assert files_in(tmp_path) == one_process


def test_any_number_of_jobs_gives_the_same(hdrgan, photos, one_process, tmp_path, files_in):
    done = hdrgan("generate", photos, "-o", tmp_path, *COMMAND, "--jobs", "3")
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path) == one_process


def test_srun_starts_ranks_that_tell_once(hdrgan, photos, one_process, tmp_path, files_in):
    (tmp_path / "bad.jpg").write_text("a letter")
    job = {"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "2"}
    command = ("generate", photos, tmp_path / "bad.jpg", "-o", tmp_path / "out", *COMMAND)
    ranks = [hdrgan.start(*command, SLURM_PROCID=str(k), SLURM_LOCALID=str(k), **job) for k in range(2)]
    told = [rank.wait() for rank in ranks]
    assert sorted(rank.returncode for rank in told) == [0, 1], "the failure is that of one rank"
    assert "6 of 6 photos" in told[0].stderr
    assert "1 of 6 photos failed" in told[0].stderr
    assert "of 6 photos" not in told[1].stderr
    assert not (tmp_path / "out/.hdrgan/ranks").exists()
    there = {name: digest for name, digest in files_in(tmp_path / "out").items() if not name.startswith("failed.")}
    assert there == one_process


@pytest.mark.parametrize(
    ("launcher", "ranks"),
    [
        (TORCHRUN, {"0 of 2", "1 of 2"}),
        (f"{ACCELERATE} --multi_gpu", {"0 of 2", "1 of 2"}),
        (f"{ACCELERATE} --config_file launch/cpus.yaml", {"0 of 2", "1 of 2"}),
        (ACCELERATE, {"one"}),  # without two graphics cards accelerate starts one process, whatever number it is told
    ],
)
def test_launchers_share_the_photos(launcher, ranks, photos, one_process, tmp_path, root, files_in):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # Each process says which one it is: Python imports this module as it starts.
    (tmp_path / "ranks").mkdir()
    (tmp_path / "sitecustomize.py").write_text(
        "import os, pathlib, sys\n"
        "if sys.orig_argv[1:3] == ['-m', 'hdrgan'] or 'RANK' in os.environ:\n"
        "    e = os.environ\n"
        "    name = f\"{e['RANK']} of {e['WORLD_SIZE']}\" if 'RANK' in e else 'one'\n"
        f"    pathlib.Path({str(tmp_path / 'ranks')!r}, name).touch()\n"
    )
    words = launcher.replace("PORT", port).split()
    command = [sys.executable, "-m", *words, "-m", "hdrgan", "generate", photos, "-o", tmp_path / "out", *COMMAND]
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{root}", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in (tmp_path / "ranks").iterdir()} == ranks
    assert photos_done(done.stdout) == sorted(str(path) for path in photos.iterdir())
    assert done.stderr.count("5 of 5 photos") == 1, "one summary for all"
    assert files_in(tmp_path / "out") == one_process


def test_ray_data_on_two_workers(photos, one_process, tmp_path, root, files_in):
    """The lines of docs/scale.md, on a real cluster of this machine."""
    recipe = (root / "docs/scale.md").read_text().split("<!-- ray -->\n```python\n")[1].split("```")[0]
    assert "WORKERS = 2" in recipe
    (tmp_path / "recipe.py").write_text(recipe)
    listed = tmp_path / "photos.txt"
    listed.write_text("\n".join(str(path) for path in sorted(photos.iterdir())))
    home = Path(tempfile.mkdtemp(prefix="ray"))  # a short path: sockets are in it
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "HOME": str(home),  # it keeps a token there
        "RAY_TMPDIR": str(home),
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # so that it listens on 127.0.0.1 alone
        # Ray lets all other work go before its workers; where there is much of it, it would wait for very long.
        "RAY_worker_niceness": "0",
        # A busy machine needs more time than Ray thinks, and no more processes than are used.
        "RAY_prestart_worker_first_driver": "0",
        "RAY_worker_register_timeout_seconds": "600",
        "RAY_agent_register_timeout_ms": "600000",
        "RAY_gcs_server_request_timeout_seconds": "600",
        "RAY_health_check_timeout_ms": "120000",
        "RAY_health_check_failure_threshold": "20",
    }
    command = [sys.executable, tmp_path / "recipe.py", listed, tmp_path / "out"]
    try:
        for _ in range(10):
            code, out, err = run_and_end_all(command, tmp_path, environment)
            if "The current node timed out during startup" not in err:  # after 30 s, which nothing can change
                break
    finally:
        shutil.rmtree(home, ignore_errors=True)
    assert code == 0, err[-5000:]
    assert out.splitlines()[-1] == "5 photos"
    assert files_in(tmp_path / "out") == {k: v for k, v in one_process.items() if not k.startswith(".hdrgan/")}


ENGINES = {
    "torchrun": {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0"},
    "srun": {"SLURM_JOB_ID": "7", "SLURM_PROCID": "1", "SLURM_STEP_NUM_TASKS": "2"},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("named", [("--from", "-"), ("-",), ("PHOTOS", "-"), ("--from", "PIPE")])
def test_processes_that_were_launched_do_not_share_a_pipe(engine, named, hdrgan, photos, tmp_path):
    os.mkfifo(tmp_path / "pipe")  # opened, it would wait for its writer
    words = [{"PHOTOS": str(photos), "PIPE": str(tmp_path / "pipe")}.get(word, word) for word in named]
    listed = "\n".join(str(path) for path in photos.iterdir()).encode()
    done = hdrgan.start("generate", *words, "-o", tmp_path / "out", *COMMAND, stdin=listed, **ENGINES[engine]).wait(60)
    assert done.returncode == 2
    assert "2 processes cannot share one pipe" in done.stderr
    assert "to a file and name that file" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_processes_that_share_no_pipe_may_read_one(hdrgan, photos, tmp_path, files_in, one_process):
    """Parts by hand have an input of their own, and an engine may start a single process."""
    listed = "\n".join(str(path) for path in sorted(photos.iterdir())).encode()
    for k in (1, 2):
        command = ("generate", "--from", "-", "-o", tmp_path / "hand", *COMMAND, "--shard", f"{k}/2")
        done = hdrgan(*command, stdin=listed, OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "hand") == one_process
    one = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}
    done = hdrgan("generate", "--from", "-", "-o", tmp_path / "one", *COMMAND, stdin=listed, **one)
    assert done.returncode == 0, done.stderr
    assert files_in(tmp_path / "one") == one_process


def test_two_processes_of_torchrun_refuse_a_pipe(photos, tmp_path, root):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        words = TORCHRUN.replace("PORT", str(free.getsockname()[1])).split()
    command = [sys.executable, "-m", *words, "-m", "hdrgan", "generate", "--from", "-", "-o", tmp_path / "out"]
    environment = {**os.environ, "PYTHONPATH": str(root), "CUDA_VISIBLE_DEVICES": ""}
    listed = "\n".join(str(path) for path in sorted(photos.iterdir()))
    done = subprocess.run(command, env=environment, input=listed, capture_output=True, text=True, check=False)
    assert done.returncode != 0, "torchrun has a code of its own for processes that failed"
    assert "2 processes cannot share one pipe" in done.stderr
    assert "exitcode  : 2 " in done.stderr
    assert not (tmp_path / "out").exists()


def is_alive(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run_and_end_all(command, folder, environment, seconds=1800.0):
    """Code, output and errors of a command; what it started and left behind is ended, by its number."""
    started = set()
    out, err = folder / "out.txt", folder / "err.txt"
    with open(out, "wb") as out_file, open(err, "wb") as err_file:
        running = psutil.Popen(command, env=environment, cwd=folder, stdout=out_file, stderr=err_file)
        end = time.monotonic() + seconds
        try:
            while running.poll() is None and time.monotonic() < end:
                with contextlib.suppress(psutil.NoSuchProcess):
                    started.update(running.children(recursive=True))
                time.sleep(0.2)
        finally:
            end = min(end, time.monotonic() + 60)
            while any(map(is_alive, started)) and time.monotonic() < end:
                time.sleep(0.2)
            for process in filter(is_alive, [running, *started]):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            code = running.wait()
    return code, out.read_text(), err.read_text()


@pytest.mark.parametrize(
    ("environment", "shard"),
    [
        ({}, Shard()),
        ({"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}, Shard(1, 4, 1, True)),
        ({"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0"}, Shard(0, 1, 0, False)),
        ({"SLURM_JOB_ID": "9", "SLURM_PROCID": "3", "SLURM_STEP_NUM_TASKS": "8"}, Shard(3, 8, None, True)),
        ({"SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "1"}, Shard(1, 2, 1, True)),
        # The script of sbatch itself: it runs once, whatever number of tasks the job has.
        ({"SLURM_JOB_ID": "9", "SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_LOCALID": "0"}, Shard()),
        ({"RANK": "5", "WORLD_SIZE": "2"}, Shard()),
        ({"RANK": "one", "WORLD_SIZE": "2"}, Shard()),
    ],
)
def test_what_engines_say(environment, shard):
    assert Shard.of_environment(environment) == shard


def test_each_process_of_a_machine_has_a_card_of_its_own(monkeypatch):
    assert device_of(None) is None
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)
    assert [device_of(local) for local in (None, 0, 3, 5)] == [None, "cuda:0", "cuda:3", "cuda:1"]


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_a_shard_that_makes_no_sense(text):
    with pytest.raises(ValueError, match="--shard must be"):
        Shard.parse(text)


def test_a_process_that_fell_silent_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    monkeypatch.setattr("hdrgan.batch.ranks._LOST", 0.5)
    mine, other = (Ranks(tmp_path, Shard(k, 2, k, launched=True)) for k in (0, 1))
    other.publish(Tally(total=3, done=1), now=True)
    start = time.monotonic()
    total, silent = mine.wait(Tally(total=3, done=3), lambda: False)
    assert silent == [1]
    assert (total.total, total.done) == (6, 4)
    assert time.monotonic() - start < 10
    assert not list(tmp_path.iterdir())


def test_a_process_that_waits_writes_no_report_after_all_were_cleared(tmp_path, monkeypatch):
    first, second = (Ranks(tmp_path, Shard(k, 2, k, launched=True)) for k in (0, 1))
    first.publish(Tally(total=1), now=True)
    monkeypatch.setattr("hdrgan.batch.ranks._PUBLISH", 0)
    monkeypatch.setattr(time, "sleep", lambda seconds: first.clear())
    assert second.wait(Tally(total=1, done=1), stopped=lambda: False)[0].done == 1
    assert not (tmp_path / ".hdrgan").exists()
