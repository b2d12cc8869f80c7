"""The event handlers of the page: one method for each event."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import gradio as gr

from hdrgan.files.calibrations import CalibrationFileError, CameraCalibration, parse_calibration
from hdrgan.files.guarded import load_photo_guarded
from hdrgan.files.photo import Photo, PhotoError, PhotoLimits
from hdrgan.files.response_choice import CHOICES, Response
from hdrgan.light.cancellation import Cancellation
from hdrgan.light.evs import DEFAULT_EVS, check_evs
from hdrgan.page.answers import DeletedError, address, failure, news, plain_words, sentence_of, waiting, write_file
from hdrgan.page.closeup import check_box, save_part
from hdrgan.page.guard import NO_ROOM
from hdrgan.page.housekeeping import claim, has_room, keep_awake
from hdrgan.page.jobs import Jobs, Standing
from hdrgan.page.kept import KeptResults
from hdrgan.page.look import EXAMPLE, MOST_PHOTOS
from hdrgan.page.numbers import NOTABLE, numbers_of, summary_of
from hdrgan.page.pace import Pace
from hdrgan.page.preview import Previews, save_preview
from hdrgan.page.settings import Settings
from hdrgan.page.several import Archive
from hdrgan.page.sketch import sketch
from hdrgan.page.zerogpu import on_gpu
from hdrgan.pipeline import Pipeline
from hdrgan.result import Result, caption

log = logging.getLogger(__name__)

T = TypeVar("T")
Events = Generator[str, None, None]

LOOK_PIXELS = 1024
"""Longest side of the picture that programs are answered with beside the files."""

WAITING = gr.skip()
"""What a handler yields between two stages: no news, but a place to stop when the visitor has left."""


class Handlers:
    """What the page can do; each public method is one event.

    The long ones are generators, because the server stops a generator at its next ``yield`` when its visitor has left.
    """

    def __init__(
        self, pipelines: Mapping[str, Pipeline], settings: Settings, cache: Path, examples: Path | None = None
    ) -> None:
        self.pipelines = dict(pipelines)
        self.settings = settings
        self.cache = cache  # the server's folder of temporary files: what is written there is not copied again
        self.examples = examples
        held = claim(cache)
        if held >= 0:
            weakref.finalize(self, os.close, held)
        self.jobs = Jobs(settings.work_seconds, wait_seconds=settings.wait_seconds, most_waiting=settings.queue)
        self.kept = KeptResults(settings.kept_megabytes, settings.keep_minutes * 60)
        self.pace = Pace()
        self._tickets: weakref.WeakValueDictionary[str, Cancellation] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()
        self._compute = on_gpu(self._run_pipeline)

    # What the page's own script asks for: JSON in, news in JSON out.

    def develop(self, asked: str) -> Events:
        """Make everything that the page shows of a photo: news of the work, then the pictures as they are drawn."""
        yield from self._told(asked, self._developed)

    def save(self, asked: str) -> Events:
        """Write one file of what the page shows: news of it."""
        yield from self._told(asked, self._saved)

    def look(self, asked: str) -> Events:
        """Draw a part of the photo, and of what is shown of its result, at the photo's own pixels: news of it."""
        yield from self._told(asked, self._looked)

    def pack(self, asked: str) -> Events:
        """Write exposures and finished pictures of several photos into one archive: news of it."""
        yield from self._told(asked, self._packed)

    def _told(self, asked: str, work: Callable[..., Events]) -> Events:
        request, ticket, token = self._ticket(asked)
        tell = partial(news, ticket)
        try:
            yield from work(request, tell, token)
        except Exception as problem:
            yield tell(**failure(problem))

    def _developed(self, request: Mapping[str, Any], tell: Callable[..., str], token: Cancellation) -> Events:
        yield tell(state="working", says="Reading the photo")
        upload, model, evs, response = self._request(request)

        def pulse(standing: Standing) -> str:
            return tell(state="working", **self._progress(standing, photo, model))

        photo = yield from self._photo(upload, lambda _: tell(state="working", says="Reading the photo"), token)
        facts = {"width": photo.width, "height": photo.height, "bits": photo.bits, "light": photo.light_note}
        yield tell(state="working", says="Recovering the light", photo=facts)
        with ThreadPoolExecutor(1) as beside:  # the network leaves a core free
            drawn = beside.submit(sketch, photo, self.pipelines[model], response, self.settings.preview_pixels)
            result = yield from self._result(upload, photo, model, evs, response, pulse, token)
        previews = Previews(result, self.settings.preview_pixels, *drawn.result())
        with self._answer() as folder:
            drawing = partial(self._drawn, tell, token)
            # Every message repeats all that is known: a browser may skip messages that newer ones overtake.
            known: dict[str, Any] = {}

            def first() -> dict[str, Any]:
                shown = save_preview(folder / "photo.jpg", previews.photo)
                finished = save_preview(folder / "finished.jpg", previews.finished())
                return {
                    "photo": address(shown),
                    "finished": address(finished),
                    "width": previews.photo.shape[1],
                    "height": previews.photo.shape[0],
                    "full": [result.photo.width, result.photo.height],
                }

            known |= yield from drawing(first)
            yield tell(state="first", **known)

            def frames() -> dict[str, Any]:
                generated = result.exposures[evs.index(0)] is not result.photo.pixels if 0 in evs else False
                drawn = zip(evs, previews.exposures(), strict=True)
                files = ((ev, save_preview(folder / f"ev{ev:+g}.jpg", frame)) for ev, frame in drawn)
                shown = [{"ev": ev, "says": caption(ev, generated), "url": address(path)} for ev, path in files]
                return {"frames": shown}

            known |= yield from drawing(frames)
            yield tell(state="frames", **known)

            def rest() -> dict[str, Any]:
                return {
                    "hdr": address(previews.save_hdr(folder / "hdr.jpg")),
                    "marks": address(previews.save_marks(folder / "marks.png", NOTABLE)),
                    "summary": summary_of(result),
                    "numbers": numbers_of(result),
                }

            known |= yield from drawing(rest)
            yield tell(state="done", **known)

    def _drawn(self, tell: Callable[..., str], token: Cancellation, work: Callable[[], T]) -> Generator[str, None, T]:
        return (
            yield from self.jobs.run(work, lambda _: tell(state="working", says="Drawing", share=1), cancellation=token)
        )

    def _saved(self, request: Mapping[str, Any], tell: Callable[..., str], token: Cancellation) -> Events:
        def pulse(_: Standing) -> str:
            return tell(state="saving")

        upload, model, evs, response = self._request(request)
        yield tell(state="saving")
        result = yield from self._result(upload, None, model, evs, response, pulse, token)
        kind, format, ev = str(request["kind"]), str(request.get("format", "png")), request.get("ev")
        with self._answer() as folder:
            write = partial(write_file, result, folder, kind, format=format, ev=None if ev is None else float(ev))
            path = yield from self.jobs.run(write, pulse, cancellation=token)
            yield tell(state="file", url=address(path), name=path.name)

    def _looked(self, request: Mapping[str, Any], tell: Callable[..., str], token: Cancellation) -> Events:
        def pulse(_: Standing) -> str:
            return tell(state="looking")

        upload, model, evs, response = self._request(request)
        yield tell(state="looking")
        result = yield from self._result(upload, None, model, evs, response, pulse, token)
        part = check_box(request["box"], result.photo.width, result.photo.height)
        with self._answer() as folder:
            work = partial(save_part, result, str(request["view"]), part, folder)
            photo, shown = yield from self.jobs.run(work, pulse, cancellation=token)
            yield tell(state="look", photo=address(photo), result=address(shown))

    def _packed(self, request: Mapping[str, Any], tell: Callable[..., str], token: Cancellation) -> Events:
        photos = [(str(one["path"]), str(one["name"])) for one in request["photos"]]
        if not 0 < len(photos) <= MOST_PHOTOS:
            raise gr.Error(f"Choose {MOST_PHOTOS} photos at most.", title="Too many", print_exception=False)
        with self._answer() as folder:
            archive = Archive(folder)
            for number, (path, name) in enumerate(photos):
                keep_awake(Path(other) for other, _ in photos[number:] if Path(other).is_relative_to(self.cache))

                def pulse(standing: Standing, number: int = number) -> str:
                    waits = f". {waiting(standing)}" if standing.place else ""
                    says = f"Photo {number + 1} of {len(photos)}{waits}"
                    return tell(state="packing", number=number, says=says, share=number / len(photos))

                yield pulse(Standing(0, 0))
                try:
                    self._check_room()
                    upload, model, evs, response = self._request({**request, "path": path})
                    photo = replace((yield from self._photo(upload, pulse, token)), name=archive.name_for(name))
                    result = yield from self._run(photo, model, evs, response, pulse, token)
                    yield from self.jobs.run(partial(archive.add, result), pulse, cancellation=token)
                    del result, photo
                except (PhotoError, gr.Error) as problem:
                    archive.failed[name] = sentence_of(problem)[1]
            packed = archive.close()
            yield tell(
                state="packed",
                url=address(packed) if archive.count else None,
                name=packed.name,
                count=archive.count,
                failed=[{"name": name, "says": says} for name, says in archive.failed.items()],
            )

    def _ticket(self, asked: str) -> tuple[Mapping[str, Any], str, Cancellation]:
        """What was asked, under which ticket, and the token by which `stop` cancels it."""
        try:
            request = json.loads(asked)
            ticket = str(request["ticket"])
        except (TypeError, ValueError, KeyError):
            raise gr.Error("This is no request of the page's script.", print_exception=False) from None
        token = Cancellation()
        with self._lock:
            self._tickets[ticket] = token
        return request, ticket, token

    def stop(self, ticket: str) -> None:
        """Cancel the work that was asked for under a ticket."""
        with self._lock:
            token = self._tickets.get(ticket)
        if token is not None:
            token.cancel("its visitor cancelled it")

    def _request(self, request: Mapping[str, Any]) -> tuple[str, str, tuple[float, ...], str | CameraCalibration]:
        checked = self._checked(request.get("path"), request.get("model"), request.get("evs"), request.get("response"))
        if not request.get("calibration"):
            return checked
        try:  # the visitor's own camera, which the browser keeps and sends with each photo
            return *checked[:3], parse_calibration(str(request["calibration"]).encode(), Path("That file"))
        except CalibrationFileError as problem:
            raise gr.Error(str(problem), title="This is no calibration", print_exception=False) from None

    def _checked(self, upload: Any, model: Any, evs: Any, response: Any) -> tuple[str, str, tuple[float, ...], str]:
        """What was asked for, or a sentence that says what is wrong with it."""
        if not upload:
            raise gr.Error("Choose a photo first.", title="No photo yet", print_exception=False)
        folder, name = self.cache, str(upload)
        if self.examples is not None and name.startswith(EXAMPLE):
            folder, name = self.examples, str(self.examples / name.removeprefix(EXAMPLE))
        path = Path(name).resolve()
        if not path.is_relative_to(folder.resolve()) or not path.is_file():
            raise DeletedError(
                "Your photo was deleted meanwhile. Please choose it again.", title="No photo", print_exception=False
            )
        if model not in self.pipelines:
            raise gr.Error(
                f"There is no network called {model!r} here.", title="Unknown network", print_exception=False
            )
        if response not in CHOICES:  # a name of a file on this machine, from a caller of the API
            raise gr.Error(
                f"response must be one of {', '.join(CHOICES)}.", title="Unknown response", print_exception=False
            )
        try:
            stops = check_evs(evs or DEFAULT_EVS)
        except (TypeError, ValueError) as problem:
            raise gr.Error(str(problem), title="These exposures can't be made", print_exception=False) from None
        if len(stops) > 15:
            raise gr.Error("At most 15 exposures at a time.", title="Too many exposures", print_exception=False)
        return str(path), str(model), stops, str(response)

    def _progress(self, standing: Standing, photo: Photo, model: str) -> dict[str, Any]:
        if standing.place:
            return {"says": waiting(standing), "place": standing.place}
        expected = self._expected_s(photo, model)
        if expected < 2:
            return {"says": "Recovering the light"}
        left = max(1, round(expected - standing.seconds))
        return {
            "says": f"Recovering the light, about {left} s left" if standing.seconds < expected else "Almost there",
            "share": min(0.97, standing.seconds / expected),
        }

    def _expected_s(self, photo: Photo, model: str) -> float:
        return self.pace.expected_s(self._network(model), photo)

    def _network(self, model: str) -> str:
        return type(getattr(self.pipelines[model], "model", None)).__name__

    # What programs and language models may call.

    def generate(
        self,
        photo: str | None,
        model: str,
        ev_step: float,
        response: str,
        evs: str = "",
    ) -> Generator[str | tuple[list[str], str], None, None]:
        """Turn one photo into exposures of the same scene, dark to bright, as full-size PNG files.

        Args:
            photo: an uploaded JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF; where allowed, any https address.
            model: the network. "radiance" keeps the photo and adds the light that it lost. "bracket" draws all frames.
            ev_step: stops between two of five exposures. With 2 they are EV -4, -2, 0, +2 and +4.
            response: "auto" takes the mean of measured cameras for photos, sRGB for renders; or "camera", or "srgb".
            evs: exposures in stops instead of ev_step, ascending and separated by commas, such as "-3,0,3".

        Returns:
            PNG files, darkest first, with the EV of each in its name; and a small finished picture to look at.
        """
        with plain_words():
            result = yield from self._asked(photo, model, ev_step, response, evs)
            with self._answer() as folder:

                def write() -> tuple[list[str], str]:
                    paths = result.save(folder, format="png", hdr=())
                    look = Previews(result, LOOK_PIXELS)
                    return [str(path) for path in paths], str(save_preview(folder / "finished.jpg", look.finished()))

                yield (yield from self.jobs.run(write, lambda _: WAITING))

    def export(
        self,
        photo: str | None,
        model: str,
        ev_step: float,
        response: str,
        kind: str,
        evs: str = "",
    ) -> Events:
        """Turn one photo into one file of its light at full size.

        Args:
            photo: an uploaded JPEG, PNG, WebP, AVIF, HEIC, GIF, BMP or TIFF; where allowed, any https address.
            model: the network. "radiance" keeps the photo and adds the light that it lost. "bracket" draws all frames.
            ev_step: stops between two of five exposures of the bracket.
            response: "auto" takes the mean of measured cameras for photos, sRGB for renders; or "camera", or "srgb".
            kind: "exr", "hdr" (light, white = 1), "ultrahdr" (JPEG, gain map), "zip" (exposures), "finished" (JPEG).
            evs: exposures in stops instead of ev_step, ascending and separated by commas, such as "-3,0,3".

        Returns:
            The file.
        """
        with plain_words():
            result = yield from self._asked(photo, model, ev_step, response, evs)
            with self._answer() as folder:
                path = yield from self.jobs.run(partial(write_file, result, folder, kind), lambda _: WAITING)
                yield str(path)

    def _asked(
        self, photo: str | None, model: str, ev_step: float, response: str, evs: str
    ) -> Generator[str, None, Result]:
        given: Sequence[float]
        try:
            listed = (evs or "").strip()
            given = [float(ev) for ev in listed.split(",")] if listed else [ev_step * i for i in range(-2, 3)]
        except (TypeError, ValueError):
            says = f"ev_step must be a number, and evs numbers separated by commas, got {ev_step!r} and {evs!r}."
            raise gr.Error(says, title="Exposures", print_exception=False) from None
        upload, model, stops, response = self._checked(photo, model, given, response)
        yield WAITING
        return (yield from self._result(upload, None, model, stops, response, lambda _: WAITING, None))

    def _photo(
        self, upload: str, pulse: Callable[[Standing], Any], token: Cancellation | None
    ) -> Generator[Any, None, Photo]:
        if (kept := self.kept.photo(upload)) is not None:
            return kept
        limits = PhotoLimits(bytes=self.settings.max_megabytes << 20, megapixels=self.settings.max_megapixels)
        read = partial(load_photo_guarded, upload, timeout_s=self.settings.decode_seconds, limits=limits)
        return (yield from self.jobs.beside(read, pulse, cancellation=token))

    def _result(
        self,
        upload: str,
        photo: Photo | None,
        model: str,
        evs: tuple[float, ...],
        response: str | CameraCalibration,
        pulse: Callable[[Standing], Any],
        token: Cancellation | None,
    ) -> Generator[str, None, Result]:
        """The result that is kept, or that of a run."""
        key = (upload, model, evs, response if isinstance(response, str) else response.response.tobytes())
        result = self.kept.get(key)
        if result is None:
            photo = photo or (yield from self._photo(upload, pulse, token))
            result = yield from self._run(photo, model, evs, response, pulse, token)
            self.kept.add(key, result)
        return result

    def _run(
        self,
        photo: Photo,
        model: str,
        evs: tuple[float, ...],
        response: str | CameraCalibration,
        pulse: Callable[[Standing], Any],
        token: Cancellation | None,
    ) -> Generator[str, None, Result]:
        expected = self._expected_s(photo, model)
        took = 0.0

        def work() -> Result:
            nonlocal took
            started = time.monotonic()
            self.pipelines[model].set_threads()  # as `hdrgan generate` does: what is saved is the same, byte for byte
            made = self._compute(model, photo, evs, response)
            took = time.monotonic() - started
            return made

        result = yield from self.jobs.run(work, pulse, expected_s=expected, cancellation=token)
        log.info("%s: %d × %d pixels in %.2f s", model, photo.width, photo.height, took)
        self.pace.learn(self._network(model), photo, took)
        return result

    def _run_pipeline(self, model: str, photo: Photo, evs: Sequence[float], response: Response) -> Result:
        return self.pipelines[model](photo, evs=evs, response=response)

    @contextmanager
    def _answer(self) -> Iterator[Path]:
        """A folder of its own for the files of one answer, removed at once if the answer is never finished."""
        self._check_room()
        folder = self.cache / f"answer-{secrets.token_hex(16)}"  # 128 bits: who does not know it finds nothing
        try:
            folder.mkdir(mode=0o700)
            yield folder
        except BaseException as problem:
            shutil.rmtree(folder, ignore_errors=True)
            if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise gr.Error(NO_ROOM, title="Too full", print_exception=False) from None
            raise

    def _check_room(self) -> None:
        if not has_room(self.cache, self.settings.disk_megabytes << 20):
            raise gr.Error(NO_ROOM, title="Too full", print_exception=False)
