"""Every limit of the page, and the environment variable that sets it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hdrgan.files.guarded import DECODE_SECONDS


@dataclass(frozen=True)
class Settings:
    """Every limit of the page; each field is read from the environment variable ``HDRGAN_<FIELD>``."""

    models: str = ""  # names, folders or Hub ids, separated by commas; empty: the bundled ones
    device: str = ""  # "cpu", "cuda", "mps"; empty: the best there is
    max_megabytes: int = 64  # of one upload
    max_megapixels: int = 120  # of one photo
    max_json_kilobytes: int = 256  # of any request that is no upload
    disk_megabytes: int = 8192  # of temporary files; no upload is taken and no answer written beyond
    decode_seconds: int = DECODE_SECONDS  # that opening one photo may take
    upload_seconds: int = 300  # within which a request must have arrived
    work_seconds: int = 300  # that the network may work on one photo; waiting for its turn does not count
    wait_seconds: int = 600  # that a photo may wait for its turn
    preview_pixels: int = 1600  # longest side of what the page shows; downloads are full size
    kept_megabytes: int = 1024  # of memory for results that are still looked at, so that saving needs no second run
    queue: int = 16  # visitors who may wait; the next one is told that the page is busy
    connections: int = 256  # at a time; every open page holds one or two
    sessions: int = 200  # pages whose last result is remembered for their downloads
    threads: int = 48  # of the server; who waits for a photo holds one
    keep_minutes: int = 10  # how long uploads and results stay on disk
    fetch: bool = False  # let programs name a photo by an https address of the public internet
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
