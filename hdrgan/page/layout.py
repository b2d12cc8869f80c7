"""The page laid out and wired: what stands where, and which event calls which handler."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from hdrgan.models.pretrained import project_file
from hdrgan.page import viewer
from hdrgan.page.environment import gr
from hdrgan.page.handlers import NOTABLE, Desk
from hdrgan.page.look import COPY, DOWNLOAD, EMPTY, FILES, FOOTER, HEADER, LIGHT, NUMBERS, REVEAL
from hdrgan.page.settings import Settings
from hdrgan.pipeline import Pipeline

EXAMPLES = {"Sunset": "sunset.jpg", "Backlight": "dandelions.jpg", "Floodlights": "launch_pad.jpg"}

MODELS = {
    "radiance": "Radiance · keeps your photo, adds the light it lost",
    "bracket": "Bracket · the classic HDR-GAN, paints all five frames",
    "ein": "EIN · the exposure-induced network",
}
EV_STEPS = [("−2 … +2", 1), ("−4 … +4", 2), ("−6 … +6", 3)]
RESPONSES = [("Automatic", "auto"), ("Mean of measured cameras", "camera"), ("Assume sRGB", "srgb")]
EXPORTS = {
    "ultrahdr": (
        "Ultra HDR",
        "jpg",
        "Your photo itself, with its light beside it. For phones and for sharing: bright screens show the light, all "
        "others show the photo.",
    ),
    "zip": (
        "Exposure bracket",
        "zip",
        "Five full-size PNG frames with their EV in EXIF. For merging in Lightroom, Photomatix, Hugin or enfuse.",
    ),
    "exr": (
        "OpenEXR",
        "exr",
        "Linear light in half floats, with a channel that says what was invented. For Photoshop, Blender, darktable "
        "and Nuke.",
    ),
    "hdr": (
        "Radiance HDR",
        "hdr",
        "Linear light in the format that everything reads. For 3D worlds, game engines and older HDR software.",
    ),
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
    folder = project_file("examples")
    gr.set_static_paths([folder])  # or they would be copied to the temporary files, and deleted with them
    choices = [(MODELS.get(name, name), name) for name in pipelines]

    title = "hdrgan: one photo in, five exposures out"
    keep = (SWEEP_S, settings.keep_minutes * 60)
    demo = gr.Blocks(title=title, analytics_enabled=False, delete_cache=keep)
    with demo:
        desk = Desk(pipelines, settings, Path(demo.GRADIO_CACHE))
        gr.HTML(HEADER, elem_id="head", padding=False)
        shown = gr.State()  # what the results on the page were made from, so that the downloads fit them
        # The upload itself, as it came. The image field is only its picture: Gradio would open it with Pillow, which
        # loses 16 bits and colour profiles, and fails without a word where the file is no picture.
        upload = gr.File(label="Photo", type="filepath", visible=False)

        with gr.Row(elem_id="bench"):
            with gr.Column(scale=3, min_width=320):
                photo = gr.Image(
                    label="Your photo",
                    type="filepath",
                    sources=["upload", "clipboard", "webcam"],
                    buttons=["fullscreen"],
                    height=430,
                    placeholder="# Drop a photo here\n\nor click to choose one",
                    elem_id="photo",
                )
                note = gr.HTML(elem_id="note", padding=False)
            with gr.Column(scale=2, min_width=320, elem_id="settings"):
                model = gr.Radio(choices, value=choices[0][1], label="Network", elem_id="model")
                ev_step = gr.Radio(EV_STEPS, value=2, label="Exposures, in EV", elem_id="ev-step")
                with gr.Accordion("Advanced", open=False):
                    response = gr.Radio(
                        RESPONSES,
                        value="auto",
                        label="Tone curve of the camera",
                        info="Automatic: the mean of measured cameras for photos, sRGB for screenshots and renders.",
                    )
                develop = gr.Button("Make five exposures", variant="primary", size="lg", elem_id="develop")
                gr.HTML("<p>No photo at hand? Try one of these.</p>", elem_id="try", padding=False)
                with gr.Row(elem_id="examples"):
                    examples = {
                        path: gr.Button(name, icon=str(path), size="sm", min_width=80)
                        for name, path in ((name, folder / file) for name, file in EXAMPLES.items())
                    }

        empty = gr.HTML(EMPTY, elem_id="empty", padding=False)
        with gr.Column(visible=False, elem_id="results") as results:
            summary = gr.HTML(elem_id="summary", padding=False)
            gallery = gr.Gallery(
                label="Five exposures, dark to bright",
                show_label=False,
                columns=5,
                object_fit="contain",
                format="png",
                buttons=["download", "download_all", "fullscreen"],
                interactive=False,
                elem_id="exposures",
            )
            with gr.Row():
                with gr.Column(scale=3, min_width=320):
                    gr.HTML(LIGHT, padding=False)
                    gr.HTML(viewer.MARKUP, js_on_load=viewer.script(NOTABLE), padding=False, elem_id="light")
                    light = gr.File(visible=False)
                with gr.Column(scale=2, min_width=320):
                    gr.HTML(NUMBERS, padding=False)
                    numbers = gr.HTML(padding=False, elem_id="numbers")
            gr.HTML(FILES, padding=False)
            savers = {}
            with gr.Row(elem_id="files"):
                for kind, (name, suffix, purpose) in EXPORTS.items():
                    with gr.Column(elem_classes="export", min_width=220):
                        gr.HTML(f"<h3>{name}</h3><p>{purpose}</p>", padding=False)
                        savers[kind] = gr.Button(f"Save .{suffix}", size="md", elem_id=f"save-{kind}")
            ready = gr.File(label="Ready", visible=False, interactive=False, elem_id="ready")

        gr.HTML(FOOTER.format(minutes=settings.keep_minutes), elem_id="foot", padding=False)

        # What the page does. Heavy events share one place, so that the machine works on one photo at a time.
        quiet: dict[str, Any] = {"api_visibility": "private"}
        heavy: dict[str, Any] = {"concurrency_id": "light", "concurrency_limit": 1}
        seen = [photo, upload, note]
        choice = [upload, model, ev_step, response]
        outcome = [summary, gallery, light, shown, results, empty, ready, numbers]
        photo.upload(None, [photo], [upload], js=COPY, **quiet).then(desk.look, [upload], seen, **quiet)
        photo.clear(lambda: (None, ""), None, [upload, note], queue=False, **quiet)
        finished = [develop.click(desk.develop, choice, outcome, **heavy, **quiet)]
        for path, example in examples.items():
            chosen = example.click(lambda path=str(path): (path, path), None, [photo, upload], queue=False, **quiet)
            looked = chosen.then(desk.look, [upload], seen, **quiet)
            finished.append(looked.then(desk.develop, choice, outcome, **heavy, **quiet))
        for event in finished:
            event.success(None, [light], None, js=viewer.SHOW, **quiet).success(None, js=REVEAL, **quiet)
        for kind, saver in savers.items():
            saver.click(partial(desk.export_shown, kind), [shown], [ready], **heavy, **quiet).success(
                None, [ready], None, js=DOWNLOAD, **quiet
            )

        # What programs and language models may call; fields that no visitor sees describe the answers.
        kind_of_file = gr.Radio(list(EXPORTS), value="exr", label="Kind of file", visible=False)
        frames = [gr.Image(label=f"Exposure {i} of 5, dark to bright", visible=False) for i in range(1, 6)]
        file = gr.File(label="File", visible=False)
        door = gr.Button(visible=False)
        door.click(desk.generate, choice, frames, api_name="generate", **heavy)
        door.click(desk.export, [*choice, kind_of_file], [file], api_name="export", **heavy)
    demo.queue(max_size=settings.queue, default_concurrency_limit=2, api_open=False)
    return demo
