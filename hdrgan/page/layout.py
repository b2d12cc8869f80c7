"""Which parts the page has, and which handler each of them calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gradio as gr

from hdrgan.models.finding import project_file
from hdrgan.page.answers import KINDS, checked_in_words
from hdrgan.page.handlers import Handlers
from hdrgan.page.look import HEADER, SCRIPT, TITLE, footer, markup
from hdrgan.page.settings import Settings
from hdrgan.page.tools import answer_one_by_one, described
from hdrgan.pipeline import Pipeline

EXAMPLES = {
    "Sunset": "sunset.jpg",
    "Backlight": "dandelions.jpg",
    "Lamps": "lamps.jpg",
    "Snow": "snow.jpg",
    "Reflections": "reflections.jpg",
    "Sky": "sky.jpg",
    "Room": "room.jpg",
    "White-out": "white_out.jpg",
}

MODELS = {
    "radiance": "Keeps your photo, adds the lost light",
    "bracket": "Redraws every exposure (HDR-GAN)",
    "ein": "Another guess at the lost light, slow (EIN)",
}
# The first one is preselected.
EVS = {"-4,-2,0,2,4": "−4 to +4 EV", "-2,-1,0,1,2": "−2 to +2 EV", "-6,-3,0,3,6": "−6 to +6 EV"}
SAVES = {
    "finished": ("Finished picture", "One JPEG to keep and to share.", "Save JPEG"),
    "ultrahdr": ("Ultra HDR", "Your photo with its light beside it: bright on HDR screens.", "Save JPEG"),
    "zip": ("All exposures", "With their EV in EXIF, for Lightroom, Photomatix, Hugin or enfuse.", "Save zip"),
    "frame": ("One exposure", "The one that is shown, in the format chosen for all.", "Choose one above"),
    "exr": ("OpenEXR", "Linear light and what was invented, for Photoshop, Blender, Nuke.", "Save .exr"),
    "hdr": ("Radiance HDR", "Linear light, for 3D worlds and older software.", "Save .hdr"),
}

SWEEP_S = 60
"""Seconds between two sweeps of the temporary folder."""


def build_demo(pipelines: Mapping[str, Pipeline], settings: Settings | None = None) -> gr.Blocks:
    """Lay out the page and wire it; nothing is served yet.

    Args:
        pipelines: model name to pipeline, in the order in which they are offered; the first one is preselected.
        settings: the limits; None is the defaults.
    """
    if not pipelines:
        raise ValueError("pipelines must hold at least one model, got none")
    settings = settings or Settings()
    if settings.mcp:
        answer_one_by_one()
    folder = project_file("examples")
    names = {name: MODELS.get(name, name) for name in pipelines}
    examples = {name: folder / file for name, file in EXAMPLES.items()}

    demo = gr.Blocks(title=TITLE, analytics_enabled=False)
    with demo:
        handlers = Handlers(pipelines, settings, Path(demo.GRADIO_CACHE), folder)
        gr.HTML(HEADER, elem_id="head", padding=False)
        # What the page's own script and the server tell one another goes through parts that nobody sees: a button that
        # the script presses, whose argument it hands over, and an element in which the answers appear.
        news = gr.HTML(elem_id="news", elem_classes="not-drawn", padding=False)
        file_news = gr.HTML(elem_id="file-news", elem_classes="not-drawn", padding=False)
        part_news = gr.HTML(elem_id="part-news", elem_classes="not-drawn", padding=False)
        gr.HTML(markup(names, EVS, SAVES, examples), js_on_load=SCRIPT, padding=False, elem_id="page")
        gr.HTML(footer(settings.keep_minutes), elem_id="foot", padding=False)

        quiet: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
        # How many are worked on at a time, and wait, is decided where the work is done, `hdrgan.page.jobs`: those that
        # it has no room for come in, too, to be told so.
        heavy: dict[str, Any] = {"concurrency_id": "light", "concurrency_limit": 2 * settings.queue + 8}
        asked = gr.Textbox(visible=False)
        for name, handler, answer, limits in (
            ("develop", handlers.develop, [news], heavy),
            ("pack", handlers.pack, [news], heavy),
            ("save", handlers.save, [file_news], heavy),
            ("look", handlers.look, [part_news], heavy),
            ("stop", handlers.stop, None, {"queue": False}),
        ):
            button = gr.Button(name, elem_id=f"do-{name}", elem_classes="not-drawn")
            taken = f"() => window.hdrganCalls.{name}.shift()"
            button.click(handler, [asked], answer, js=taken, trigger_mode="multiple", **limits, **quiet)

        # What programs and language models may call; fields that no visitor sees describe the arguments.
        photo = gr.File(label="Photo", type="filepath", visible=False)
        model = gr.Radio(list(names), value=next(iter(names)), label="Network", visible=False)
        ev_step = gr.Number(2, minimum=0.1, maximum=9, label="Stops between two exposures", visible=False)
        response = gr.Radio(["auto", "camera", "srgb"], value="auto", label="Tone curve", visible=False)
        evs = gr.Textbox("", label="Exposures in stops", visible=False)
        kind = gr.Radio(list(KINDS), value="exr", label="Kind of file", visible=False)
        frames = gr.File(label="Exposures, dark to bright", file_count="multiple", visible=False)
        look = gr.Image(label="Finished picture", type="filepath", format="jpeg", visible=False)
        file = gr.File(label="File", visible=False)
        door = gr.Button(visible=False)
        # What the calls name that the page prints for programs. A class derived from Gradio's would write a .pyi file.
        picture = {"path": "photo.jpg", "url": "photo.jpg", "meta": {"_type": "gradio.FileData"}}
        photo.example_payload = lambda: picture  # type: ignore[method-assign]
        evs.example_payload = lambda: ""  # type: ignore[method-assign]
        choice = [photo, model, ev_step, response]
        door.click(handlers.generate, [*choice, evs], [frames, look], api_name="generate", **heavy)
        door.click(handlers.export, [*choice, kind, evs], [file], api_name="export", **heavy)
    offered: dict[str, Callable[..., Any]] = {"/generate": handlers.generate, "/export": handlers.export}
    demo.get_api_info = described(demo.get_api_info, offered)  # type: ignore[method-assign]
    demo.preprocess_data = checked_in_words(demo.preprocess_data)  # type: ignore[method-assign]
    demo.queue(max_size=2 * settings.queue, default_concurrency_limit=2, api_open=False)
    return demo
