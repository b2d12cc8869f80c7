"""Fixtures of the whole suite, and the rule for tests that need the shared data."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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


@pytest.fixture
def one_seeded_thread():
    """Networks are built and run from the same seed, on one thread."""
    import torch  # many tests need none

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)
