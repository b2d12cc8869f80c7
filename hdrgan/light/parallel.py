"""The one thread pool: numpy and the codecs release the interpreter lock while they compute."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

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
        return [work(part) for part in parts]
    share = max(1, cores() // threads)

    def begin() -> None:
        _share.cores = share

    # A pool of its own for every call, so that work may itself be split further without waiting for a free thread.
    with ThreadPoolExecutor(threads, initializer=begin) as pool:
        try:
            return list(pool.map(work, parts))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
