"""The photos of a batch that could not be done: ``failed.jsonl`` beside its results."""

from __future__ import annotations

import json
from pathlib import Path

from hdrgan.batch.shards import Shard
from hdrgan.files.atomic import write_atomic


class Failures:
    """A list on disk, one line of JSON with ``path`` and ``reason`` for each photo.

    Args:
        output: folder of the results.
        shard: this process; each of several has a file of its own.

    Raises:
        ValueError: a file of this name is there that no batch wrote.
    """

    def __init__(self, output: Path, shard: Shard):
        self.path = output / ("failed.jsonl" if shard.world == 1 else f"failed.{shard}.jsonl")
        self._reasons: dict[int, dict[str, str]] = {}
        if self.path.exists():
            if not _is_ours(self.path):
                raise ValueError(f"{self.path} is in the way: it is no list of photos that failed; move it")
            self.path.unlink()

    def add(self, index: int, path: str, reason: str) -> None:
        """Write a photo, by its place in the plan, to disk at once: a process that is killed loses nothing."""
        self._reasons[index] = {"path": path, "reason": reason}
        with open(self.path, "a", encoding="ascii") as file:
            file.write(json.dumps(self._reasons[index]) + "\n")

    def close(self) -> None:
        """Sort the list as the plan is sorted, so that it does not depend on which photo was done first."""
        if self._reasons:
            lines = "".join(json.dumps(self._reasons[index]) + "\n" for index in sorted(self._reasons))
            write_atomic(self.path, lines.encode())


def _is_ours(path: Path) -> bool:
    """Whether every whole line is one of ours; the last may have been cut off."""
    try:
        return all(json.loads(line).keys() == {"path", "reason"} for line in path.read_bytes().split(b"\n")[:-1])
    except (ValueError, AttributeError):
        return False
