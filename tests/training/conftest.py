"""The trainer for the tests that run it from outside."""

import os
from pathlib import Path

import pytest
from commands import Commands

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def environment():
    """One thread for each process: these networks are too small for more. Nothing is asked of the Hub."""
    own = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "HF_HUB_OFFLINE": "1"}
    return {**os.environ, **own}


@pytest.fixture(scope="session")
def trainer(tmp_path_factory, environment):
    """Starts ``train_accelerate.py`` as a process of its own that need not import torch again."""
    commands = Commands(tmp_path_factory.mktemp("trainer"), "train_accelerate", **environment)
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def run(trainer):
    """Runs ``train_accelerate.py`` to its end, which must have this code; returns what it said."""

    def run_to_end(*arguments, code=0):
        done = trainer.start(*arguments).wait(600)
        assert done.returncode == code, done.stdout[-2000:] + done.stderr[-4000:]
        return done.stdout + done.stderr

    return run_to_end
