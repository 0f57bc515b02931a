"""Ending processes by their PID, and only the ones that are ours."""

import contextlib
import signal
import time
from collections.abc import Callable
from pathlib import Path

import psutil

KILL_PATIENCE_S = 10.0


def wait_until(condition: Callable[[], bool], patience_s: float) -> bool:
    """Whether `condition` came true in time."""
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def working_in(pid: int, folder: Path) -> psutil.Process | None:
    """The live process with this PID whose working folder is `folder`.

    A PID file outlives its process, and the number may by then belong to somebody else.
    """
    try:
        process = psutil.Process(pid)
        is_ours = not is_gone(process) and Path(process.cwd()) == folder
    except psutil.Error:
        return None
    return process if is_ours else None


def is_gone(process: psutil.Process) -> bool:
    """A zombie is gone: it holds nothing but its number."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def family(process: psutil.Process) -> list[psutil.Process]:
    """The process first, then all its descendants."""
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return [process]


def end(process: psutil.Process, gently: signal.Signals, patience_s: float) -> None:
    """Ask once, then kill. Returns when the process and its descendants are gone."""
    relatives = family(process)
    with contextlib.suppress(psutil.NoSuchProcess):
        process.send_signal(gently)
    if not wait_until(lambda: all(map(is_gone, relatives)), patience_s):
        kill(relatives)


def kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: all(map(is_gone, processes)), KILL_PATIENCE_S)
