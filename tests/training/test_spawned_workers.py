"""Processes that read data, started as macOS, Windows and Python 3.14 start them: they import what they are to call."""

import json
import subprocess
import sys

import pytest
from small_sets import make_brackets, make_scenes

PROGRAM = """
import multiprocessing, sys
from importlib.util import find_spec
from pathlib import Path

if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if Path(entry or ".").resolve() != Path(sys.argv[1])]
    if find_spec("train_accelerate") is not None:  # it is no module of an installed package
        sys.exit("train_accelerate can be imported")
    multiprocessing.set_start_method(sys.argv[2])
    from hdrgan.cli import main
    sys.argv[1:3] = []
    main()
"""


@pytest.mark.parametrize(("method", "make"), [("spawn", make_brackets), ("forkserver", make_scenes)])
def test_workers_that_are_spawned_need_the_package_alone(method, make, root, environment, tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "hdrgan").symlink_to(root / "hdrgan")
    make(tmp_path / "data")
    flags = "--batch-size 2 --crop-size 32 --workers 1 --validation-photos 1 --width 8 --steps 1 --cpu".split()
    line = [sys.executable, "program.py", root, method, "train", "--dataset", "data", *flags]
    done = subprocess.run(
        [*map(str, line), "--output", "run"],
        env=environment | {"PYTHONPATH": str(tmp_path / "installed")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (step,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert step["step"] == 1
