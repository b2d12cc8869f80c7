"""``hdrgan`` and ``python -m hdrgan``."""

from __future__ import annotations

import signal
from types import FrameType


def interrupted(number: int, _frame: FrameType | None) -> None:
    """Handle Ctrl-C where a command has no way of its own: end without a word, with the code that a shell expects."""
    raise SystemExit(128 + number)


def main() -> None:
    """Take Ctrl-C before anything is imported that takes its time, then do what the command line says."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # elsewhere it may be ignored, and stays so
        signal.signal(signal.SIGINT, interrupted)
    from hdrgan.cli import main as run

    run()


if __name__ == "__main__":
    main()
