"""One server on this machine: start or adopt it, stop it, kill it as a crash would."""

import contextlib
import pwd
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from pathlib import Path

import psutil
from msgspec import Struct

from infra.local import pids
from infra.local.binaries import ServiceUnavailable
from infra.local.state import Account, exclusive, private_folder, read_account

READY_PATIENCE_S = 60.0
STOP_PATIENCE_S = 15.0
# A predecessor that was just killed may hold its port or shared memory a moment longer.
ATTEMPTS = 8
BETWEEN_ATTEMPTS_S = 0.25


class Command(Struct, frozen=True, kw_only=True):
    arguments: list[str]
    user: str | None = None
    environment: dict[str, str] = {}


class LocalServer(ABC):
    """A server whose settings and secrets lie in `folder`. Every method is safe to repeat."""

    name: str
    stop_signal: signal.Signals

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._child: subprocess.Popen[bytes] | None = None

    @property
    @abstractmethod
    def url(self) -> str: ...

    @property
    @abstractmethod
    def home(self) -> Path:
        """Where the data lies, which is also the server's working folder."""

    @property
    @abstractmethod
    def pid(self) -> int | None:
        """As the server itself wrote it down, perhaps long ago."""

    @abstractmethod
    def prepare(self) -> Command:
        """Make the data folder if it is missing, choose a free port, say what to run."""

    @abstractmethod
    def is_ready(self) -> bool: ...

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def account_file(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def account(self) -> Account:
        known = read_account(self.account_file)
        if known is None:
            raise ServiceUnavailable(f"{self.name} was never started in {self.folder}")
        return known

    def start(self) -> None:
        """Returns when it answers. A server left over by a run that died is taken over."""
        private_folder(self.folder)
        with exclusive(self.folder / f"{self.name}.lock"):
            if not self._adopt():
                self._launch()

    def stop(self) -> None:
        process = self.process()
        if process:
            pids.end(process, self.stop_signal, STOP_PATIENCE_S)
        self._end_child()

    def kill(self) -> None:
        """End it at once and without warning, as a crash would."""
        process = self.process()
        if process:
            pids.kill(pids.family(process))
        self._reap()

    def process(self) -> psutil.Process | None:
        pid = self.pid
        return pids.working_in(pid, self.home) if pid else None

    def _adopt(self) -> bool:
        process = self.process()
        if process is None:
            self._end_child()
            return False
        pids.wait_until(lambda: self.is_ready() or pids.is_gone(process), READY_PATIENCE_S)
        if self.account_file.exists() and self.is_ready() and not pids.is_gone(process):
            return True
        self.stop()
        return False

    def _launch(self) -> None:
        for _ in range(ATTEMPTS):
            child = self._child = self._spawn(self.prepare())
            if self._becomes_ready(child):
                return
            self._end_child()
            time.sleep(BETWEEN_ATTEMPTS_S)
        raise ServiceUnavailable(f"{self.name} did not start. It says:\n{last_lines(self.log)}")

    def _becomes_ready(self, child: subprocess.Popen[bytes]) -> bool:
        pids.wait_until(lambda: self.is_ready() or child.poll() is not None, READY_PATIENCE_S)
        return child.poll() is None and self.is_ready()

    def _spawn(self, command: Command) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                command.arguments,
                user=command.user,
                group=command.user and group_of(command.user),
                extra_groups=[] if command.user else None,
                cwd=self.home,
                env={"LC_ALL": "C.UTF-8", **command.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the supervisor, which stops us in order
            )

    def _end_child(self) -> None:
        """Also a child so young that it has not written its PID down."""
        if self._child:
            with contextlib.suppress(psutil.NoSuchProcess):
                pids.end(psutil.Process(self._child.pid), self.stop_signal, STOP_PATIENCE_S)
        self._reap()

    def _reap(self) -> None:
        if self._child:
            self._child.wait()
            self._child = None


def group_of(user: str) -> int:
    return pwd.getpwnam(user).pw_gid


def last_lines(log: Path, count: int = 12) -> str:
    if not log.exists():
        return "(nothing)"
    return "\n".join(log.read_text(errors="replace").splitlines()[-count:])
