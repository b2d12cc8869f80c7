"""Gradio, imported with the environment that the page wants: every module of the page takes ``gr`` from here."""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

# Gradio and the Hub's library read these while they are imported: nothing is sent home, and temporary files go where
# no other program's are.
os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
# It would keep 10,000 requests in mind and count them all after each one; the log says as much.
os.environ.setdefault("GRADIO_ANALYTICS_MAX_EVENTS", "1")
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
os.environ["GRADIO_TEMP_DIR"] = os.path.join(
    os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir(), f"hdrgan-{secrets.token_hex(8)}"
)

import gradio as gr

__all__ = ["TEMPORARY", "gr"]

TEMPORARY = Path(os.environ["GRADIO_TEMP_DIR"])
"""The server's folder of temporary files."""
