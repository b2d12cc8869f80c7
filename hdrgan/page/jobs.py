"""Heavy work: done one job at a time in each of two lanes, and stopped at its next stage when nobody waits for it.

A job that is expected to be long runs in a lane of its own and stands aside, at each of its stages, while a quick job
is under way: a quick photo does not wait for a slow one, and the machine is not shared between them.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator
from contextvars import copy_context
from typing import Any, NamedTuple, TypeVar

from hdrgan.files.photo import PhotoError
from hdrgan.light.cancellation import Cancellation, CancelledError
from hdrgan.page.housekeeping import trim_memory

log = logging.getLogger(__name__)

T = TypeVar("T")

PULSE_S = 0.25
LONG_S = 8.0
"""Seconds of expected work from which a job counts as long."""

ASIDE_S = 5.0
"""Seconds that a long job stands aside at a stretch; then it works for as long beside whatever is under way."""


class BusyError(Exception):
    """The server has no room or no time for this job; the message is for its visitor."""


class Standing(NamedTuple):
    """How a job stands: its place in the queue, from 1, or 0 and the seconds for which it has been worked on."""

    place: int
    seconds: float


class Jobs:
    """Two lanes, one thread each, for quick jobs and long ones.

    Args:
        seconds: most that one job may work.
        wait_seconds: most that it may wait for its turn.
        most_waiting: jobs that may wait; the next one is refused.
    """

    def __init__(self, seconds: float, *, wait_seconds: float = 600.0, most_waiting: int = 16) -> None:
        self.seconds, self.wait_seconds, self.most_waiting = seconds, wait_seconds, most_waiting
        self._changed = threading.Condition()
        self._lanes: tuple[deque[_Job], deque[_Job]] = (deque(), deque())  # first in each is the one under way
        self._beside: set[_Job] = set()  # in threads of their own
        self._closed = False
        # Daemons, so that a program that never closes its jobs can end; one that must not be torn down in the middle
        # of a stage calls `close`.
        self._threads = [
            threading.Thread(target=self._work, args=(lane,), name=f"jobs-{lane}", daemon=True) for lane in (0, 1)
        ]
        for thread in self._threads:
            thread.start()
        _every.add(self)

    def run(
        self,
        work: Callable[[], T],
        pulse: Callable[[Standing], Any] = lambda standing: None,
        *,
        expected_s: float = 0.0,
        cancellation: Cancellation | None = None,
    ) -> Generator[Any, None, T]:
        """Do ``work``; yield ``pulse(standing)`` some times a second meanwhile, and return the result.

        Closing the generator cancels the work: it ends at its next stage.

        Args:
            work: what to do; it must ask `hdrgan.light.cancellation.check_cancelled` at its stages.
            pulse: makes what is yielded.
            expected_s: how long it will take, as far as is known.
            cancellation: a token by which others may cancel it as well.

        Raises:
            BusyError: too many jobs wait, or the wait was too long.
            PhotoError: the time for the work was up.
            CancelledError: the token was set.
        """
        job = _Job(work, cancellation)
        lane = self._lanes[expected_s >= LONG_S]
        if lane is self._lanes[1]:
            job.token.at_check = lambda: self._stand_aside(job)
        with self._changed:
            if self._closed or sum(map(len, self._lanes)) >= self.most_waiting + 2:
                raise BusyError("The page is busy: as many photos as it takes are waiting already. Try again soon.")
            lane.append(job)
            self._changed.notify_all()
        try:
            result: T = yield from self._wait_for(job, lane, pulse)
            return result
        finally:
            with self._changed:
                if job.started is None and job in lane:
                    lane.remove(job)

    def beside(
        self,
        work: Callable[[], T],
        pulse: Callable[[Standing], Any] = lambda standing: None,
        *,
        cancellation: Cancellation | None = None,
    ) -> Generator[Any, None, T]:
        """Do ``work`` at once, in a thread of its own beside the lanes; otherwise as `run`.

        It is for work that another process does, and this one only waits for.
        """
        job = _Job(work, cancellation)
        with self._changed:
            if self._closed:
                raise CancelledError("the server stops")
            self._beside.add(job)
        job.started = time.monotonic()

        def do() -> None:
            job.do()
            with self._changed:
                self._beside.discard(job)
            job.done.set()

        threading.Thread(target=do, daemon=True).start()
        result: T = yield from self._wait_for(job, deque(), pulse)
        return result

    def _wait_for(self, job: _Job, lane: deque[_Job], pulse: Callable[[Standing], Any]) -> Generator[Any, None, Any]:
        queued = time.monotonic()
        try:
            while not job.done.wait(PULSE_S):
                if job.token.cancelled:
                    break
                if job.started is None and time.monotonic() - queued > self.wait_seconds:
                    raise BusyError(
                        f"This photo waited for {self.wait_seconds:g} seconds, and its turn did not come. Try again "
                        "when the page is less busy."
                    )
                if job.worked() > self.seconds:
                    raise PhotoError(
                        f"This photo takes longer than the {self.seconds:g} seconds that this server gives to one; "
                        "choose a smaller one or another network."
                    )
                yield pulse(Standing(self._place(lane, job), job.worked()))
        finally:
            if not job.done.is_set():
                job.token.cancel("nobody waits for it")
        if not job.done.is_set():
            raise CancelledError("cancelled")
        if job.error is not None:
            raise job.error
        return job.result

    def close(self, seconds: float = 10.0) -> bool:
        """Cancel everything and take no more; whether all work ended within ``seconds``."""
        with self._changed:
            self._closed = True
            for jobs in (*self._lanes, self._beside):
                for job in jobs:
                    job.token.cancel("the server stops")
            self._changed.notify_all()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _place(self, lane: deque[_Job], job: _Job) -> int:
        with self._changed:
            return lane.index(job) if job.started is None and job in lane else 0

    def _stand_aside(self, job: _Job) -> None:
        """Let quick jobs go first: called in the thread of a long one, at each of its stages."""
        now = time.monotonic()
        if now < job.aside_again or not self._lanes[0]:
            return
        with self._changed:
            while self._lanes[0] and not job.token.cancelled and time.monotonic() < now + ASIDE_S:
                self._changed.wait(PULSE_S)
        job.aside += time.monotonic() - now
        job.aside_again = time.monotonic() + (ASIDE_S if self._lanes[0] else 0)

    def _work(self, number: int) -> None:
        lane = self._lanes[number]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: lane or self._closed)
                if self._closed:
                    return
                job = lane[0]
                job.started = time.monotonic()
            job.do()
            with self._changed:
                lane.popleft()
                self._changed.notify_all()
            job.done.set()
            del job  # or the last photo would stay in memory until the next one comes
            trim_memory()


def close_all(seconds: float = 10.0) -> bool:
    """Close all jobs of this process; whether their work ended in time."""
    return all([jobs.close(seconds) for jobs in list(_every)])


_every: weakref.WeakSet[Jobs] = weakref.WeakSet()


class _Token(Cancellation):
    """The token of a job, which follows its caller's token."""

    def __init__(self, outer: Cancellation | None) -> None:
        super().__init__(self._before_check)
        self.outer = outer
        self.at_check: Callable[[], None] | None = None

    @property
    def cancelled(self) -> bool:
        return super().cancelled or (self.outer is not None and self.outer.cancelled)

    def _before_check(self) -> None:
        if self.at_check is not None:
            self.at_check()
        if self.outer is not None and self.outer.cancelled:
            self.cancel("cancelled")
            self.asked_at = self.outer.asked_at


class _Job:
    def __init__(self, work: Callable[[], Any], outer: Cancellation | None) -> None:
        self.work = work
        self.context = copy_context()  # of whoever asks for it: a Space's card is borrowed in its visitor's name
        self.token = _Token(outer)
        self.result: Any = None
        self.error: BaseException | None = None
        self.done = threading.Event()
        self.started: float | None = None
        self.aside = 0.0  # seconds that it stood aside
        self.aside_again = 0.0  # when it may stand aside the next time

    def do(self) -> None:
        """Work, in the thread of a lane or in one of its own."""
        try:
            self.context.run(self._do)
        except CancelledError as stopped:
            self.error = stopped
            waited = time.monotonic() - self.token.asked_at
            log.info("work stopped %.2f s after nobody waited for it any more", waited)
        except BaseException as error:  # the thread that waits for it explains it
            self.error = error

    def _do(self) -> None:
        with self.token.in_force():
            self.token.check()
            self.result = self.work()

    def worked(self) -> float:
        """Seconds for which it has been worked on."""
        return 0.0 if self.started is None else time.monotonic() - self.started - self.aside
