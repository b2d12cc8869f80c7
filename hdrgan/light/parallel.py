"""The one thread pool: numpy and the codecs release the interpreter lock while they compute."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from typing import TypeVar

from hdrgan.light.cancellation import check_cancelled

Part = TypeVar("Part")
Answer = TypeVar("Answer")


_share = threading.local()  # .cores: processors that are left to a thread of `each`


def cores() -> int:
    """Processors that this thread may use: all that the process has, or its share of them within `each`.

    OMP_NUM_THREADS bounds them, as it bounds torch's own threads.
    """
    share: int | None = getattr(_share, "cores", None)
    if share is not None:
        return share
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wish = os.environ.get("OMP_NUM_THREADS", "")
    return max(1, min(there, int(wish) if wish.isdecimal() else there))


def each(work: Callable[[Part], Answer], parts: Iterable[Part], *, workers: int | None = None) -> list[Answer]:
    """Do ``work`` on every part, on as many threads as there are cores; the answers in the order of the parts.

    Before each part it is asked whether the work was cancelled (`hdrgan.light.cancellation`).

    Args:
        work: must not depend on the order in which the parts are done.
        parts: what to work on.
        workers: threads at most; None is `cores`.

    Raises:
        Exception: what the first part that failed raised; parts not begun by then are left.
    """
    parts = list(parts)
    threads = min(workers or cores(), len(parts))
    if threads <= 1:
        return [_checked(work, part) for part in parts]
    # A pool of its own for every call, so that work may itself be split further without waiting for a free thread.
    with _pool(threads) as pool:
        try:
            # Each part in a copy of this thread's context, which holds the token of cancellation.
            contexts = [copy_context() for _ in parts]
            return list(pool.map(lambda context, part: context.run(_checked, work, part), contexts, parts))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def stream(
    work: Callable[[Part], Answer], parts: Iterable[Part], *, workers: int, poll: float = 0.5
) -> Generator[Answer | None, None, None]:
    """Do ``work`` on parts that are taken only as threads become free: memory does not depend on their number.

    Args:
        work: must not depend on the order in which the parts are done.
        parts: what to work on.
        workers: threads.
        poll: seconds without an answer after which None is given, so that the caller can look after other things.

    Yields:
        Answers in the order in which they are ready, and None in between. A caller that stops asking leaves the parts
        that were not begun; ``close`` does not wait for those that were.

    Raises:
        Exception: what a part raised.
    """
    waiting = iter(parts)
    begun: set[Future[Answer]] = set()
    pool = _pool(workers)
    try:
        while True:
            while len(begun) < workers:
                try:
                    part = next(waiting)
                except StopIteration:
                    break
                begun.add(pool.submit(work, part))
            if not begun:
                break
            ready, begun = wait(begun, timeout=poll, return_when=FIRST_COMPLETED)
            if not ready:
                yield None
            for future in ready:
                yield future.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def forget_threads() -> None:
    """Let torch use one thread in a forked process, where OpenMP would wait forever for threads that are gone."""
    import torch

    torch.set_num_threads(1)


def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that share the processors of this one between them."""
    share = max(1, cores() // threads)

    def begin() -> None:
        _share.cores = share

    return ThreadPoolExecutor(threads, initializer=begin)


def _checked(work: Callable[[Part], Answer], part: Part) -> Answer:
    check_cancelled()
    return work(part)
