"""What must be in the environment before Gradio is imported, and the start of the page with it."""

from __future__ import annotations

import os
import secrets
import tempfile
from functools import cache
from pathlib import Path


@cache
def prepare() -> Path:
    """Set what Gradio and the Hub's library read while they are imported: call it before they are.

    Nothing is sent home, and temporary files go where no other program's are: into a folder that does not exist yet,
    whose path is returned.
    """
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Threads of the network that wait, sleep: others decode and encode beside them. It is read when torch is imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Gradio would keep 10,000 requests in mind and count them all after each one; the log says as much.
    os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
    os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
    parent = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir())
    folder = parent / f"hdrgan-{secrets.token_hex(8)}"
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def start() -> None:
    """Serve the page until it is stopped; see `hdrgan.page.main.main`."""
    prepare()
    from hdrgan.page.main import main

    main()
