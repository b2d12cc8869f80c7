"""How far a batch is: a bar on a terminal, a line every half minute elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

from tqdm import tqdm

from hdrgan.batch.ranks import Tally

EVERY = 30.0  # seconds between two lines


class Progress:
    """Shows on standard error how far a batch is.

    Args:
        shown: whether anything is written at all.
        stream: where to; a terminal gets a bar.
        clock: seconds, for tests.
    """

    def __init__(self, *, shown: bool, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic):
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self.shown = shown
        self._start = self._written = clock()
        self._bar: tqdm[None] | None = None
        self.on_terminal = shown and self._stream.isatty()

    def close(self) -> None:
        """End the bar."""
        if self._bar is not None:
            self._bar.close()

    def write_line(self, line: str) -> None:
        """Write a line above the bar."""
        if self._bar is not None:
            self._bar.clear()
        self._stream.write(line + "\n")
        self._stream.flush()
        if self._bar is not None:
            self._bar.refresh()

    def update(self, tally: Tally) -> None:
        """Show how far the batch is, if it is time."""
        if not self.shown:
            return
        if self.on_terminal:
            self._show(tally)
        elif self._clock() - self._written >= EVERY and tally.handled < tally.total:
            self._written = self._clock()
            self.write_line(self.line(tally))

    def _show(self, tally: Tally) -> None:
        if self._bar is None:
            self._bar = tqdm(total=tally.total, desc="Photos", unit="photo", file=self._stream, dynamic_ncols=True)
        self._bar.total = tally.total
        seconds = max(self._clock() - self._start, 1e-3)
        failed = f", {tally.failed} failed" if tally.failed else ""
        self._bar.set_postfix_str(f"{tally.megapixels:,.0f} MP, {tally.megapixels / seconds:.1f} MP/s{failed}", False)
        self._bar.update(tally.handled - self._bar.n)

    def line(self, tally: Tally) -> str:
        """``37 of 200 photos, 412 MP, 30.5 MP/s, 2 failed, 0:01:12 left``."""
        seconds = max(self._clock() - self._start, 1e-3)
        worked = tally.done + tally.failed
        parts = [f"{tally.handled:,} of {tally.total:,} photos", f"{tally.megapixels:,.0f} MP"]
        parts.append(f"{tally.megapixels / seconds:.1f} MP/s")
        if tally.failed:
            parts.append(f"{tally.failed:,} failed")
        if worked and tally.total > tally.handled:
            left = round(seconds / worked * (tally.total - tally.handled))
            parts.append(f"{left // 3600}:{left // 60 % 60:02}:{left % 60:02} left")
        return ", ".join(parts)
