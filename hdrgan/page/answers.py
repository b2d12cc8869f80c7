"""What the page answers: news for its script, sentences for its visitors, files."""

from __future__ import annotations

import html
import json
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.exceptions import InvalidPathError

from hdrgan.files.limits import for_visitors
from hdrgan.files.photo import PhotoError
from hdrgan.light.cancellation import CancelledError
from hdrgan.page.guard import GONE, NO_FIT
from hdrgan.page.jobs import BusyError, Standing
from hdrgan.result import PICTURE_FORMATS, Result

log = logging.getLogger(__name__)

KINDS = ("exr", "hdr", "ultrahdr", "zip", "finished")  # that programs can ask for


class RequestError(ValueError):
    """What was asked for does not exist; the message is for whoever wrote the request."""


class DeletedError(gr.Error):
    """What was sent before is not kept any more."""


@contextmanager
def plain_words() -> Iterator[None]:
    """Turn whatever goes wrong into one sentence for the visitor; the traceback goes to the log alone."""
    try:
        yield
    except gr.Error:
        raise
    except Exception as problem:
        title, sentence = sentence_of(problem)
        raise gr.Error(sentence, title=title, print_exception=False) from None


def checked_in_words(preprocess: Callable[..., Awaitable[Any]]) -> Callable[..., Coroutine[Any, Any, Any]]:
    """Refuse the arguments of a call in a sentence, where Gradio would say nothing and print a traceback."""

    async def checked(*arguments: Any, **named: Any) -> Any:
        try:
            return await preprocess(*arguments, **named)
        except gr.Error as refusal:
            refusal.print_exception = False
            raise
        except Exception as problem:
            log.warning("arguments that make no sense were refused: %s", type(problem).__name__)
            says = GONE if isinstance(problem, OSError | InvalidPathError) else NO_FIT
            raise gr.Error(says, title="That did not work", print_exception=False) from None

    return checked


def sentence_of(problem: Exception) -> tuple[str, str]:
    """A title and a sentence for the visitor; details go to the log alone."""
    if isinstance(problem, gr.Error):
        return str(problem.title), str(problem.message)
    if isinstance(problem, PhotoError):
        return "This photo can't be used", for_visitors(str(problem))
    if isinstance(problem, RequestError):
        return "This can't be made", str(problem)
    if isinstance(problem, BusyError):
        return "Busy", str(problem)
    if isinstance(problem, CancelledError):
        return "Cancelled", "The work was cancelled."
    log.error("a request failed", exc_info=problem)
    return "That did not work", "Something broke on our side. Please try again, or try a smaller photo."


def failure(problem: Exception) -> dict[str, Any]:
    """The news that something did not work, or that its visitor cancelled it."""
    title, sentence = sentence_of(problem)
    if not sentence.strip():  # or nobody would know why
        sentence = f"It ended without a reason ({type(problem).__name__}). Please try again."
    return {
        "state": "cancelled" if isinstance(problem, CancelledError) else "failed",
        "title": title,
        "says": sentence,
        "unreadable": isinstance(problem, PhotoError),
        "deleted": isinstance(problem, DeletedError),
    }


def waiting(standing: Standing) -> str:
    """How many others come first."""
    before = "one photo is" if standing.place == 1 else f"{standing.place} photos are"
    return f"Waiting: {before} before yours"


def address(path: Path | None) -> str | None:
    """Where a browser gets an answer's file, relative to the page."""
    return None if path is None else f"gradio_api/file={path}"


def news(ticket: str, **facts: Any) -> str:
    """A message for the page's script: HTML that carries JSON.

    Its time makes it differ from the one before: the page hears that the server is there only where something changes.
    """
    message = {"ticket": ticket, "time": round(time.monotonic(), 1)} | facts
    return f'<i data-news="{html.escape(json.dumps(message))}"></i>'


def write_file(result: Result, folder: Path, kind: str, *, format: str = "png", ev: float | None = None) -> Path:
    """Write one file of a result at full size.

    Args:
        result: what to write.
        folder: where to.
        kind: "finished", "zip" (the bracket), "frame" (one exposure), or an HDR format.
        format: of exposures: "png", "jpg" or "tiff".
        ev: which exposure "frame" is.

    Raises:
        RequestError: there is no such kind, format or exposure.
    """
    if kind not in (*KINDS, "frame") or format not in PICTURE_FORMATS:
        raise RequestError(f"kind must be one of {', '.join(KINDS)}, and format one of {', '.join(PICTURE_FORMATS)}.")
    if kind == "zip":
        return result.save(folder, format=format, hdr=(), zip=True)[0]
    if kind == "frame":
        if ev not in result.evs:
            raise RequestError(f"There is no exposure at EV {ev}.")
        return result.save_frame(folder, result.evs.index(ev), format)
    return result.save_hdr(folder, (kind,))[0]
