"""The sample sheet in the trackers of accelerate, each of which takes pictures in a shape of its own, or none."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

log = logging.getLogger(__name__)
_ONE_PICTURE = ("aim", "clearml")
"""Trackers that take an array (H, W, 3); the others take several, (N, H, W, 3)."""


def show_sheet(trackers: Sequence[Any], sheet: Image.Image, step: int) -> None:
    """Show the sample sheet in every tracker that shows pictures; what goes wrong there is a warning, not the end.

    Args:
        trackers: accelerate's, or what has a ``name`` and perhaps ``log_images``.
        sheet: of the last validation.
        step: at which it was drawn.
    """
    picture = np.asarray(sheet)
    for tracker in trackers:
        if not hasattr(tracker, "log_images"):
            continue
        shown = picture if tracker.name in _ONE_PICTURE else picture[None]
        order = {"dataformats": "NHWC"} if tracker.name == "tensorboard" else {}
        try:
            tracker.log_images({"samples": shown}, step=step, **order)
        except Exception as error:  # whatever the tracker's package, its server or the network to it raise
            log.warning("%s does not show the sample sheet of step %d: %s", tracker.name, step, error)
