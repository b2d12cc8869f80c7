"""Jobs: one at a time in each lane, stopped when nobody waits, timed from their start, and long ones behind quick ones.

Events decide what happens when; no test measures a time.
"""

from __future__ import annotations

import re
import threading
import traceback

import numpy as np
import pytest

from hdrgan import EIN, Pipeline
from hdrgan.files.photo import PhotoError
from hdrgan.light.cancellation import Cancellation, CancelledError, check_cancelled, token_in_force
from hdrgan.page import jobs as module
from hdrgan.page.jobs import LONG_S, BusyError, Jobs, close_all


@pytest.fixture(autouse=True)
def short_pulse(monkeypatch):
    monkeypatch.setattr(module, "PULSE_S", 0.01)


@pytest.fixture
def jobs():
    made = Jobs(3600)
    yield made
    assert made.close(60)


def finish(run):
    """(pulses, result) of a generator."""
    pulses = []
    while True:
        try:
            pulses.append(next(run))
        except StopIteration as end:
            return pulses, end.value


class Gate:
    """Work of many stages, each of which waits to be let through."""

    def __init__(self, stages: int = 1000) -> None:
        self.entered, self.open, self.stages, self.done = threading.Event(), threading.Event(), stages, 0

    def __call__(self) -> int:
        for _ in range(self.stages):
            check_cancelled()
            self.entered.set()
            assert self.open.wait(60)
            self.done += 1
        return self.done


def test_work_is_done_in_one_thread_while_its_caller_stays_awake(jobs):
    gate = Gate(1)
    run = jobs.run(gate, lambda standing: standing.place)
    assert next(run) == 0
    gate.open.set()
    assert finish(run)[1] == 1
    assert finish(jobs.run(threading.get_ident))[1] == finish(jobs.run(threading.get_ident))[1]


def test_what_goes_wrong_reaches_its_caller(jobs):
    with pytest.raises(ZeroDivisionError):
        finish(jobs.run(lambda: 1 / 0))
    assert finish(jobs.run(lambda: 7))[1] == 7


@pytest.mark.parametrize("way", ["leaves", "cancels", "closes"])
@pytest.mark.parametrize("long", [False, True])
def test_work_stops_at_its_next_stage(way, long):
    jobs, gate, token = Jobs(3600), Gate(), Cancellation()
    run = jobs.run(gate, expected_s=2 * LONG_S * long, cancellation=token)
    next(run)
    assert gate.entered.wait(60)
    if way == "leaves":
        run.close()
    elif way == "cancels":
        token.cancel()
    else:
        assert not jobs.close(0)
    gate.open.set()
    if way != "leaves":
        with pytest.raises(CancelledError):
            finish(run)
    assert jobs.close(60)
    assert gate.done == 1


@pytest.mark.parametrize("way", ["leaves", "cancels", "closes"])
def test_work_beside_the_lanes_waits_for_none_and_stops_as_well(way):
    jobs, busy, gate, token = Jobs(3600), Gate(1), Gate(), Cancellation()
    first = jobs.run(busy)
    next(first)
    run = jobs.beside(gate, lambda standing: standing.place, cancellation=token)
    assert next(run) == 0
    assert gate.entered.wait(60), "although the lane is taken"
    if way == "leaves":
        run.close()
    elif way == "cancels":
        token.cancel()
    else:
        assert not jobs.close(0)
    gate.open.set()
    if way != "leaves":
        with pytest.raises(CancelledError):
            finish(run)
    busy.open.set()
    while jobs._beside:
        threading.Event().wait(0.01)
    assert gate.done == 1
    assert jobs.close(60)
    with pytest.raises(CancelledError):
        next(jobs.beside(gate))


def test_what_goes_wrong_beside_the_lanes_reaches_its_caller(jobs):
    with pytest.raises(ZeroDivisionError):
        finish(jobs.beside(lambda: 1 / 0))
    assert finish(jobs.beside(lambda: 7))[1] == 7


def test_work_that_was_dropped_before_its_turn_never_starts(jobs):
    busy, never = Gate(1), Gate(1)
    first = jobs.run(busy)
    next(first)
    second = jobs.run(never, lambda standing: standing.place)
    assert next(second) == 1
    second.close()
    busy.open.set()
    finish(first)
    finish(jobs.run(lambda: None))
    assert not never.entered.is_set()


def test_the_deadline_starts_with_the_work(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    jobs, busy = Jobs(20, wait_seconds=1e9), Gate(1)
    first, second = jobs.run(busy), jobs.run(lambda: "served")
    next(first)
    next(second)
    now[0] = 19.0
    next(first)
    next(second)  # has waited longer than
    now[0] = 21.0
    with pytest.raises(PhotoError, match="longer than the 20 seconds"):
        finish(first)
    next(second)
    busy.open.set()
    assert finish(second)[1] == "served"


def test_a_wait_has_a_limit_and_a_sentence_of_its_own(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    jobs, busy = Jobs(1e9, wait_seconds=100), Gate(1)
    first, second = jobs.run(busy), jobs.run(lambda: "never")
    next(first)
    next(second)
    now[0] = 101.0
    with pytest.raises(BusyError, match="waited for 100 seconds"):
        finish(second)
    busy.open.set()
    finish(first)


def test_more_than_may_wait_are_refused():
    jobs, busy = Jobs(3600, most_waiting=1), Gate(1)
    runs = [jobs.run(busy) for _ in range(3)]
    for run in runs:
        next(run)
    with pytest.raises(BusyError, match="busy"):
        next(jobs.run(busy))
    busy.open.set()
    for run in runs:
        finish(run)


def test_a_quick_job_does_not_wait_for_a_long_one_which_stands_aside(jobs, monkeypatch):
    monkeypatch.setattr(module, "ASIDE_S", 60.0)
    long, quick = Gate(), Gate(1)
    slow = jobs.run(long, expected_s=2 * LONG_S)
    next(slow)
    assert long.entered.wait(60)
    fast = jobs.run(quick)
    next(fast)
    assert quick.entered.wait(60), "in a lane of its own"
    long.open.set()  # the long job passes its first gate, and meets the quick one at its next stage
    while not long.done:
        next(slow)
    assert [next(slow) for _ in range(20)]
    assert long.done == 1
    quick.open.set()
    finish(fast)
    assert finish(slow)[1] == long.stages


@pytest.mark.parametrize("size", [(96, 128), (1100, 1160)])
def test_the_real_ein_is_stopped_whole_and_in_tiles(jobs, size, one_seeded_thread):
    """Its visitor leaves while it is between two of its layers, and the next check is the one at which it ends."""
    pipeline = Pipeline(EIN(width=8), device="cpu")
    working, left = threading.Event(), threading.Event()
    checks = []

    def work():
        own = token_in_force()

        def look() -> None:
            own.check()
            checks.append([frame.name for frame in traceback.extract_stack()])
            if len(checks) == 20:
                working.set()
                assert left.wait(60)

        return pipeline(np.full((*size, 3), 255, np.uint8), cancellation=Cancellation(look))

    run = jobs.run(work)
    next(run)
    assert working.wait(60)
    run.close()
    left.set()
    assert jobs.close(60)
    assert len(checks) == 20
    assert {"reconstruct", "_reflect"} <= set(checks[-1]), "it was within the network"


def test_all_jobs_of_a_process_can_be_closed():
    jobs = Jobs(60)
    assert close_all(60)
    with pytest.raises(BusyError):
        next(jobs.run(lambda: None))


def test_the_end_of_cancelled_work_is_told_whoever_notices_first(jobs, caplog):
    token, working, noticed = Cancellation(), threading.Event(), threading.Event()

    def work():
        working.set()
        try:
            while True:
                check_cancelled()
        finally:
            noticed.set()

    with caplog.at_level("INFO"):
        run = jobs.run(work, cancellation=token)
        next(run)
        assert working.wait(60)
        token.cancel()
        assert noticed.wait(60)  # before the caller looks again
        while any(jobs._lanes):
            threading.Event().wait(0.01)
        with pytest.raises(CancelledError):
            finish(run)
    assert float(re.search(r"work stopped (\d+\.\d+) s after", caplog.text)[1]) < 60
