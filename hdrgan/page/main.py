"""Start the page: which networks it offers, how it is served, and what is tidied up behind it."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
import threading
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from starlette.middleware import Middleware

from hdrgan.files.codec_logs import silence_codecs
from hdrgan.files.guarded import close_decoders, load_photo_guarded
from hdrgan.models.finding import bundled_names, project_file
from hdrgan.page.card import Card
from hdrgan.page.environment import prepare
from hdrgan.page.fetch import fetch
from hdrgan.page.guard import Guard
from hdrgan.page.housekeeping import remove_orphans, settle_memory, sweep, trim_memory
from hdrgan.page.jobs import close_all
from hdrgan.page.kept import sweep_all
from hdrgan.page.layout import MODELS, SWEEP_S, build_demo
from hdrgan.page.look import CSS, theme
from hdrgan.page.settings import Settings
from hdrgan.pipeline import Pipeline

log = logging.getLogger(__name__)


def offered_models(settings: Settings) -> list[str]:
    """Names of the networks that the page offers: those of the settings, or all that are in the box."""
    asked = [name.strip() for name in settings.models.split(",") if name.strip()]
    return asked or [name for name in MODELS if name in bundled_names()]


def launch_options(settings: Settings) -> dict[str, Any]:
    """What `gr.Blocks.launch` is given, by `main` and by the tests alike."""
    folder, upload_bytes = Path(os.environ["GRADIO_TEMP_DIR"]), settings.max_megabytes << 20
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
        "footer_links": ["api"],
        "quiet": True,
        "app_kwargs": {
            "middleware": [
                Middleware(
                    Guard,
                    folder=folder,
                    upload_bytes=upload_bytes,
                    json_bytes=settings.max_json_kilobytes << 10,
                    body_seconds=settings.upload_seconds,
                    connections=settings.connections,
                    disk_bytes=settings.disk_megabytes << 20,
                    fetch=partial(fetch, folder=folder, most_bytes=upload_bytes) if settings.fetch else None,
                ),
                Middleware(Card),
            ]
        },
    }


_GOODBYE_S = 1.0  # for answers that are on their way when the server stops


def keep_swept(folder: Path, settings: Settings, stop: threading.Event) -> None:
    """Sweep the server's temporary folder every minute until told to stop, and hand unused memory back."""
    while not stop.wait(SWEEP_S):
        sweep(folder, settings.keep_minutes * 60)  # Gradio's own sweep ends where a photo comes in while it looks
        sweep_all()
        trim_memory()


def main() -> None:
    """Serve the page until it is stopped, on the first free port from GRADIO_SERVER_PORT, or 7860 if that is not set.

    SIGTERM and SIGINT end it with 128 and the number of the signal, as shells expect, once its work has stopped.
    """
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("hdrgan").setLevel(logging.INFO)
    told, code = threading.Event(), 0

    def end(number: int, _: FrameType | None) -> None:
        nonlocal code
        code = 128 + number
        told.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    settings, temporary = Settings.from_env(), prepare()
    silence_codecs()
    log.info("%s", settings)
    settle_memory()
    for orphan in remove_orphans(temporary.parent, r"hdrgan-[0-9a-f]{16}"):
        log.info("deleted %s, left behind by a server that was killed", orphan)
    device = settings.device or None
    pipelines = {name: Pipeline.from_pretrained(name, device=device) for name in offered_models(settings)}
    demo = build_demo(pipelines, settings)
    threading.Thread(target=keep_swept, args=(temporary, settings, told), daemon=True).start()
    # The process that decodes photos takes half a second to start: not the first visitor's.
    threading.Thread(target=load_photo_guarded, args=(project_file("examples") / "sunset.jpg",), daemon=True).start()
    try:
        _, url, _ = demo.launch(**launch_options(settings), prevent_thread_lock=True)
        log.info("The page is at %s", url)
        # Another thread may take the signal, and does not wake this one, in which alone Python calls its handler.
        while not told.wait(0.5):
            pass
    finally:
        told.set()
        if not close_all(seconds=20):
            log.warning("work did not stop in time")
        if demo.server:
            demo.server.should_exit = True
            demo.server.thread.join(_GOODBYE_S)
        close_decoders()
        shutil.rmtree(temporary, ignore_errors=True)
    # The threads that serve visitors wait for those whose connections stay open, and Python would wait for the threads.
    logging.shutdown()
    sys.stdout.flush()
    os._exit(code)
