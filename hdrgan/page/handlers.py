"""What the page can do: one event a method, and what it says of a result."""

from __future__ import annotations

import errno
import html
import logging
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from hdrgan.files.photo import Photo, PhotoError, PhotoLimits
from hdrgan.page import viewer
from hdrgan.page.decoder import load_photo_guarded
from hdrgan.page.environment import gr
from hdrgan.page.guard import NO_ROOM
from hdrgan.page.housekeeping import claim, has_room
from hdrgan.page.jobs import Workbench
from hdrgan.page.numbers import draw_histogram, draw_response, is_srgb, measure
from hdrgan.page.preview import save_frames, save_view, screen_radiance
from hdrgan.page.settings import Settings
from hdrgan.pipeline import Pipeline
from hdrgan.result import Result

log = logging.getLogger(__name__)

SHOWN_BY_BROWSERS = {"JPEG", "PNG", "WebP", "GIF", "BMP", "AVIF"}

NOTABLE = 0.1
"""Share of a pixel's light above which the page counts it as invented."""

PROGRESS = gr.Progress()
WAITING = gr.skip()
"""What a handler yields between two stages: no news, but a place to stop when the visitor has left."""

TROUBLE = '<div class="trouble" role="alert"><strong>This photo can’t be used.</strong> {}</div>'


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

    def look(self, upload: str | None) -> tuple[Any, Any, str]:
        """Judge a photo as soon as it is chosen; show a stand-in where browsers don't know its format."""
        if upload is None:
            return gr.skip(), gr.skip(), ""
        try:
            photo = self._load(upload)
        except PhotoError as problem:
            return None, None, TROUBLE.format(html.escape(str(problem)))
        bits = " · 16 bits" if photo.bits == 16 else ""
        facts = f"{html.escape(Path(upload).name)} · {photo.width} × {photo.height} pixels{bits}"
        if photo.light_note:
            facts += f" · {photo.light_note}"
        if photo.format in SHOWN_BY_BROWSERS:
            return gr.skip(), gr.skip(), facts
        with self._job() as folder:
            stand_in = save_view(folder / "photo.jpg", photo.pixels, self.settings.preview_pixels)
        return str(stand_in), gr.skip(), facts

    def develop(
        self, upload: str | None, model: str, ev_step: float, response: str, progress: gr.Progress = PROGRESS
    ) -> Generator[Any, None, None]:
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
    ) -> Generator[Any, None, None]:
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
    ) -> Generator[Any, None, None]:
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

    def export_shown(
        self, kind: str, shown: tuple[str, str, float, str] | None, progress: gr.Progress = PROGRESS
    ) -> Generator[Any, None, None]:
        """Write one file of the result that is on the page."""
        if not shown:
            raise gr.Error("Make five exposures first.", title="Nothing to save yet", print_exception=False)
        for path in self.export(*shown, kind, progress):
            yield path if path is WAITING else gr.File(value=path, visible=True)

    def _load(self, upload: str) -> Photo:
        limits = PhotoLimits(bytes=self.settings.max_megabytes << 20, megapixels=self.settings.max_megapixels)
        return load_photo_guarded(upload, timeout_s=self.settings.decode_seconds, limits=limits)

    def _result(
        self, upload: str | None, model: str, ev_step: float, response: str, progress: gr.Progress
    ) -> Generator[Any, None, Result]:
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
