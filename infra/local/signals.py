"""How a run on this machine is interrupted, and finishes without being interrupted again."""

import contextlib
import os
import signal
import sys
from collections.abc import Generator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """SIGTERM and a closed terminal end the run as Ctrl-C does: with one KeyboardInterrupt."""
    before = {which: signal.signal(which, interrupt) for which in ENDING}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    # At once: a second Ctrl-C would otherwise interrupt the stopping and leave orphans.
    ignore_interruptions()
    with contextlib.suppress(OSError):  # the terminal may be what has gone
        os.write(sys.stdout.fileno(), "\nStopping …\n".encode())
    raise KeyboardInterrupt


def ignore_interruptions() -> None:
    for which in ENDING:
        signal.signal(which, signal.SIG_IGN)
