"""Fixtures of the whole suite, and the rule for tests that need the shared data."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from commands import Commands
from filelock import FileLock

# Tiny networks on several threads spend their time waiting for one another; child processes inherit this as well.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"


def pytest_collection_modifyitems(config, items):
    """Deselect what needs the shared data where there is none; its absence is reported, never counted as a pass."""
    if SHARED.is_dir():
        return
    needs = [item for item in items if item.get_closest_marker("shared")]
    if needs:
        config.hook.pytest_deselected(items=needs)
        items[:] = [item for item in items if item not in needs]


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of shared data; only tests marked ``shared`` may ask for it."""
    return SHARED


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def hdrgan(tmp_path_factory):
    """Runs the command as a process of its own: ``hdrgan("generate", …)``, or ``hdrgan.start(…)``."""
    commands = Commands(tmp_path_factory.mktemp("commands"), HF_HUB_OFFLINE="1", COLUMNS="200")
    yield commands
    commands.close()


@pytest.fixture(scope="session")
def radiance_onnx(tmp_path_factory, worker_id) -> Path:
    """The bundled network radiance as ``hdrgan export onnx`` writes it with the wheel and its extra onnx.

    Exporting it takes more than a minute of processor time, so that all processes of a run share one file.
    """
    from empty_environment import NO_NETWORK, EmptyEnvironment  # few tests need them

    from hdrgan.hub.distribution import WHEEL_NAME, build_wheel

    own = tmp_path_factory.getbasetemp()
    home = (own if worker_id == "master" else own.parent) / "radiance_onnx"
    path = home / "exported" / "radiance.onnx"
    with FileLock(f"{home}.lock"):
        if not path.exists():
            shutil.rmtree(home, ignore_errors=True)  # of a process that failed
            path.parent.mkdir(parents=True)
            (home / WHEEL_NAME).write_bytes(build_wheel())
            environment = EmptyEnvironment(home / "venv", home / WHEEL_NAME, "onnx", startup=NO_NETWORK)
            assert "differs from torch by" in environment.run("export", "onnx", "radiance", path, cwd=home)
    return path


@pytest.fixture
def one_seeded_thread():
    """Networks are built and run from the same seed, on one thread."""
    import torch  # many tests need none

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)
