"""How the page looks: its theme, its texts, and its own markup, style and script, which are files beside this one."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping
from html import escape
from importlib.util import find_spec
from pathlib import Path

import gradio as gr
from PIL import Image

TITLE = "hdrgan: one photo in, five exposures and an HDR image out"
DESCRIPTION = "Drop a photo: see it beside a finished picture with its highlights filled in, five exposures, and HDR."
HEADER = """
<div class="line"><div class="brand">
<span class="mark" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></span>hdrgan</div>
<h1>One photo in. Five exposures and an HDR image out.</h1></div>
"""

_HERE = Path(__file__).parent
MARKUP = (_HERE / "page.html").read_text(encoding="utf-8")
# One function's body in parts; the last one starts the page.
SCRIPT = "\n".join(
    (_HERE / f"{part}.js").read_text(encoding="utf-8") for part in ("page", "viewer", "several", "controls")
)
CSS = (_HERE / "page.css").read_text(encoding="utf-8")


def _formats() -> str:
    """Which photos the page takes, in a sentence."""
    heic = find_spec("pillow_heif") is not None
    return "JPEG, PNG, HEIC, AVIF, WebP, TIFF." if heic else "JPEG, PNG, AVIF, WebP, TIFF; save HEIC as JPEG first."


def footer(minutes: int) -> str:
    """What stands below the page: what not to trust, for how many minutes photos are kept, and what is read."""
    heic, raw = (find_spec(package) is not None for package in ("pillow_heif", "rawpy"))
    kinds = ["JPEG", "PNG", *["HEIC"] * heic, "AVIF", "WebP", "TIFF", "GIF", "BMP", *["camera raw"] * raw]
    recorders = ["gain maps of phones", "PQ", "HLG", *["camera raw"] * raw]
    table = "https://github.com/OWNER/hdrgan/blob/main/docs/formats.md"
    return f"""
<p><strong>Blown highlights are invented.</strong> They are a plausible guess, not a record of what was there: not for
measurement, not for evidence. Photos and results are deleted after about {minutes} minutes and go nowhere else.</p>
<p>Read are {", ".join(kinds)}. Light that a photo records itself ({", ".join(recorders)}) is kept, and nothing is
invented over it.
<a href="{table}" target="_blank" rel="noopener noreferrer">What is read, and what is done with it</a></p>
"""


MOST_PHOTOS = 20
"""Photos that are taken at once at most."""

EXAMPLE = "example:"
"""What the name of an example begins with, where an upload has its path."""


def _thumbnail(path: Path) -> str:
    """A small picture within the page itself, whose address shows no folder of the server."""
    with Image.open(path) as image:
        image.thumbnail((480, 320))
        file = io.BytesIO()
        image.convert("RGB").save(file, "WEBP", quality=72)
    return "data:image/webp;base64," + base64.b64encode(file.getvalue()).decode()


def markup(
    models: Mapping[str, str],
    evs: Mapping[str, str],
    saves: Mapping[str, tuple[str, str, str]],
    examples: Mapping[str, Path],
) -> str:
    """The page's own part, filled in.

    Args:
        models: what a network is called on the page, by its name.
        evs: what a set of exposures is called, by its stops, separated by commas.
        saves: title, purpose and button of each kind of file.
        examples: picture by name.
    """

    def options(choices: Mapping[str, str]) -> str:
        return "".join(f'<option value="{escape(value)}">{escape(name)}</option>' for value, name in choices.items())

    def save(kind: str, title: str, purpose: str, button: str) -> str:
        formats = '<select class="format" aria-label="Format of the exposures">'
        formats += options({"png": "PNG", "jpg": "JPEG", "tiff": "TIFF"}) + "</select>"
        return (
            f"<li><div><h3>{title}</h3><p>{purpose}</p></div><div class='act'>{formats if kind == 'zip' else ''}"
            f'<button type="button" data-kind="{kind}" disabled>{button}</button></div></li>'
        )

    def example(name: str, path: Path) -> str:
        return (
            f'<button type="button" data-path="{EXAMPLE}{escape(path.name)}" data-name="{escape(path.name)}">'
            f'<img src="{_thumbnail(path)}" alt=""><span>{escape(name)}</span></button>'
        )

    return (
        MARKUP.replace("FORMATS", _formats())
        .replace("MOST_PHOTOS", str(MOST_PHOTOS))
        .replace("MODELS", options(models))
        .replace("EVS", options(evs))
        .replace("SAVES", "".join(save(kind, *texts) for kind, texts in saves.items()))
        .replace("EXAMPLES", "".join(example(name, path) for name, path in examples.items()))
    )


def theme() -> gr.themes.Base:
    """A calm grey that leaves the colours to the photos; fonts of the visitor's own system, so that none is fetched."""
    return gr.themes.Base(
        primary_hue="amber",
        secondary_hue="zinc",
        neutral_hue="zinc",
        radius_size="lg",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color_dark="*neutral_800",
        border_color_primary_dark="*neutral_800",
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_400",
        button_primary_background_fill="*neutral_900",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_400",
        button_primary_text_color_dark="*neutral_950",
        error_background_fill="#fef2f2",
        error_background_fill_dark="#2a1215",
        error_border_color="#b91c1c",
        error_border_color_dark="#f87171",
        error_text_color="#991b1b",
        error_text_color_dark="#fecaca",
    )
