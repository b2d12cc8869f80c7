"""The page: one photo in; five exposures and an HDR image out.

    python app.py

Layout and wiring only: the light is the pipeline's business. Every limit is a field of `Settings`, whose environment
variable and value in force are logged at the start.
"""

from __future__ import annotations

import errno
import html
import logging
import os
import secrets
import shutil
import signal
import tempfile
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

# Gradio reads these while it is imported: nothing is sent home, and temporary files go where no other program's are.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# It would keep 10,000 requests in mind and count them all after each one; the log says as much.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
os.environ["GRADIO_TEMP_DIR"] = os.path.join(
    os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir(), f"hdrgan-{secrets.token_hex(8)}"
)

import gradio as gr
from starlette.middleware import Middleware

from hdrgan import Photo, PhotoError, Pipeline, Result
from hdrgan.files.photo import PhotoLimits
from hdrgan.models.pretrained import bundled_names
from hdrgan.page import viewer
from hdrgan.page.decoder import load_photo_guarded
from hdrgan.page.guard import NO_ROOM, Guard
from hdrgan.page.housekeeping import claim, has_room, remove_orphans, settle_memory, sweep, trim_memory
from hdrgan.page.jobs import Workbench
from hdrgan.page.numbers import draw_histogram, draw_response, is_srgb, measure
from hdrgan.page.preview import save_frames, save_view, screen_radiance

log = logging.getLogger("hdrgan.app")

HERE = Path(__file__).resolve().parent
TEMPORARY = Path(os.environ["GRADIO_TEMP_DIR"])
EXAMPLES = {"Sunset": "sunset.jpg", "Backlight": "dandelions.jpg", "Floodlights": "launch_pad.jpg"}

MODELS = {
    "radiance": "Radiance · keeps your photo, adds the light it lost",
    "bracket": "Bracket · the classic HDR-GAN, paints all five frames",
    "ein": "EIN · the exposure-induced network",
}
EV_STEPS = [("−2 … +2", 1), ("−4 … +4", 2), ("−6 … +6", 3)]
RESPONSES = [("Estimate it from the photo", "auto"), ("Assume sRGB", "srgb")]
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
SHOWN_BY_BROWSERS = {"JPEG", "PNG", "WebP", "GIF", "BMP", "AVIF"}

NOTABLE = 0.1
"""Share of a pixel's light above which the page counts it as invented."""

SWEEP_S = 60
"""Seconds between two sweeps of the temporary folder."""

PROGRESS = gr.Progress()
WAITING = gr.skip()
"""What a handler yields between two stages: no news, but a place to stop when the visitor has left."""


@dataclass(frozen=True)
class Settings:
    """Every limit of the page; each field is read from the environment variable ``HDRGAN_<FIELD>``."""

    models: str = ""  # names, folders or Hub ids, separated by commas; empty: the bundled ones
    device: str = ""  # "cpu", "cuda", "mps"; empty: the best there is
    max_megabytes: int = 64  # of one upload
    max_megapixels: int = 120  # of one photo
    max_json_kilobytes: int = 256  # of any request that is no upload
    disk_megabytes: int = 8192  # of temporary files; no upload is taken and no answer written beyond
    decode_seconds: int = 10  # that opening one photo may take
    upload_seconds: int = 300  # within which a request must have arrived
    work_seconds: int = 300  # that the network may take for one photo
    preview_pixels: int = 2048  # longest side of what the page shows; downloads are full size
    queue: int = 16  # visitors who may wait; the next one is told that the page is busy
    connections: int = 256  # at a time; every open page holds one or two
    sessions: int = 200  # pages whose last result is remembered for their downloads
    threads: int = 16  # of the server
    keep_minutes: int = 10  # how long uploads and results stay on disk
    mcp: bool = True  # offer the page's functions to language models as MCP tools

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> Settings:
        """Read the settings; ValueError names the variable that makes no sense."""
        values: dict[str, Any] = {}
        for field in fields(cls):
            variable = f"HDRGAN_{field.name.upper()}"
            if variable in environ:
                values[field.name] = _parse(variable, environ[variable].strip(), type(field.default))
        return cls(**values)

    def __str__(self) -> str:
        return " ".join(f"HDRGAN_{field.name.upper()}={getattr(self, field.name)!r}" for field in fields(self))


def _parse(variable: str, text: str, kind: type) -> Any:
    if kind is bool:
        if text.lower() not in {"0", "1", "false", "true"}:
            raise ValueError(f"{variable} must be 0 or 1, got {text!r}")
        return text.lower() in {"1", "true"}
    if kind is int:
        if not text.isdecimal() or int(text) < 1:
            raise ValueError(f"{variable} must be a whole number above 0, got {text!r}")
        return int(text)
    return text


HEADER = """
<div class="brand"><span class="mark" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></span>hdrgan</div>
<h1>One photo in. Five exposures and an HDR image out.</h1>
<p>The network works out the light behind a photo: what its shadows hold, what its blown highlights may have been.</p>
"""
EMPTY = """
<span class="mark" aria-hidden="true"><i></i><i></i><i></i><i></i><i></i></span>
<p>Choose a photo, and its five exposures appear here, dark to bright.</p>
"""
LIGHT = """<h2>Light</h2>
<p>Expose it anew: darker to look into the lights, brighter to look into the shadows.</p>"""
NUMBERS = "<h2>Numbers</h2>"
FILES = "<h2>Files</h2><p>In full size, made when you ask for them.</p>"
FOOTER = """
<p><strong>Blown highlights are invented.</strong> They are a plausible guess, not a record of what was there: not for
measurement, not for evidence. Photos and results are deleted after about {minutes} minutes and go nowhere else.</p>
"""
TROUBLE = '<div class="trouble" role="alert"><strong>This photo can’t be used.</strong> {}</div>'

COPY = "(value) => value"
DOWNLOAD = """(file) => {
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name || "";
    link.click();
}"""
REVEAL = """() => {
    const results = document.getElementById("results");
    if (results && results.getBoundingClientRect().top > window.innerHeight * 0.8) {
        const calm = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
        results.scrollIntoView({ behavior: calm ? "auto" : "smooth" });
    }
}"""
CSS = """
.gradio-container { --edge: 1px solid var(--border-color-primary); }
.gradio-container .html-container { padding: 0; }
.gradio-container main.fillable { max-width: 1240px; }
.mark { display: inline-flex; border-radius: 3px; overflow: hidden; border: var(--edge); }
.mark i { width: 1.1em; height: 1.1em; background: #0b0d12; }
.mark i:nth-child(2) { background: #3a4254; }
.mark i:nth-child(3) { background: #8b8f94; }
.mark i:nth-child(4) { background: #e8c987; }
.mark i:nth-child(5) { background: #fff7e0; }

#head { padding: 12px 0 4px; }
#head .brand { display: flex; align-items: center; gap: .6em; font-weight: 600; letter-spacing: .04em; }
#head h1 { font-size: clamp(1.45rem, 1.1rem + 1.6vw, 2.1rem); line-height: 1.2; margin: .6em 0 .25em; }
#head p, #results h2 + p { color: var(--body-text-color-subdued); margin: 0; }
#summary p { padding-right: 120px; }
#results h2 { font-size: 1.2rem; margin: 0 0 .2em; }
#note { min-height: 1.5em; color: var(--body-text-color-subdued); font-size: var(--text-sm); }
.trouble { background: var(--error-background-fill); color: var(--error-text-color); border: 1px solid
    var(--error-border-color); border-radius: var(--radius-lg); padding: .7em 1em; font-size: var(--text-md); }

#try { color: var(--body-text-color-subdued); font-size: var(--text-sm); }
#examples { gap: 10px; }
#examples button { flex-direction: column; gap: 6px; padding: 6px 6px 8px; font-weight: 400; }
#examples img { width: 100%; height: auto; aspect-ratio: 3 / 2; object-fit: cover; border-radius: 6px; margin: 0; }
#model .wrap { flex-direction: column; }
#empty { border: 1px dashed var(--border-color-primary); border-radius: var(--radius-lg); padding: 44px 20px;
    text-align: center; color: var(--body-text-color-subdued); }
#empty p { margin: 1em 0 0; }
#empty > .wrap:not(.hide) ~ .html-container { visibility: hidden; }

#exposures, #exposures .grid-wrap { height: auto; min-height: 0; max-height: none; overflow: visible; }
#exposures .grid-wrap { padding: 0; }
#exposures { border: 0; background: none; overflow: visible !important; }
#exposures .icon-button-wrapper.top-panel { top: -46px; }
#exposures .gallery-container:has(.preview) { height: min(80vh, 760px); }
#exposures .gallery-container:has(.preview) .grid-wrap { display: none; }
#exposures .preview::before { opacity: 1; background: var(--body-background-fill); }
#exposures .grid-container { grid-template-rows: none; grid-auto-rows: auto; gap: 12px; align-items: start; }
#exposures .thumbnail-lg { aspect-ratio: auto; height: auto; display: flex; flex-direction: column; }
#exposures .thumbnail-lg > img { height: auto; max-height: 70vh; object-fit: contain; }
#exposures .caption-label { position: static; max-width: none; width: 100%; border: 0; border-radius: 0; white-space:
    normal; padding: .55em .7em; font-size: var(--text-sm); color: var(--body-text-color); opacity: 1; }

#light canvas { display: block; max-width: 100%; max-height: 70vh; margin: 0 auto; }
.light-stage { background: #000; border-radius: var(--radius-lg); overflow: hidden; min-height: 120px; }
.light-controls { display: flex; flex-wrap: wrap; gap: 10px 24px; margin-top: 12px; }
.light-exposure { display: flex; align-items: center; gap: 12px; flex: 1 1 100%; }
.light-exposure input { flex: 1; min-width: 80px; height: 24px; accent-color: var(--slider-color); }
.light-exposure span { min-width: 4.5em; font-variant-numeric: tabular-nums; }
.light-exposure button { border: var(--edge) !important; border-radius: var(--radius-md); padding: 4px 12px;
    background: none; color: var(--body-text-color); font-size: var(--text-sm); font-weight: 400; }
.light-switch { display: flex; align-items: center; gap: 8px; min-height: 28px; }
.light-switch input { width: 18px; height: 18px; accent-color: var(--slider-color); }
.light-controls :focus-visible { outline: 2px solid var(--slider-color); outline-offset: 2px; }
.light-key { width: 1.4em; height: 1em; border-radius: 3px; background: repeating-linear-gradient(
    135deg, #ff00be 0 4px, #b0569a 4px 8px); }
.light-trouble { color: var(--error-text-color); }

.numbers { display: grid; gap: 2px; margin: 0 0 12px; }
.numbers div { display: flex; justify-content: space-between; gap: 12px; border-bottom: var(--edge); padding: 5px 0; }
.numbers dt { color: var(--body-text-color-subdued); }
.numbers dd { margin: 0; font-variant-numeric: tabular-nums; text-align: right; }
#numbers h3 { font-size: .95rem; margin: 10px 0 4px; }
#numbers .figure { display: block; width: 100%; height: auto; }
.figure text { fill: var(--body-text-color-subdued); font-size: 14px; }
.figure .axis, .figure .white { stroke: var(--body-text-color-subdued); stroke-width: 1; }
.figure .white { stroke-dasharray: 3 3; }
.figure .photo { fill: var(--figure-photo); }
.figure .light { fill: var(--figure-light); fill-opacity: .15; stroke: var(--figure-light); stroke-width: 2.5; }
.figure polyline { fill: none; stroke-width: 3; }
.figure .curve { stroke: var(--figure-light); }
.figure .plain { stroke: var(--body-text-color-subdued); stroke-dasharray: 7 6; stroke-width: 2; }
.key { color: var(--body-text-color-subdued); font-size: var(--text-sm); margin: 4px 0 0; }
.key i { display: inline-block; width: 1.2em; height: .8em; border-radius: 2px; margin: 0 .3em 0 .8em; }
.key i:first-child { margin-left: 0; }
.key .photo { background: var(--figure-photo); }
.key .light, .key .curve { background: var(--figure-light); }
.key .plain { height: 0; border-top: 2px dashed var(--body-text-color-subdued); vertical-align: middle; }
.gradio-container { --figure-photo: #a1a1aa; --figure-light: #c2410c; }
.dark .gradio-container, .gradio-container.dark { --figure-photo: #71717a; --figure-light: #fbbf24; }

#files { align-items: stretch; }
#ready a { color: var(--body-text-color); text-decoration: underline; }
.export { gap: 10px; padding: 12px 0; border-top: var(--edge); justify-content: space-between; }
.export p { margin: .3em 0 0; color: var(--body-text-color-subdued); font-size: var(--text-sm); }
.export h3 { margin: 0; font-size: 1rem; }
#foot { border-top: var(--edge); margin-top: 12px; padding: 16px 0 0; font-size: var(--text-sm);
    color: var(--body-text-color-subdued); }

@media (max-width: 640px) {
    #photo { height: 320px !important; }
    #exposures .grid-container { grid-template-columns: 1fr 1fr; }
    .light-exposure { flex-wrap: wrap; }
    .light-exposure input { order: 1; flex: 1 1 100%; }
    .light-exposure span { flex: 1; }
    .figure text { font-size: 21px; }
    #exposures .gallery-item:nth-child(3) { grid-column: span 2; }
}
"""


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
        button_primary_background_fill_hover="*neutral_700",
        button_primary_text_color="white",
        button_primary_background_fill_dark="*primary_400",
        button_primary_background_fill_hover_dark="*primary_300",
        button_primary_text_color_dark="*neutral_950",
        checkbox_border_color="*neutral_400",
        checkbox_border_color_dark="*neutral_500",
        checkbox_background_color_selected="*primary_600",
        checkbox_background_color_selected_dark="*primary_500",
        checkbox_border_color_selected="*primary_600",
        checkbox_label_background_fill="*neutral_100",
        checkbox_label_background_fill_dark="*neutral_800",
        error_background_fill="#fef2f2",
        error_background_fill_dark="#2a1215",
        error_border_color="#b91c1c",
        error_border_color_dark="#f87171",
        error_text_color="#991b1b",
        error_text_color_dark="#fecaca",
    )


@contextmanager
def plain_words() -> Iterator[None]:
    """Turn whatever goes wrong into one sentence for the visitor; the traceback goes to the log alone."""
    try:
        yield
    except gr.Error:
        raise
    except PhotoError as problem:
        raise gr.Error(str(problem), title="This photo can't be used", print_exception=False) from None
    except Exception:
        log.exception("a request failed")
        raise gr.Error(
            "Something broke on our side. Please try again, or try a smaller photo.",
            title="That did not work",
            print_exception=False,
        ) from None


class Desk:
    """What the page can do; each public method is one event.

    The long ones are generators, because the server stops a generator at its next ``yield`` when its visitor has left.
    """

    def __init__(self, pipelines: Mapping[str, Pipeline], settings: Settings, cache: Path) -> None:
        self.pipelines = dict(pipelines)
        self.settings = settings
        self.cache = cache  # the server's folder of temporary files: what is written there is not copied again
        held = claim(cache)
        if held >= 0:
            weakref.finalize(self, os.close, held)
        self.workbench = Workbench(settings.work_seconds)
        for pipeline in self.pipelines.values():
            self.workbench.watch(getattr(pipeline, "model", None))

    def look(self, upload: str | None):
        """Judge a photo as soon as it is chosen; show a stand-in where browsers don't know its format."""
        if upload is None:
            return gr.skip(), gr.skip(), ""
        try:
            photo = self._load(upload)
        except PhotoError as problem:
            return None, None, TROUBLE.format(html.escape(str(problem)))
        bits = " · 16 bits" if photo.bits == 16 else ""
        facts = f"{html.escape(Path(upload).name)} · {photo.width} × {photo.height} pixels{bits}"
        if photo.format in SHOWN_BY_BROWSERS:
            return gr.skip(), gr.skip(), facts
        with self._job() as folder:
            stand_in = save_view(folder / "photo.jpg", photo.pixels, self.settings.preview_pixels)
        return str(stand_in), gr.skip(), facts

    def develop(self, upload: str | None, model: str, ev_step: float, response: str, progress: gr.Progress = PROGRESS):
        """Make the five exposures and everything else that the page shows of them."""
        with plain_words():
            result = yield from self._result(upload, model, ev_step, response, progress)
            with self._job() as folder:
                progress(0.7, desc="Drawing the previews")
                side = self.settings.preview_pixels
                paths = save_frames(folder, result.photo.name, result.exposures, result.evs, side)
                yield WAITING
                light = folder / "light.bin"
                light.write_bytes(
                    viewer.pack_light(
                        screen_radiance(result.radiance, viewer.MAX_SIDE),
                        screen_radiance(result.invented[..., None], viewer.MAX_SIDE)[..., 0],
                    )
                )
                yield (
                    summary_of(result, side),
                    [(str(path), caption) for path, caption in zip(paths, result.captions, strict=True)],
                    str(light),
                    (upload, model, ev_step, response),
                    gr.Column(visible=True),
                    gr.HTML(visible=False),
                    gr.File(value=None, visible=False),
                    numbers_of(result),
                )

    def generate(
        self,
        photo: str | None,
        model: str,
        ev_step: float,
        response: str,
        progress: gr.Progress = PROGRESS,
    ):
        """Turn one photo into five exposures of the same scene, dark to bright, as full-size PNG files.

        Args:
            photo: a picture file (JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF) that was uploaded to this server.
            model: the network: "radiance" keeps the photo and adds the light that it lost; "bracket" paints all five.
            ev_step: stops between two exposures: 1, 2 or 3; with 2 the exposures are EV -4, -2, 0, +2 and +4.
            response: "auto" estimates the camera's tone curve, "srgb" takes sRGB for granted.

        Returns:
            Five PNG files, darkest first; the EV of each is in its file name.
        """
        with plain_words():
            result = yield from self._result(photo, model, ev_step, response, progress)
            progress(0.7, desc="Writing five files")
            with self._job() as folder:
                yield tuple(str(path) for path in result.save(folder, format="png", hdr=()))

    def export(
        self,
        photo: str | None,
        model: str,
        ev_step: float,
        response: str,
        kind: str,
        progress: gr.Progress = PROGRESS,
    ):
        """Turn one photo into one file of its light at full size.

        Args:
            photo: a picture file (JPEG, PNG, WebP, AVIF, GIF, BMP or TIFF) that was uploaded to this server.
            model: the network, as for generate.
            ev_step: stops between two exposures of the bracket: 1, 2 or 3.
            response: "auto" estimates the camera's tone curve, "srgb" takes sRGB for granted.
            kind: "exr" or "hdr" is the linear radiance, where 1.0 is the photo's white; "ultrahdr" is the photo as a
                JPEG with a gain map, for bright screens; "zip" is the five exposures.

        Returns:
            The file.
        """
        with plain_words():
            result = yield from self._result(photo, model, ev_step, response, progress)
            progress(0.7, desc="Writing the file")
            with self._job() as folder:
                yield str(write_export(result, folder, kind))

    def export_shown(self, kind: str, shown: tuple[str, str, float, str] | None, progress: gr.Progress = PROGRESS):
        """Write one file of the result that is on the page."""
        if not shown:
            raise gr.Error("Make five exposures first.", title="Nothing to save yet", print_exception=False)
        for path in self.export(*shown, kind, progress):
            yield path if path is WAITING else gr.File(value=path, visible=True)

    def _load(self, upload: str) -> Photo:
        limits = PhotoLimits(bytes=self.settings.max_megabytes << 20, megapixels=self.settings.max_megapixels)
        return load_photo_guarded(upload, timeout_s=self.settings.decode_seconds, limits=limits)

    def _result(self, upload: str | None, model: str, ev_step: float, response: str, progress: gr.Progress):
        if not upload:
            raise gr.Error("Choose a photo first.", title="No photo yet", print_exception=False)
        if not Path(upload).exists():
            raise gr.Error("Your photo was deleted meanwhile. Please choose it again.", print_exception=False)
        progress(0.1, desc="Reading the photo")
        yield WAITING
        photo = self._load(upload)
        progress(0.3, desc="Recovering the light")
        yield WAITING
        evs = tuple(ev_step * i for i in range(-2, 3))
        started = time.monotonic()
        work = partial(self.pipelines[model], photo, evs=evs, response=response)
        result = yield from self.workbench.run(work, WAITING)
        log.info("%s: %d × %d pixels in %.2f s", model, photo.width, photo.height, time.monotonic() - started)
        yield WAITING
        return result

    @contextmanager
    def _job(self) -> Iterator[Path]:
        """A folder of its own for the files of one answer, removed at once if the answer is never finished."""
        if not has_room(self.cache, self.settings.disk_megabytes << 20):
            raise gr.Error(NO_ROOM, title="Too full", print_exception=False)
        folder = Path(tempfile.mkdtemp(prefix="answer-", dir=self.cache))
        try:
            yield folder
        except BaseException as problem:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
                raise gr.Error(NO_ROOM, title="Too full", print_exception=False) from None
            raise


def write_export(result: Result, folder: Path, kind: str) -> Path:
    """Write one file of a result: the bracket as a zip, or the radiance."""
    files = result.save(folder, format="png", hdr=(), zip=True) if kind == "zip" else result.save_hdr(folder, (kind,))
    return files[0]


def summary_of(result: Result, preview_pixels: int) -> str:
    """Say in one line what came out: HTML."""
    height, width = result.radiance.shape[:2]
    parts = [f"{width} × {height} pixels"]
    if max(height, width) > preview_pixels:
        parts.append(f"shown at {preview_pixels}, saved in full size")
    share = float((result.invented > NOTABLE).mean())
    percent = "no part" if share == 0 else "less than 0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
    parts.append(f"light invented in {percent} of the picture")
    return f"<h2>Five exposures</h2><p role='status'>{' · '.join(parts)}</p>"


def numbers_of(result: Result) -> str:
    """What was measured of a result, as two drawings and a table: HTML."""
    numbers = measure(result.photo.pixels, result.radiance, result.invented, result.response, NOTABLE)
    rows = (
        ("Range of the photo", f"{numbers.photo_stops:.1f} stops"),
        ("Range of the light", f"{numbers.light_stops:.1f} stops"),
        ("Brightest light", f"{numbers.peak:.3g} × the photo’s white"),
        ("Clipped in the photo", f"{100 * numbers.clipped:.2f} % of the pixels"),
        ("Notably invented", f"{100 * numbers.invented:.2f} % of the pixels"),
    )
    table = "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in rows)
    curve = "taken for sRGB" if is_srgb(result.response) else "as estimated from this photo"
    return (
        f'<dl class="numbers">{table}</dl>'
        f"<h3>How much light there is</h3>{draw_histogram(numbers)}"
        '<p class="key"><i class="photo"></i> the photo <i class="light"></i> the light</p>'
        f"<h3>How the camera turned light into pixels</h3>{draw_response(result.response)}"
        f'<p class="key"><i class="curve"></i> {curve} <i class="plain"></i> sRGB</p>'
    )


def build_demo(pipelines: Mapping[str, Pipeline], settings: Settings | None = None) -> gr.Blocks:
    """Lay out the page and wire it; nothing is served yet.

    Args:
        pipelines: model name to pipeline, in the order in which they are offered; the first one is preselected.
        settings: the limits; None is the defaults.
    """
    if not pipelines:
        raise ValueError("pipelines must hold at least one model, got none")
    settings = settings or Settings()
    gr.set_static_paths([HERE / "examples"])  # or they would be copied to the temporary files, and deleted with them
    choices = [(MODELS.get(name, name), name) for name in pipelines]

    title = "hdrgan: one photo in, five exposures out"
    keep = (SWEEP_S, settings.keep_minutes * 60)
    with gr.Blocks(title=title, analytics_enabled=False, delete_cache=keep) as demo:
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
                        info="The estimate suits photos from cameras; screenshots and renders are plain sRGB.",
                    )
                develop = gr.Button("Make five exposures", variant="primary", size="lg", elem_id="develop")
                gr.HTML("<p>No photo at hand? Try one of these.</p>", elem_id="try", padding=False)
                with gr.Row(elem_id="examples"):
                    examples = {
                        path: gr.Button(name, icon=str(path), size="sm", min_width=80)
                        for name, path in ((name, HERE / "examples" / file) for name, file in EXAMPLES.items())
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
    return demo.queue(max_size=settings.queue, default_concurrency_limit=2, api_open=False)


def offered_models(settings: Settings) -> list[str]:
    """Names of the networks that the page offers: those of the settings, or all that are in the box."""
    asked = [name.strip() for name in settings.models.split(",") if name.strip()]
    return asked or [name for name in MODELS if name in bundled_names()]


def launch_options(settings: Settings) -> dict[str, Any]:
    """What `gr.Blocks.launch` is given, by `main` and by the tests alike."""
    return {
        "theme": theme(),
        "css": CSS,
        "max_file_size": settings.max_megabytes * 2**20,
        "max_threads": settings.threads,
        "state_session_capacity": settings.sessions,
        "mcp_server": settings.mcp,
        "show_error": False,
        "strict_cors": True,
        "share": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "run_history": False,
        "footer_links": ["api", "settings"],
        "quiet": True,
        "app_kwargs": {
            "middleware": [
                Middleware(
                    Guard,
                    folder=Path(os.environ["GRADIO_TEMP_DIR"]),
                    upload_bytes=settings.max_megabytes << 20,
                    json_bytes=settings.max_json_kilobytes << 10,
                    body_seconds=settings.upload_seconds,
                    connections=settings.connections,
                    disk_bytes=settings.disk_megabytes << 20,
                )
            ]
        },
    }


def keep_swept(folder: Path, settings: Settings, stop: threading.Event) -> None:
    """Sweep the server's temporary folder every minute until told to stop, and hand unused memory back."""
    while not stop.wait(SWEEP_S):
        sweep(folder, settings.keep_minutes * 60 + SWEEP_S)  # what was answered, Gradio deletes by itself
        trim_memory()


def main() -> None:
    """Serve the page until interrupted, on the first free port from GRADIO_SERVER_PORT, or 7860 if that is not set."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("hdrgan").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that a stopped server cleans up behind itself
    settings = Settings.from_env()
    log.info("%s", settings)
    settle_memory()
    for orphan in remove_orphans(TEMPORARY.parent, r"hdrgan-[0-9a-f]{16}"):
        log.info("deleted %s, left behind by a server that was killed", orphan)
    device = settings.device or None
    pipelines = {name: Pipeline.from_pretrained(name, device=device) for name in offered_models(settings)}
    demo = build_demo(pipelines, settings)
    stop = threading.Event()
    threading.Thread(target=keep_swept, args=(TEMPORARY, settings, stop), daemon=True).start()
    try:
        _, url, _ = demo.launch(**launch_options(settings), prevent_thread_lock=True)
        log.info("The page is at %s", url)
        demo.block_thread()
    finally:
        stop.set()
        shutil.rmtree(TEMPORARY, ignore_errors=True)


if __name__ == "__main__":
    main()
