"""How a run on this machine is interrupted, and finishes without being interrupted again."""

import contextlib
import signal
from collections.abc import Generator
from types import FrameType

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """SIGTERM and a closed terminal end the run as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {which: signal.signal(which, interrupt) for which in ENDING}
    try:
        yield
    finally:
        for which, handler in before.items():
            signal.signal(which, handler)


def finish_undisturbed() -> None:
    """From here on all is being stopped; a second Ctrl-C must not interrupt that."""
    print("\nStopping …", flush=True)
    for which in ENDING:
        signal.signal(which, signal.SIG_IGN)
