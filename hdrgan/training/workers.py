"""What processes that read data for a training run do when they start.

Where processes are spawned, a worker imports what it is told to call, so that this stands in the package: a worker of
an installed package cannot import train_accelerate.py.
"""

from __future__ import annotations

import signal


def leave_signals_to_the_run(_worker: int) -> None:
    """A signal to the whole group must not take the batch away that a step waits for."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
