"""What the page's script sends to its handlers, and what they tell it."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import numpy as np
from fake_pipeline import FakePipeline
from PIL import Image

from hdrgan.page.handlers import Handlers
from hdrgan.page.settings import Settings

RED, GREEN, BLUE, GREY = (250, 20, 20), (20, 250, 20), (20, 20, 250), (90, 90, 90)


def corners(height: int = 48, width: int = 64) -> Image.Image:
    """A picture that shows which way up it is: red top left, green top right, blue bottom left."""
    pixels = np.full((height, width, 3), GREY, np.uint8)
    half_h, half_w = height // 2, width // 2
    pixels[:half_h, :half_w], pixels[:half_h, half_w:], pixels[half_h:, :half_w] = RED, GREEN, BLUE
    return Image.fromarray(pixels)


def handlers_at(folder: Path, pipeline=None, **limits) -> Handlers:
    return Handlers({"fake": pipeline or FakePipeline()}, Settings(**limits), folder)


def asked(photo: Path | str | None, **more) -> str:
    """What the page's script sends."""
    request = {"ticket": "t", "path": str(photo) if photo else None, "model": "fake", "response": "auto"}
    return json.dumps(request | {"evs": [-4, -2, 0, 2, 4]} | more)


def told(events) -> list[dict]:
    """What the page's script is told by a handler."""
    return [json.loads(html.unescape(re.search(r'data-news="([^"]*)"', news)[1])) for news in events]


def uploaded(folder: Path, image: Image.Image | None = None, name: str = "beach.png") -> Path:
    """A photo in the folder of temporary files."""
    folder.mkdir(exist_ok=True)
    (image or corners()).save(folder / name)
    return folder / name


def address(url: str) -> str:
    return url.removeprefix("gradio_api/file=")
