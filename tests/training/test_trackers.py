"""The sample sheet in the trackers of accelerate: each gets the shape that it takes, and none ends a run."""

import inspect
import logging

import numpy as np
import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS
from PIL import Image

from hdrgan.training.trackers import show_sheet

SHEET = Image.fromarray(np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3))
SHOWS = {"tensorboard": 4, "wandb": 4, "swanlab": 4, "aim": 3, "clearml": 3}


class Stub:
    """Keeps what it is shown."""

    def __init__(self, name):
        self.name, self.seen = name, []


class Several(Stub):
    def log_images(self, values, step=None, **kwargs):
        self.seen.append((values["samples"], step, kwargs))


class Aim(Stub):
    def log_images(self, values, step=None, kwargs=None):
        self.seen.append((values["samples"], step, kwargs or {}))


class Failing(Stub):
    def log_images(self, values, step=None, **kwargs):
        raise ConnectionError("no route to its server")


@pytest.mark.parametrize("name", SHOWS)
def test_each_tracker_gets_the_shape_that_it_takes(name):
    tracker = (Aim if name == "aim" else Several)(name)
    show_sheet([tracker], SHEET, 7)
    ((shown, step, options),) = tracker.seen
    assert (shown.ndim, step) == (SHOWS[name], 7)
    assert np.array_equal(shown.reshape(4, 6, 3), np.asarray(SHEET))
    assert options == ({"dataformats": "NHWC"} if name == "tensorboard" else {})


def test_the_stubs_are_like_accelerates_trackers(root):
    showing = {kind.name: kind for kind in LOGGER_TYPE_TO_CLASS.values() if hasattr(kind, "log_images")}
    assert showing.keys() == SHOWS.keys()
    for name, kind in showing.items():
        stub = (Aim if name == "aim" else Several).log_images
        assert [*inspect.signature(inspect.unwrap(kind.log_images)).parameters] == [*inspect.signature(stub).parameters]
    text = (root / "docs" / "training.md").read_text()
    assert "sample sheets to tensorboard, wandb, swanlab, aim and clearml" in " ".join(text.split())


def test_a_tracker_without_pictures_or_with_a_failing_one_does_not_end_the_run(caplog):
    last = Several("wandb")
    with caplog.at_level(logging.WARNING):
        show_sheet([Stub("mlflow"), Failing("clearml"), last], SHEET, 3)
    assert len(last.seen) == 1
    assert [record.message for record in caplog.records] == [
        "clearml does not show the sample sheet of step 3: no route to its server"
    ]
