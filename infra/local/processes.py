"""Keeps the product's processes running: starts, restarts and stops them, and keeps their logs."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Generator
from pathlib import Path

import psutil
from msgspec import Struct

from infra.local import pids
from infra.local.preflight import CannotStart
from infra.local.server import last_lines
from infra.local.signals import ignore_interruptions
from infra.local.state import CHECKOUT, private_folder

LEASH = Path(__file__).with_name("leash.py")
# In the environment of every process we start, and so of every process those start.
MARK = "AISLE_SUPERVISED_FROM"
LOOK_EVERY_S = 0.1
STOP_PATIENCE_S = 10.0
START_PATIENCE_S = 10.0
DEATHS_PER_MINUTE = 5
FIRST_PAUSE_S = 0.5


class ProcessGaveUp(CannotStart):
    """A process keeps dying; the message names it and shows what it said last."""


class Process(Struct, frozen=True, kw_only=True):
    name: str
    arguments: list[str]
    environment: dict[str, str]


class Kept:
    """One process through its lives."""

    def __init__(self, process: Process, state_dir: Path) -> None:
        self.process = process
        self.log = private_folder(state_dir / "logs") / f"{process.name}.log"
        self._environment = {**process.environment, MARK: str(state_dir)}
        self.child: subprocess.Popen[bytes] | None = None
        self.start_at = 0.0
        self._deaths: deque[float] = deque(maxlen=DEATHS_PER_MINUTE)

    def start(self) -> None:
        """The command leads a session of its own, so Ctrl-C in the terminal does not reach it."""
        leash = [sys.executable, str(LEASH), str(os.getpid())]
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [*leash, *self.process.arguments],
                cwd=CHECKOUT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def is_dead(self) -> bool:
        return self.child is not None and is_finished(self.child)

    def bury(self) -> None:
        """Take down what a dead process left behind; its number is ours until it is reaped."""
        if self.child is None:
            return
        kill_group(self.child.pid)
        self.child.wait()
        self.child = None

    def note_death(self) -> bool:
        """Plan the next start. False if it died too often for that."""
        now = time.monotonic()
        while self._deaths and now - self._deaths[0] > 60:
            self._deaths.popleft()
        self._deaths.append(now)
        self.start_at = now + FIRST_PAUSE_S * 2 ** (len(self._deaths) - 1)
        return len(self._deaths) < DEATHS_PER_MINUTE


class Supervisor:
    """Runs `processes` until `stop`. All of them are started, watched and ended by one thread:
    on Linux a process on a leash ends with the thread that started it."""

    def __init__(self, processes: list[Process], state_dir: Path) -> None:
        self._kept = [Kept(process, state_dir) for process in processes]
        self._thread = threading.Thread(target=self._watch, name="supervisor", daemon=True)
        self._started = threading.Event()
        self._stopping = threading.Event()
        self._over = threading.Event()
        self._failure: str | None = None

    def start(self) -> None:
        for kept in self._kept:
            start_new_log(kept.log)
        self._thread.start()
        self._started.wait(START_PATIENCE_S)

    def stop(self) -> None:
        """Returns when none of them is left. Safe to repeat."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def check(self) -> None:
        """Raises ProcessGaveUp if one did."""
        if self._failure:
            raise ProcessGaveUp(self._failure)

    def wait(self) -> None:
        """Until `stop`, or until one gives up: raises ProcessGaveUp."""
        self._over.wait()
        self.check()

    def pids(self) -> dict[str, int]:
        return {kept.process.name: kept.child.pid for kept in self._kept if kept.child}

    def _watch(self) -> None:
        try:
            while not self._stopping.is_set() and not self._failure:
                self._start_missing()
                self._started.set()
                self._stopping.wait(LOOK_EVERY_S)
                self._look()
        except OSError as error:
            self._failure = f"A process could not be started: {error}"
        finally:
            end_all(self._kept)
            self._over.set()

    def _start_missing(self) -> None:
        for kept in self._kept:
            if kept.child is None and kept.start_at <= time.monotonic():
                kept.start()

    def _look(self) -> None:
        for kept in filter(Kept.is_dead, self._kept):
            kept.bury()
            if not kept.note_death():
                self._failure = (
                    f"`{kept.process.name}` died {DEATHS_PER_MINUTE} times within a minute. "
                    f"Its last words, from {kept.log}:\n{last_lines(kept.log)}"
                )


@contextlib.contextmanager
def supervised(processes: list[Process], state_dir: Path) -> Generator[Supervisor]:
    """Nothing interrupts the stopping, so nothing is left running afterwards."""
    supervisor = Supervisor(processes, state_dir)
    try:
        supervisor.start()
        yield supervisor
    finally:
        ignore_interruptions()
        supervisor.stop()


def is_finished(child: subprocess.Popen[bytes]) -> bool:
    """Unlike `poll`, leaves the zombie, which keeps its number from being given to another."""
    return pids.is_gone(psutil.Process(child.pid))


def end_all(kept: list[Kept]) -> None:
    """Ask all of them, wait, and kill what is left of each with its descendants."""
    children = [each.child for each in kept if each.child]
    for child in children:
        os.kill(child.pid, signal.SIGTERM)
    pids.wait_until(lambda: all(map(is_finished, children)), STOP_PATIENCE_S)
    for each in kept:
        each.bury()


def kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:
        return


def end_leftovers(state_dir: Path) -> None:
    """End what a killed supervisor of this state folder left and the leash did not take down."""
    for process in psutil.process_iter():
        try:
            is_ours = process.environ().get(MARK) == str(state_dir)
        except (psutil.Error, OSError):
            continue
        if is_ours and process.pid != os.getpid():
            pids.end(process, signal.SIGTERM, STOP_PATIENCE_S)


def start_new_log(log: Path) -> None:
    """The log of the run before is kept beside it."""
    if log.exists():
        log.replace(log.with_suffix(".previous.log"))
