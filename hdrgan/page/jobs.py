"""Heavy work: done a piece at a time, and stopped when nobody waits for it any more."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Generator
from typing import Any, TypeVar

from hdrgan.files.photo import PhotoError
from hdrgan.page.housekeeping import trim_memory

log = logging.getLogger(__name__)

T = TypeVar("T")

PULSE_S = 0.5


class Workbench:
    """One thread that does the heavy work, a piece at a time, and drops a piece that nobody waits for any more.

    Args:
        seconds: most that one piece may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._pieces: queue.SimpleQueue[_Piece] = queue.SimpleQueue()
        self._at_hand = threading.local()
        # A daemon, so that a server that is told to stop does not wait for the end of a photo.
        threading.Thread(target=self._work, name="workbench", daemon=True).start()

    def watch(self, model: Any) -> None:
        """Let work stop before every call of a torch module; whatever has no such hook is left alone."""
        hook = getattr(model, "register_forward_pre_hook", None)
        if hook is not None:
            hook(lambda *_: self.check())

    def check(self) -> None:
        """Raise, inside a piece of work, if nobody waits for it any more."""
        piece = getattr(self._at_hand, "piece", None)
        if piece is not None and piece.dropped.is_set():
            raise _DroppedError

    def run(self, work: Callable[[], T], pulse: Any = None) -> Generator[Any, None, T]:
        """Do ``work``; yield ``pulse`` twice a second meanwhile, and return the result.

        Closing the generator drops the work: it ends before the next call of a watched module.

        Raises:
            PhotoError: the time was up.
        """
        piece = _Piece(work)
        deadline = time.monotonic() + self.seconds
        self._pieces.put(piece)
        try:
            while not piece.done.wait(PULSE_S):
                if time.monotonic() > deadline:
                    raise PhotoError(
                        f"This photo takes longer than the {self.seconds:g} seconds that this server gives to one; "
                        "choose a smaller one or another network."
                    )
                yield pulse
        finally:
            piece.dropped_at = time.monotonic()
            piece.dropped.set()
        if piece.error is not None:
            raise piece.error
        result: T = piece.result
        return result

    def _work(self) -> None:
        while True:
            piece = self._pieces.get()
            self._at_hand.piece = piece
            try:
                self.check()
                piece.result = piece.work()
            except _DroppedError:
                log.info("work stopped %.2f s after nobody waited for it any more", time.monotonic() - piece.dropped_at)
            except BaseException as error:  # whoever waits for it says what it means
                piece.error = error
            finally:
                self._at_hand.piece = None
                piece.done.set()
                del piece  # or the last photo would stay in memory until the next one comes
                trim_memory()


class _DroppedError(Exception):
    """Nobody waits for this work."""


class _Piece:
    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.dropped = threading.Event()
        self.dropped_at = 0.0
