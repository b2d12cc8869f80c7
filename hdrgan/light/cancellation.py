"""Stop work that nobody waits for any more: the caller sets a token, and the work checks it at every stage.

>>> token = Cancellation()
>>> with token.in_force():
...     check_cancelled()  # the work goes on
>>> token.cancel("the visitor left")
>>> with token.in_force():
...     check_cancelled()
Traceback (most recent call last):
hdrgan.light.cancellation.CancelledError: the visitor left
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Self


class CancelledError(Exception):
    """The work was cancelled; the message says why."""


class Cancellation:
    """A token that says whether work is still wanted.

    Args:
        at_check: called at every check of work that goes on, in the thread that does the work; it may wait.
    """

    def __init__(self, at_check: Callable[[], None] | None = None) -> None:
        self._cancelled = threading.Event()
        self._reason = ""
        self.asked_at = 0.0  # when the work was asked to stop, as `time.monotonic` counts
        self._at_check = at_check

    def cancel(self, reason: str = "cancelled") -> None:
        """Ask the work to stop; from any thread, any number of times. The first reason is kept."""
        if not self._cancelled.is_set():
            self._reason, self.asked_at = reason, time.monotonic()
            self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the work was asked to stop."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Raise `CancelledError` if the work was asked to stop."""
        if not self._cancelled.is_set() and self._at_check is not None:
            self._at_check()
        if self._cancelled.is_set():
            raise CancelledError(self._reason)

    @contextmanager
    def in_force(self) -> Iterator[Self]:
        """Make this the token that `check_cancelled` asks, in this thread and in those that `each` starts."""
        before = _current.set(self)
        try:
            yield self
        finally:
            _current.reset(before)


_current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)


def token_in_force() -> Cancellation | None:
    """What `check_cancelled` asks in this thread, for work that has to be ended from another one."""
    return _current.get()


def check_cancelled() -> None:
    """Raise `CancelledError` if the work of this thread was cancelled; work without a token goes on."""
    token = _current.get()
    if token is not None:
        token.check()
