"""launch/slurm.sh starts one launcher a machine, with arguments that accelerate and the trainer take."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from accelerate.commands.launch import launch_command_parser

from hdrgan.training.arguments import parse_args

STUBS = {
    "scontrol": 'test "$1 $2 $3" = "show hostnames node[01-02]" && printf "node01\\nnode02\\n"',
    "srun": 'for id in 0 1; do SLURM_NODEID=$id "$@"; done',
    "accelerate": f"exec {sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' \"$@\"",
}


@pytest.mark.parametrize("gpus", [8, None])
def test_each_machine_launches_its_share(root, tmp_path, gpus):
    for name, text in STUBS.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
        (tmp_path / name).chmod(0o755)
    job = {"SLURM_JOB_NODELIST": "node[01-02]", "SLURM_NNODES": "2"}
    job |= {"SLURM_GPUS_ON_NODE": str(gpus)} if gpus else {}
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", **job}
    words = ["--model", "ein", "--dataset", "/data/my pairs", "--output", "/data/run"]
    done = subprocess.run(["bash", root / "launch/slurm.sh", *words], env=env, capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 2
    for rank, line in enumerate(lines):
        assert line[0] == "launch"
        args = launch_command_parser().parse_args(line[1:])
        assert (args.num_machines, args.num_processes, args.machine_rank) == (2, 2 * (gpus or 1), rank)
        assert args.main_process_ip == "node01"
        assert (root / args.config_file).is_file()
        assert args.training_script == "train_accelerate.py"
        run = parse_args("trains\n\nexamples", args.training_script_args)
        assert (run.model, run.dataset, run.resume) == ("ein", "/data/my pairs", "latest")
