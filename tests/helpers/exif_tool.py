"""What exiftool, which is not ours, reads in files."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterable
from os import PathLike
from typing import Any


def exiftool(paths: Iterable[str | PathLike[str]], *which: str) -> list[dict[str, Any]]:
    """The tags of each file, as "Group:Name"; all of them unless some are named."""
    assert shutil.which("exiftool"), "install libimage-exiftool-perl"
    command = ["exiftool", "-json", "-G1", "-struct", "-charset", "iptc=utf8", *which, *map(str, paths)]
    told: list[dict[str, Any]] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return told
